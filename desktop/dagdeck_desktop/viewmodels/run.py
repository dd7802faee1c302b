"""What the DAG page knows of the run that is looked at: the state of every task, live.

Decides how the instances of a mapped task become one state, the words in a task's box, and clearing and marking. Does
not draw the graph. Used by `views.dag_page`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from dagdeck_client.models import DagRun, TaskInstance, TaskInstancePage
from dagdeck_client.requests.runs import clear_task_instances, get_run, list_task_instances, set_task_instance_state
from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.live import Feed, run_topic
from dagdeck_desktop.theme.states import state_label
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import Phase, ViewModel, items_of, run_of
from dagdeck_desktop.viewmodels.wording import clock_text, duration_text

PAGE = 500
_S = TaskInstanceState
COUNTED_DOWN = frozenset({_S.UP_FOR_RETRY.value, _S.UP_FOR_RESCHEDULE.value})
"""States whose box says how long they still last."""
# The state that a mapped task shows: the first of these that one of its instances has.
_FIRST_SHOWN = (
    _S.FAILED,
    _S.UPSTREAM_FAILED,
    _S.RUNNING,
    _S.RESTARTING,
    _S.UP_FOR_RETRY,
    _S.AWAITING_INPUT,
    _S.UP_FOR_RESCHEDULE,
    _S.DEFERRED,
    _S.QUEUED,
    _S.SCHEDULED,
    _S.NONE,
    _S.SUCCESS,
    _S.SKIPPED,
    _S.REMOVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task instance of the run. `state` is None for "no status"; a newer server may have others than we know."""

    ti_id: str
    state: str | None
    task_id: str
    map_index: int = -1
    try_number: int = 0
    start_date: datetime | None = None
    end_date: datetime | None = None
    rendered_map_index: str | None = None
    worker_id: int | None = None
    due: datetime | None = None
    """When one that waits for a retry, or to be looked at again, is due."""

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None before its end."""
        if self.start_date is None or self.end_date is None:
            return None
        return max(0.0, (self.end_date - self.start_date).total_seconds())

    @property
    def map_label(self) -> str:
        """How a mapped instance is named; "" for one that is not mapped."""
        return "" if self.map_index < 0 else self.rendered_map_index or f"[{self.map_index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTask:
    """A task's state in the graph and its second line."""

    state: str | None
    label: str


