"""Other kinds of claimable work than task instances: what is asked of a runner, and where it stands.

Decides the orders (which callback, which question to user code), their bounds, and the row that the machine and the
stores share. Does not decide when work is made (`scheduling.side_work`, and a worker that ends a task whose process
could not call its own callbacks) nor how it runs (`dagdeck_task`). Work travels in the same hints, claims, reports
and leases as task instances; there its id is negative (`hint_id`), so that a task instance's way needs no kind.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from dagdeck_core.spec import DEFAULT_QUEUE
from dagdeck_core.states import TaskInstanceState

CALLBACK_TIMEOUT = 600.0
"""Seconds that one callback order may run."""
EVALUATE_TIMEOUT = 60.0
"""Seconds that one question to user code may take."""
ANSWER_BYTES = 256 * 1024
"""Most bytes of an answer, as JSON."""


class WorkKind(StrEnum):
    """What an order is for: telling user code, or asking it."""

    CALLBACK = "callback"
    EVALUATE = "evaluate"


class WorkState(StrEnum):
    """Where a piece of work stands. `new` has no dispatch yet; the last two are ends."""

    NEW = "new"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


LIVE = (WorkState.QUEUED, WorkState.RUNNING)
ENDED = (WorkState.SUCCESS, WorkState.FAILED)


class _Order(msgspec.Struct, frozen=True, kw_only=True, tag_field="order", omit_defaults=True):
    """Base of all orders; JSON objects told apart by `order`."""


class TaskFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a callback is told of a task instance that has ended, or that stands for its run."""

    ti_id: int
    task_id: str
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    dispatch_no: int = 0
    state: TaskInstanceState | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    error: str = ""
    hostname: str = ""


class TaskCallback(_Order, frozen=True, kw_only=True, tag="task_callback"):
    """Call a task's `names` callbacks, whose process could not do it itself."""

    task: TaskFacts
    names: tuple[str, ...]


class RunCallback(_Order, frozen=True, kw_only=True, tag="run_callback"):
    """Call a DAG's on_success_callback or on_failure_callback. `task` is the task instance that its context shows."""

    is_failure: bool
    reason: str
    """Airflow's word: success, task_failure, timed_out, all_tasks_deadlocked."""
    task: TaskFacts | None = None


class RunBegun(_Order, frozen=True, kw_only=True, tag="run_begun"):
    """Tell listeners that a run has begun."""

    queued_at: datetime | None
    start_date: datetime | None


class DeadlineCallback(_Order, frozen=True, kw_only=True, tag="deadline_callback"):
    """Call what a missed deadline asks for: `path` imports it, `kwargs` are given to it."""

    deadline_id: int
    path: str
    kwargs: dict[str, Any] = {}
    is_async: bool = False
    deadline_time: datetime | None = None
    name: str = ""


class NextRuns(_Order, frozen=True, kw_only=True, tag="next_runs"):
    """Ask a DAG's custom timetable for its next runs after the last automated data interval, as many as `most`."""

    last_start: datetime | None = None
    last_end: datetime | None = None
    last_run_after: datetime | None = None
    last_partition_key: str | None = None
    last_partition_date: datetime | None = None
    last_is_dateless: bool = False
    at: datetime
    most: int = 10


class ManualInterval(_Order, frozen=True, kw_only=True, tag="manual_interval"):
    """Ask a DAG's custom timetable about a run that a person starts.

    For its data interval, for which `run_after` is the run's logical date; with `start` and `end` that is given, and
    without `has_date` there is none. With `names` for its id, with `partition_key` for that key's date.
    """

    run_after: datetime
    action_id: int
    has_date: bool = True
    start: datetime | None = None
    end: datetime | None = None
    names: bool = False
    due: datetime | None = None
    """When the run may start at the earliest."""
    run_type: str = "manual"
    partition_key: str | None = None


class DeadlineMoment(_Order, frozen=True, kw_only=True, tag="deadline_moment"):
    """Ask when deadline `number` of a DAG is for a run: its reference or its interval is code of the author's."""

    number: int
    queued_at: datetime
    since: datetime | None = None
    """What its interval is counted from, where that is known."""


