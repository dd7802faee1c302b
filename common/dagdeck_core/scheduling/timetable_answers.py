"""Next runs of DAGs whose timetable is code of the author's: asked for as work, answered as data.

Decides when such a timetable is asked, what an answer means for the DAG's row, and what people are told of one that
raises or hangs. The stored answer is all that the creation of runs looks at (`runs`), so a slow or broken timetable
delays its own DAG and nothing else. Called by `runs`, `people` and the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dagdeck_core.actions import TriggerDagRun
from dagdeck_core.records import AskedRuns
from dagdeck_core.scheduling import side_work
from dagdeck_core.scheduling.decisions import ScheduleNext, WarnDag
from dagdeck_core.scheduling.timers import TimerKind
from dagdeck_core.scheduling.world import DagEntry, World
from dagdeck_core.states import DagRunType
from dagdeck_core.timetables import DataInterval
from dagdeck_core.timetables.specs import custom_of, needs_code
from dagdeck_core.work import ManualInterval, NextRuns, WorkRecord, WorkState

WARNING = "timetable"
"""The type of the warning that people see at a DAG whose timetable cannot be evaluated."""
ASK_AGAIN = timedelta(minutes=5)
"""After so long a timetable that had no next run, or failed, is asked again."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a timetable named, as its answer travels. One of a partition may have no interval."""

    run_after: datetime | None = None
    start: datetime | None = None
    end: datetime | None = None
    run_id: str = ""
    partition_key: str | None = None
    partition_date: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualAnswer:
    """What a timetable said of a run that a person starts; `problem` when it could not."""

    interval: DataInterval | None = None
    run_id: str = ""
    partition_date: datetime | None = None
    problem: str = ""


def is_asked_elsewhere(entry: DagEntry) -> bool:
    """Whether a DAG's times are answered by code of the author's."""
    return needs_code(entry.version.spec.timetable)


def ask(world: World, entry: DagEntry) -> None:
    """Ask for the next run after the last one, unless the question is open or was answered a moment ago."""
    record = entry.record
    if record.is_stale or record.next_run_after is not None or not can_be_scheduled(entry):
        return
    question = _question(entry)
    if entry.asked == question and entry.ask_again_at is not None and world.now < entry.ask_again_at:
        return
    if any(
        isinstance(work.record.order, NextRuns) and work.record.dag_id == record.dag_id
        for work in world.side.by_id.values()
    ):
        return
    entry.asked = question
    wait_until(world, entry)
    asked = record.asked or AskedRuns()
    side_work.create(
        world,
        NextRuns(
            last_start=record.last_interval_start,
            last_end=record.last_interval_end,
            last_run_after=asked.last_run_after,
            last_partition_key=asked.last_partition_key,
            last_partition_date=asked.last_partition_date,
            last_is_dateless=asked.last_is_dateless,
            at=world.now,
            most=1,
        ),
        dag_id=record.dag_id,
        version_id=entry.version.version_id,
    )


def _question(entry: DagEntry) -> tuple[int, datetime | None]:
    return entry.version.version_id, entry.record.last_interval_end


def can_be_scheduled(entry: DagEntry) -> bool:
    """Whether the author's timetable ever starts a run by itself."""
    return entry.timetable is None or entry.timetable.can_be_scheduled


def wait_until(world: World, entry: DagEntry) -> None:
    """Look at the DAG again in a while: the same question may have another answer then."""
    entry.ask_again_at = world.now + ASK_AGAIN
    world.timers.set(entry.ask_again_at, TimerKind.DAG, dag_id=entry.record.dag_id)


