"""A slow, obvious model of one dag run: a DAG and how each task would end → the states in which all is left.

Decides nothing for the product and shares no code with it: lists of states instead of counters, every rule a sentence
of Airflow's documentation or of its scheduler's behaviour, every task looked at again in every round. Called by
test_run_semantics.py, which drives the scheduling machine through the same run.

The scheduler looks at all tasks at once, in rounds: what a round decides is seen by the next one only. Tasks that may
run end one at a time, in a given order, because some states depend on who was first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from dagdeck_core.spec import TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState

S = TaskInstanceState
R = TriggerRule
ENDS = (S.SUCCESS, S.FAILED, S.SKIPPED, S.UPSTREAM_FAILED, S.REMOVED)
FAILURES = (S.FAILED, S.UPSTREAM_FAILED)


class Verdict(Enum):
    """What becomes of a task that has not begun, when it is neither skipped nor given up."""

    RUN = "run"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefTask:
    """One task as the model sees it."""

    task_id: str
    upstream: tuple[str, ...] = ()
    rule: TriggerRule = R.ALL_SUCCESS
    is_setup: bool = False
    is_teardown: bool = False
    fails_run: bool = False
    """on_failure_fail_dagrun of a teardown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a task ends if it runs; a success may name tasks to skip."""

    state: TaskInstanceState = S.SUCCESS
    skip: tuple[str, ...] = ()


def by_rule(rule: TriggerRule, ups: Sequence[TaskInstanceState]) -> TaskInstanceState | Verdict:
    """What a trigger rule makes of a task whose direct upstream stands like that."""
    done = all(state in ENDS for state in ups)
    failed = any(state in FAILURES for state in ups)
    skipped, all_skipped = S.SKIPPED in ups, all(state is S.SKIPPED for state in ups)
    success = S.SUCCESS in ups
    wait, run = Verdict.WAIT, Verdict.RUN
    match rule:
        case R.ALL_SUCCESS:
            return S.UPSTREAM_FAILED if failed else S.SKIPPED if skipped else run if done else wait
        case R.ALL_FAILED:
            return S.SKIPPED if success or skipped else run if done else wait
        case R.ALL_DONE:
            return run if done else wait
        case R.ALL_SKIPPED:
            return S.SKIPPED if success or failed else run if done else wait
        case R.ONE_SUCCESS:
            return run if success else wait if not done else S.SKIPPED if all_skipped else S.UPSTREAM_FAILED
        case R.ONE_FAILED:
            return run if failed else S.SKIPPED if done else wait
        case R.ONE_DONE:
            return run if success or S.FAILED in ups else S.SKIPPED if done else wait
        case R.NONE_FAILED:
            return S.UPSTREAM_FAILED if failed else run if done else wait
        case R.NONE_FAILED_MIN_ONE_SUCCESS:
            return S.UPSTREAM_FAILED if failed else wait if not done else S.SKIPPED if all_skipped else run
        case R.NONE_SKIPPED:
            return S.SKIPPED if skipped else run if done else wait
        case R.ALL_DONE_MIN_ONE_SUCCESS:
            return S.SKIPPED if skipped else wait if not done else run if success else S.UPSTREAM_FAILED
        case _:
            raise AssertionError(rule)


@dataclass(slots=True)
class ReferenceRun:
    """A run of `tasks`, given in an order where upstream comes first."""

    tasks: Sequence[RefTask]
    endings: Mapping[str, Ending]
    states: dict[str, TaskInstanceState] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)

    def play(self, order: Sequence[str]) -> dict[str, TaskInstanceState]:
        """Run all of it; of the tasks that run, the first one in `order` always ends next. task_id → last state."""
        self._rounds()
        while self.running:
            ended = next(task_id for task_id in order if task_id in self.running)
            self.running.remove(ended)
            ending = self.endings[ended]
            self.states[ended] = ending.state
            if ending.state is S.SUCCESS:
                for task_id in ending.skip:
                    if task_id not in self.states and task_id not in self.running:
                        self.states[task_id] = S.SKIPPED
            self._rounds()
        return {task.task_id: self.states.get(task.task_id, S.NONE) for task in self.tasks}

    def run_state(self) -> DagRunState:
        """The run's state at the end: that of the tasks that decide it; failed when something is left."""
        if len(self.states) < len(self.tasks):
            return DagRunState.FAILED
        failed = any(self.states[leaf] in FAILURES for leaf in self.leaves())
        return DagRunState.FAILED if failed else DagRunState.SUCCESS

    def leaves(self) -> list[str]:
        """The tasks that decide: nothing comes after them but teardowns that do not count."""
        ignored = {task.task_id for task in self.tasks if task.is_teardown and not task.fails_run}
        found = [
            task.task_id
            for task in self.tasks
            if task.task_id not in ignored and all(down in ignored for down in self._downstream(task.task_id))
        ]
        return found or [task.task_id for task in self.tasks if not self._downstream(task.task_id)]

    # ------------------------------------------------------------ rounds

    def _rounds(self) -> None:
        while True:
            seen = dict(self.states)
            for task in self.tasks:
                if task.task_id in seen or task.task_id in self.running:
                    continue
                verdict = self._verdict(task, seen)
                if isinstance(verdict, TaskInstanceState):
                    self.states[task.task_id] = verdict
                elif verdict is Verdict.RUN:
                    self.running.append(task.task_id)
            if self.states == seen:
                return

    def _verdict(self, task: RefTask, seen: Mapping[str, TaskInstanceState]) -> TaskInstanceState | Verdict:
        if any(
            seen.get(up) is S.SUCCESS and up in self.endings and task.task_id in self.endings[up].skip
            for up in task.upstream
        ):
            return S.SKIPPED
        if not task.upstream or task.rule is R.ALWAYS:
            return Verdict.RUN
        if not task.is_teardown:
            setups = [seen.get(setup) for setup in self._indirect_setups(task)]
            if any(state in FAILURES for state in setups):
                return S.UPSTREAM_FAILED
            if S.SKIPPED in setups:
                return S.SKIPPED
        verdict = self._by_rule(task, seen)
        if verdict is not Verdict.RUN:
            return verdict
        if task.is_teardown:
            ready = all(inside in seen for inside in self._inside(task))
        else:
            ready = all(seen.get(setup) is S.SUCCESS for setup in self._indirect_setups(task))
        return Verdict.RUN if ready else Verdict.WAIT

    def _by_rule(self, task: RefTask, seen: Mapping[str, TaskInstanceState]) -> TaskInstanceState | Verdict:
        ups = [seen.get(up, S.RUNNING) for up in task.upstream]
        if task.rule is R.ALL_DONE_SETUP_SUCCESS:
            return self._by_setups(task, seen) if all(state in ENDS for state in ups) else Verdict.WAIT
        return by_rule(task.rule, ups)

    def _by_setups(self, task: RefTask, seen: Mapping[str, TaskInstanceState]) -> TaskInstanceState | Verdict:
        """A teardown whose direct upstream has ended runs if any of its setups did its work."""
        setups = [seen[up] for up in task.upstream if self._task(up).is_setup]
        if not setups or S.SUCCESS in setups:
            return Verdict.RUN
        return S.SKIPPED if all(state is S.SKIPPED for state in setups) else S.UPSTREAM_FAILED

    # ------------------------------------------------------------ setups and teardowns

    def _indirect_setups(self, task: RefTask) -> list[str]:
        """Setups above the task, though not directly, that have no teardown or one below the task."""
        below = self._reach([task.task_id], self._downstream)
        found = []
        for above in self._reach([task.task_id], self._upstream):
            if not self._task(above).is_setup or above in task.upstream:
                continue
            teardowns = [down for down in self._downstream(above) if self._task(down).is_teardown]
            if not teardowns or any(down in below for down in teardowns):
                found.append(above)
        return found

    def _inside(self, teardown: RefTask) -> list[str]:
        """Everything between a teardown's setups and itself, though not directly above it."""
        above = self._reach([teardown.task_id], self._upstream)
        setups = [up for up in teardown.upstream if self._task(up).is_setup]
        below = self._reach(setups, self._downstream)
        return [task_id for task_id in above if task_id in below and task_id not in teardown.upstream]

    # ------------------------------------------------------------ the graph

    def _task(self, task_id: str) -> RefTask:
        return next(task for task in self.tasks if task.task_id == task_id)

    def _upstream(self, task_id: str) -> Iterable[str]:
        return self._task(task_id).upstream

    def _downstream(self, task_id: str) -> list[str]:
        return [task.task_id for task in self.tasks if task_id in task.upstream]

    @staticmethod
    def _reach(starts: Iterable[str], step: object) -> list[str]:
        """All that `step` leads to from `starts`, themselves left out unless they are led back to."""
        found: list[str] = []
        waiting = [near for start in starts for near in step(start)]  # type: ignore[operator]
        while waiting:
            task_id = waiting.pop()
            if task_id not in found:
                found.append(task_id)
                waiting += step(task_id)  # type: ignore[operator]
        return found
