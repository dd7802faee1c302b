"""Task instances that wait for a person: what an answer, or none in time, makes of them.

Decides that. Both write what the task will find and make it wait for a slot in one step, so a failover finds it
either still waiting for a person or already for a slot. Called by `people` for answers and by `evaluation` for timers.
"""

from __future__ import annotations

from typing import Any

from dagdeck_core.human_input import answered_event, timed_out_event
from dagdeck_core.scheduling import mapping
from dagdeck_core.scheduling.decisions import AnswerInput
from dagdeck_core.scheduling.run_state import Task
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState

_S = TaskInstanceState


def answered(
    world: World, task: Task, chosen: list[str], params_input: dict[str, Any], user: dict[str, str], cause: str
) -> None:
    """A person has answered: the task goes on with that."""
    world.emit(
        AnswerInput(
            run_key=task.run.key,
            ti_id=task.ti_id,
            dispatch_no=task.dispatch_no,
            event=answered_event(chosen, params_input, world.now, user),
            chosen_options=tuple(chosen),
            params_input=params_input,
            user=user,
        ),
        rows=2,
    )
    _go_on(world, task, "a person answered, it waits for a slot", cause)


def timed_out(world: World, task: Task) -> None:
    """The moment until which a task waits for a person may have come: it goes on with its defaults, or to fail."""
    due = task.next_at is not None and task.next_at <= world.now
    if not due or task.run.state is not DagRunState.RUNNING or task.run.key in world.stops:
        return
    world.emit(
        AnswerInput(
            run_key=task.run.key,
            ti_id=task.ti_id,
            dispatch_no=task.dispatch_no,
            event=timed_out_event(world.now),
        ),
        rows=2,
    )
    _go_on(world, task, "nobody answered in time, it waits for a slot", "")


def _go_on(world: World, task: Task, reason: str, cause: str) -> None:
    world.move(task, _S.SCHEDULED, reason=reason, cause=cause)
    if task.map_index >= 0:
        mapping.offer(world, task)
    else:
        world.offer_candidate(task)