def next_run_answered(world: World, work: WorkRecord) -> None:
    """A timetable answered, or its code failed: store the next run, or tell people."""
    order, entry = work.order, world.dags.get(work.dag_id)
    if not isinstance(order, NextRuns) or entry is None or entry.version.version_id != work.version_id:
        return
    if order.last_end != entry.record.last_interval_end or entry.record.next_run_after is not None:
        return
    answer, problem = _read(work)
    if problem or entry.has_warning:
        entry.has_warning = bool(problem)
        world.emit(WarnDag(dag_id=work.dag_id, warning_type=WARNING, message=problem))
    if answer is None or answer.run_after is None:
        if entry.ask_again_at is None or entry.ask_again_at <= world.now:
            # A leader before this one asked: nobody else remembers to do so again.
            entry.asked = _question(entry)
            wait_until(world, entry)
        return
    record = msgspec.structs.replace(
        entry.record,
        next_run_after=answer.run_after,
        next_interval_start=answer.start,
        next_interval_end=answer.end,
        asked=_said(entry, answer),
    )
    entry.record = record
    entry.asked = None
    world.watch_schedule(entry)
    world.due[work.dag_id] = None
    world.emit(
        ScheduleNext(
            dag_id=work.dag_id,
            run_after=record.next_run_after,
            interval_start=record.next_interval_start,
            interval_end=record.next_interval_end,
            last_interval_start=record.last_interval_start,
            last_interval_end=record.last_interval_end,
            asked=record.asked,
        )
    )


def _said(entry: DagEntry, answer: Answered) -> AskedRuns | None:
    """What is kept of the answer beyond its times."""
    known = entry.record.asked or AskedRuns()
    asked = msgspec.structs.replace(
        known,
        next_run_id=answer.run_id,
        next_partition_key=answer.partition_key,
        next_partition_date=answer.partition_date,
        next_is_dateless=answer.partition_key is not None and answer.start is None,
    )
    return None if asked == AskedRuns() else asked


def _read(work: WorkRecord) -> tuple[Answered | None, str]:
    if work.state is not WorkState.SUCCESS:
        return None, f"the timetable could not be evaluated: {work.error or 'no reason was given'}"
    try:
        return msgspec.convert(work.answer or {}, Answered, strict=False), ""
    except msgspec.ValidationError as error:
        return None, f"the timetable's answer cannot be read: {error}"


# ---------------------------------------------------------------- runs that people start


def about_started_run(
    entry: DagEntry, action_id: int, action: TriggerDagRun, run_type: DagRunType, due: datetime
) -> ManualInterval | None:
    """What the author's timetable must be asked about a run that a person starts; None for nothing."""
    spec = custom_of(entry.version.spec.timetable)
    if spec is None:
        return None
    has_interval = action.data_interval_start is not None and action.data_interval_end is not None
    names = spec.names_runs and action.run_id is None
    key = action.partition_key if spec.reads_keys else None
    if not names and key is None and (action.logical_date is None or has_interval):
        return None
    return ManualInterval(
        run_after=action.logical_date or due,
        action_id=action_id,
        has_date=action.logical_date is not None,
        start=action.data_interval_start if has_interval else None,
        end=action.data_interval_end if has_interval else None,
        names=names,
        due=due,
        run_type=run_type.value,
        partition_key=key,
    )


def run_id_said(world: World, action_id: int) -> str | None:
    """The run id that a timetable gave to the run that a pending action starts."""
    answer: ManualAnswer | None = world.side.manual_answers.get(action_id)
    return answer.run_id or None if answer is not None else None


def manual_answer(world: World, entry: DagEntry, question: ManualInterval) -> ManualAnswer | None:
    """What the timetable says of a run that a person starts; None while it is being asked."""
    action_id = question.action_id
    answer: ManualAnswer | None = world.side.manual_answers.pop(action_id, None)
    if answer is not None:
        return answer
    asked = any(
        isinstance(work.record.order, ManualInterval) and work.record.order.action_id == action_id
        for work in world.side.by_id.values()
    )
    if not asked:
        side_work.create(
            world,
            question,
            dag_id=entry.record.dag_id,
            version_id=entry.version.version_id,
        )
    return None


def manual_interval_answered(world: World, work: WorkRecord) -> None:
    """Keep the answer for the action that waits for it, and have that looked at again."""
    if not isinstance(work.order, ManualInterval):
        return
    answer, problem = _read(work)
    said = ManualAnswer(problem=problem)
    if answer is not None:
        given = answer.start is not None and answer.end is not None
        said = ManualAnswer(
            interval=DataInterval(start=answer.start, end=answer.end) if given else None,  # type: ignore[arg-type]
            run_id=answer.run_id,
            partition_date=answer.partition_date,
            problem=problem,
        )
    world.side.manual_answers[work.order.action_id] = said
    world.side.wants_actions = True


ON_ANSWER: dict[type, Any] = {NextRuns: next_run_answered, ManualInterval: manual_interval_answered}