class RunModel(ViewModel):
    """A run's task instances. `tasks_changed(task_ids)` names those that changed; None means all of them."""

    WHAT = "The run could not be loaded"
    tasks_changed = Signal(object)

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.dag_id = ""
        self.run_id = ""
        self.run: DagRun | None = None
        self.rows: dict[str, TaskRow] = {}
        self._by_task: dict[str, dict[int, TaskRow]] = {}
        self._counts: Counter[str] = Counter()
        self._ticking: set[str] = set()
        self._loaded: list[TaskRow] = []
        self._load_number = 0

    def open(self, dag_id: str, run_id: str) -> None:
        """Look at another run; "" for none."""
        if (dag_id, run_id) == (self.dag_id, self.run_id):
            return
        self.dag_id, self.run_id, self.run = dag_id, run_id, None
        self._load_number += 1
        self._replace([])
        self.phase = Phase.LOADING if run_id else Phase.READY
        self.changed.emit()
        self.follow_anew()
        if self.is_active:
            self.load()

    @property
    def topic(self) -> str | None:
        return run_topic(self.dag_id, self.run_id) if self.run_id else None

    # ------------------------------------------------------------ state

    @property
    def by_task(self) -> Mapping[str, Collection[TaskRow]]:
        """All instances by their task."""
        return {task_id: rows.values() for task_id, rows in self._by_task.items()}

    def instances(self, task_id: str) -> list[TaskRow]:
        """The instances of a task by map index."""
        found = self._by_task.get(task_id, {})
        return [found[index] for index in sorted(found)]

    def row(self, task_id: str, map_index: int = -1) -> TaskRow | None:
        """One instance."""
        return self._by_task.get(task_id, {}).get(map_index)

    def shown(self, task_id: str, now: datetime | None = None) -> ShownTask:
        """The state of a task, its instances taken together, with the second line of its box."""
        found = self._by_task.get(task_id)
        if not found:
            return ShownTask(state=None, label="Not started" if self.run_id else "")
        if len(found) == 1 and (only := found.get(-1)) is not None:
            return ShownTask(state=only.state, label=line_of(only, now))
        rows = self.instances(task_id)
        counts = Counter(row.state or _S.NONE.value for row in rows)
        state = next((each.value for each in _FIRST_SHOWN if each.value in counts), rows[0].state)
        # While some run, how far the whole has come says more than how many run.
        told = _S.SUCCESS.value if state == _S.RUNNING else state or _S.NONE.value
        done = " done" if state == _S.RUNNING else ""
        return ShownTask(state=state, label=f"{state_label(state)} · {counts[told]} of {len(rows)}{done}")

    def ticking(self) -> set[str]:
        """Tasks whose words change with time: what runs, and what counts down."""
        return {self.rows[ti_id].task_id for ti_id in self._ticking}

    def counts(self) -> Counter[str]:
        """How many instances are in each state."""
        return +self._counts

    # ------------------------------------------------------------ intents

    def clear(self, task_ids: Sequence[str], *, with_downstream: bool = True, only_failed: bool = False) -> None:
        """Run task instances once more."""
        request = clear_task_instances(
            self.dag_id,
            self.run_id,
            task_ids=list(task_ids) or None,
            only_failed=only_failed,
            include_downstream=with_downstream and bool(task_ids),
        )
        names = _names(task_ids) if task_ids else "the run"
        self.act(request, f"{names} could not be cleared", f"Cleared {names}", lambda _page: self._after_intent())

    def clear_preview(self, task_ids: Sequence[str], *, with_downstream: bool, only_failed: bool) -> Any:
        """The request that tells which instances `clear` would clear, changing nothing."""
        return clear_task_instances(
            self.dag_id,
            self.run_id,
            task_ids=list(task_ids) or None,
            only_failed=only_failed,
            include_downstream=with_downstream and bool(task_ids),
            dry_run=True,
        )

    def mark(self, task_id: str, state: TaskInstanceState, map_index: int | None = None) -> None:
        """Mark a task success, failed or skipped."""
        self.act(
            set_task_instance_state(self.dag_id, self.run_id, task_id, state.value, map_index=map_index),
            f"{task_id} could not be marked {state.value}",
            f"{task_id} is marked {state.value}",
            lambda _page: self._after_intent(),
        )

    def _after_intent(self) -> None:
        if not self.follows_stream:
            self.load()

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        if not self.run_id:
            return
        self._load_number += 1
        number = self._load_number
        self._loaded = []
        self.ask(get_run(self.dag_id, self.run_id), lambda run: self._run_came(number, run), self.not_loaded)
        if not self.follows_stream:
            self._ask_page(number, 0)

    def _ask_page(self, number: int, offset: int) -> None:
        self.ask(
            list_task_instances(self.dag_id, self.run_id, limit=PAGE, offset=offset, order_by=["task_id", "map_index"]),
            lambda page: self._page_came(number, offset, page),
            self.not_loaded,
        )

    def _run_came(self, number: int, run: DagRun) -> None:
        if number == self._load_number and not (self.follows_stream and self.run is not None):
            self.run = run
            self.changed.emit()

    def _page_came(self, number: int, offset: int, page: TaskInstancePage) -> None:
        if number != self._load_number or self.follows_stream:
            return
        self._loaded += [row_of(ti) for ti in page.task_instances]
        come = offset + len(page.task_instances)
        if page.task_instances and come < (page.total_entries or 0):
            self._ask_page(number, come)
            return
        self._replace(self._loaded)
        self.ready()

    # ------------------------------------------------------------ the feed

    def take_snapshot(self, data: Any) -> None:
        if isinstance(data, dict):
            self.run = run_of(data.get("run")) or self.run
            self._replace(rows_of(data.get("tasks")))
            self.ready()

    def take_diff(self, data: dict[str, Any]) -> None:
        self.run = run_of(data.get("run")) or self.run
        touched = set()
        for ti_id in items_of(data, "removed_tasks"):
            row = self.rows.get(ti_id) if isinstance(ti_id, str) else None
            if row is not None:
                self._drop(row)
                touched.add(row.task_id)
        for row in rows_of(data.get("tasks")):
            self._put(row)
            touched.add(row.task_id)
        if touched:
            self.tasks_changed.emit(touched)
        self.changed.emit()

    def _replace(self, rows: list[TaskRow]) -> None:
        self.rows, self._by_task = {}, {}
        self._counts.clear()
        self._ticking.clear()
        for row in rows:
            self._put(row)
        self.tasks_changed.emit(None)

    def _put(self, row: TaskRow) -> None:
        before = self.rows.get(row.ti_id)
        if before is not None:
            self._drop(before)
        self.rows[row.ti_id] = row
        self._by_task.setdefault(row.task_id, {})[row.map_index] = row
        self._counts[row.state or _S.NONE.value] += 1
        if row.state == _S.RUNNING or (row.due is not None and row.state in COUNTED_DOWN):
            self._ticking.add(row.ti_id)

    def _drop(self, row: TaskRow) -> None:
        del self.rows[row.ti_id]
        self._by_task[row.task_id].pop(row.map_index, None)
        self._counts[row.state or _S.NONE.value] -= 1
        self._ticking.discard(row.ti_id)