class KeyToMap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An asset event with a partition key, and the asset that it is of. `date` is the producing run's, if it counts."""

    event_id: int
    asset_id: int
    name: str
    uri: str
    key: str
    date: datetime | None = None


class MapKeys(_Order, frozen=True, kw_only=True, tag="map_keys"):
    """Ask a DAG's custom partition mappers which of its partitions events belong to.

    `rollup` identifies the mappers that are meant; the source is where the events came from.
    """

    rollup: str
    events: tuple[KeyToMap, ...]
    source_dag_id: str | None = None
    source_run_id: str | None = None
    source_task_id: str | None = None
    source_map_index: int = -1


class JudgePartition(_Order, frozen=True, kw_only=True, tag="judge_partition"):
    """Ask an asset's custom wait policy whether the upstream keys that have come make a partition complete."""

    partition_id: int
    key: str
    asset_id: int
    name: str
    uri: str
    arrived: tuple[str, ...]


class NamedAsset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An asset, or by its name alone an alias."""

    name: str
    uri: str = ""
    group: str = "asset"


class NewsOfEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An asset event that was registered; with `is_new` its asset was made for it."""

    asset: NamedAsset
    is_new: bool = False
    extra: dict[str, Any] = {}
    aliases: tuple[str, ...] = ()
    partition_key: str | None = None
    partition_date: datetime | None = None
    source_dag_id: str | None = None
    source_run_id: str | None = None
    source_task_id: str | None = None
    source_map_index: int = -1


class AssetNews(_Order, frozen=True, kw_only=True, tag="asset_news"):
    """Tell listeners of events, and of assets and aliases that a DAG was the first to name."""

    events: tuple[NewsOfEvent, ...] = ()
    assets: tuple[NamedAsset, ...] = ()
    aliases: tuple[NamedAsset, ...] = ()


Order = (
    TaskCallback
    | RunCallback
    | RunBegun
    | DeadlineCallback
    | DeadlineMoment
    | NextRuns
    | ManualInterval
    | MapKeys
    | JudgePartition
    | AssetNews
)

_KINDS: dict[type, WorkKind] = {
    NextRuns: WorkKind.EVALUATE,
    ManualInterval: WorkKind.EVALUATE,
    DeadlineMoment: WorkKind.EVALUATE,
    MapKeys: WorkKind.EVALUATE,
    JudgePartition: WorkKind.EVALUATE,
}

order_encoder = msgspec.json.Encoder()
order_decoder = msgspec.json.Decoder(Order)


def kind_of(order: Order) -> WorkKind:
    """Whether an order tells user code something or asks it."""
    return _KINDS.get(type(order), WorkKind.CALLBACK)


def time_limit(order: Order) -> float:
    """Seconds after which an order that still runs is ended and counts as failed."""
    return EVALUATE_TIMEOUT if kind_of(order) is WorkKind.EVALUATE else CALLBACK_TIMEOUT


def facts_of(order: Order) -> TaskFacts | None:
    """The task instance that an order is about, if it is about one."""
    return order.task if isinstance(order, TaskCallback | RunCallback) else None


class WorkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `work`. `run_key` is 0 for work that belongs to a DAG and not to a run."""

    work_id: int
    order: Order
    dag_id: str
    version_id: int
    run_key: int = 0
    queue: str = DEFAULT_QUEUE
    state: WorkState = WorkState.NEW
    dispatch_no: int = 0
    worker_id: int | None = None
    lost_count: int = 0
    """Workers lost in a row under it."""
    answer: Any = None
    error: str | None = None


def hint_id(work_id: int) -> int:
    """How hints, claims and reports name a piece of work where they name task instances by ti_id."""
    return -work_id


class UnheardEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What must be called for a dispatch whose process could not call it, by the state that its row takes.

    The store that commits the end makes a piece of work of it in the same transaction, so nothing can lose it.
    """

    dag_id: str
    version_id: int
    queue: str
    task: TaskFacts
    by_state: dict[str, tuple[str, ...]]
    """State → names of callbacks."""