class _WireTask(msgspec.Struct, array_like=True, frozen=True):
    ti_id: str
    state: str | None
    task_id: str
    map_index: int = -1
    try_number: int = 0
    start_date: datetime | None = None
    end_date: datetime | None = None
    rendered_map_index: str | None = None
    worker_id: int | None = None
    due: datetime | None = None


def rows_of(data: object) -> list[TaskRow]:
    """Task instances as the stream tells them; what cannot be read is left out."""
    found = []
    for item in data if isinstance(data, (list, tuple)) else ():
        try:
            wire = msgspec.convert(item, _WireTask)
        except msgspec.ValidationError:
            continue
        found.append(TaskRow(**msgspec.structs.asdict(wire)))
    return found


def row_of(ti: TaskInstance) -> TaskRow:
    """A task instance as REST tells it."""
    return TaskRow(
        ti_id=ti.id or f"{ti.task_id}/{ti.map_index}",
        state=ti.state,
        task_id=ti.task_id,
        map_index=ti.map_index,
        try_number=ti.try_number,
        start_date=ti.start_date,
        end_date=ti.end_date,
        rendered_map_index=ti.rendered_map_index,
    )


def line_of(row: TaskRow, now: datetime | None = None) -> str:
    """The second line of a task's box: "Success · 42 s", "Running · 3:07", "Failed · try 2"."""
    word = state_label(row.state)
    if row.due is not None and row.state in COUNTED_DOWN:
        left = (row.due - (now or datetime.now(UTC))).total_seconds()
        what = "Retry" if row.state == _S.UP_FOR_RETRY else "Checks again"
        return f"{what} in {clock_text(left)}" if left > 0 else f"{what} now"
    if row.state == _S.RUNNING and row.start_date is not None:
        return f"{word} · {clock_text(((now or datetime.now(UTC)) - row.start_date).total_seconds())}"
    if row.state in (_S.FAILED, _S.UP_FOR_RETRY) and row.try_number > 1:
        return f"{word} · try {row.try_number}"
    if row.state in (_S.SUCCESS, _S.FAILED) and row.duration is not None:
        return f"{word} · {duration_text(row.duration)}"
    return word


def _names(task_ids: Sequence[str]) -> str:
    shown = ", ".join(task_ids[:3])
    return shown if len(task_ids) <= 3 else f"{shown} and {len(task_ids) - 3} more"
