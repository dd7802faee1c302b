"""Messages between processes: hints, reports, nudges, and the talk between a worker and its runners.

Decides their shape and version. Does not decide how they travel (`dagdeck_core.ports.Broker`, the
worker's pipes). All are small, typed and versioned msgpack; nothing on the wire is pickled.
A reader that meets a newer version or an unknown kind raises `WireError`, counts it, and goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from dagdeck_core.errors import DagDeckError
from dagdeck_core.human_input import Question
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.work import Order

WIRE_VERSION = 1
HINT_LIMIT = 16
"""Most dispatches that one hint names."""


class WireError(DagDeckError):
    """A message that cannot be read: not ours, damaged, or of a newer version."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what travels: a msgpack array whose first item names the kind."""


# ---------------------------------------------------------------- queue: master ↔ worker


class Hint(_Message, frozen=True, tag="hint"):
    """Dispatches that were committed as queued. `dispatches` holds (ti_id, dispatch_no) pairs, ≤ HINT_LIMIT.

    A negative ti_id names other work than a task instance (`dagdeck_core.work`), as in claims and reports.

    A hint may be lost, repeated or late: a worker that follows one still has to win the claim.
    """

    dispatches: tuple[tuple[int, int], ...]


class Effects(msgspec.Struct, frozen=True, array_like=True):
    """What a task's result asks of its run, stored with the result so that a lost report loses nothing.

    `skip` names tasks of the run to be skipped at once (branch, short circuit); `followed` the
    branch taken, for explanations; `mapped_length` the length of the return value when it was a list or dict;
    `outlet_events` the asset events (`OutletEvent` as JSON), which the worker stores as an asset change of their
    own and does not report; `returned` whether a mapped instance returned something that another expansion counts.
    """

    skip: tuple[str, ...] = ()
    followed: tuple[str, ...] = ()
    mapped_length: int | None = None
    outlet_events: tuple[dict[str, Any], ...] = ()
    returned: bool = False


class FinishedDispatch(msgspec.Struct, frozen=True, array_like=True):
    """One dispatch that a worker ended and committed; the row in the DB says the same."""

    run_key: int
    ti_id: int
    dispatch_no: int
    state: TaskInstanceState
    duration: float = 0.0
    """Seconds that the task itself ran."""
    next_at: datetime | None = None
    """When it may run again (up_for_retry, up_for_reschedule)."""
    effects: Effects | None = None


class FiredTrigger(msgspec.Struct, frozen=True, array_like=True):
    """An event of a deferred task instance's trigger, as a worker stored it. `outcome` is a `TriggerOutcome`."""

    event_id: int
    run_key: int
    ti_id: int
    dispatch_no: int
    outcome: str


class Report(_Message, frozen=True, tag="report"):
    """What one worker committed in one transaction. The same report twice is harmless."""

    worker_id: int
    finished: tuple[FinishedDispatch, ...] = ()
    claimed: tuple[tuple[int, int, int], ...] = ()
    """(run_key, ti_id, dispatch_no) of dispatches that now run there."""
    free_slots: int = 0
    fired: tuple[FiredTrigger, ...] = ()


class Nudge(_Message, frozen=True, tag="nudge"):
    """Something was committed that the scheduler should look at now instead of at its next round.

    `what` is one of "action", "asset", "dag", "pool", "trigger", "worker", "work"; `subject` names it where that helps.
    """

    what: str
    subject: str = ""


class Revoked(_Message, frozen=True, tag="revoked"):
    """Dispatches that a worker must end now: (ti_id, dispatch_no) pairs. Also in each lease renewal's answer."""

    dispatches: tuple[tuple[int, int], ...]


class WorkerSample(_Message, frozen=True, tag="sample"):
    """One second of a worker's life, for charts. Fractions are 0..1, sizes bytes, rates bytes a second."""

    worker_id: int
    at: datetime
    slots: int
    running: int
    cpu: float
    memory_used: int
    memory_total: int
    load1: float
    net_received: float
    net_sent: float
    tasks: tuple[tuple[int, float, int], ...] = ()
    """(ti_id, cpu fraction of one core, resident bytes) per running task."""
    triggers: int = 0
    """Triggers that its triggerer runs."""


class LogTail(_Message, frozen=True, tag="log"):
    """A piece of a running task's log for those who watch it; the chunk in the DB is the truth."""

    ti_id: int
    dispatch_no: int
    offset: int
    data: bytes


class Changed(_Message, frozen=True, tag="changed"):
    """States that were committed: (run_key, ti_id, state) triples, for live views.

    `ti_id` is 0 for the run itself; its state is "" when something else of it changed.
    """

    items: tuple[tuple[int, int, str], ...]


QueueMessage = Hint | Report | Nudge | Revoked | WorkerSample | LogTail | Changed

# ---------------------------------------------------------------- pipe: worker parent ↔ runner


class DagRunContext(msgspec.Struct, frozen=True, array_like=True):
    """What a task may know of its run."""

    run_key: int
    dag_id: str
    run_id: str
    run_type: str
    state: str
    logical_date: datetime | None
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    run_after: datetime
    start_date: datetime | None
    end_date: datetime | None
    conf: dict[str, Any]
    triggering_user: str | None = None
    partition_key: str | None = None
    note: str | None = None
    partition_date: datetime | None = None


class RunTask(_Message, frozen=True, tag="run"):
    """Parent → runner: execute one dispatch."""

    ti_id: int
    dispatch_no: int
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    bundle_root: str
    """Folder on this machine that holds the unpacked bundle."""
    bundle_name: str
    bundle_version: str
    fileloc: str
    dag_run: DagRunContext
    execution_timeout: float | None = None
    log_limit: int = 0
    xcom_limit: int = 0
    """Most bytes of one XCom value."""
    next_method: str | None = None
    next_kwargs: str | None = None
    """Arguments of `next_method`, the trigger's event among them: a dict as JSON text in the form of XComs."""
    first_start_date: datetime | None = None
    hostname: str = ""
    kind: str = "task"
    announce: bool = True
    """Whether `Started` is wanted: a short task whose code is loaded has ended before anybody could look at it."""
    order: Order | None = None
    """What is to be done when `kind` is not "task"."""
    map_limit: int = 0
    """Most items of a value that other tasks are expanded over (0: no limit)."""


class Started(_Message, frozen=True, tag="started"):
    """Runner → parent: user code begins now (its own stamp, aware UTC). Only when the task was sent with `announce`."""

    dispatch_no: int
    at: datetime
    pid: int


class TaskError(msgspec.Struct, frozen=True, array_like=True):
    """What went wrong, for people: class, message, where. The traceback is in the log."""

    kind: str
    message: str


class Deferral(msgspec.Struct, frozen=True, array_like=True):
    """The waiting that a task hands over when it ends as deferred.

    `kwargs` are the trigger's and `next_kwargs` those of `next_method`, each a dict as JSON text in the form of XComs.
    Without an event for `timeout` seconds (None: for ever) the task goes on to fail. `queue` names the triggerers that
    may take it; None: any.
    """

    classpath: str
    kwargs: str
    next_method: str
    next_kwargs: str = "{}"
    timeout: float | None = None
    queue: str | None = None


class Outcome(_Message, frozen=True, tag="outcome"):
    """Runner → parent: how the dispatch ended, before retries are taken into account.

    `result` is one of "success", "skipped", "failed", "fail_without_retry", "up_for_reschedule",
    "deferred", "awaiting_input", "timed_out". `leftover` names what the task left behind (threads, children, files);
    a runner with leftovers is recycled.
    """

    dispatch_no: int
    result: str
    started_at: datetime
    ended_at: datetime
    log_size: int = 0
    """Bytes of output captured so far, so that the parent reads exactly this dispatch's."""
    error: TaskError | None = None
    effects: Effects | None = None
    reschedule_at: datetime | None = None
    rendered_fields: dict[str, Any] | None = None
    rendered_map_index: str | None = None
    leftover: tuple[str, ...] = ()
    resident: int = 0
    output: bytes = b""
    """The whole output when it is short, so that the parent need not read it; otherwise nothing."""
    deferral: Deferral | None = None
    """Only with the result "deferred"."""
    question: Question | None = None
    """Only with the result "awaiting_input"."""
    callbacks_due: bool = False
    """Whether the task was ended so early that it could not call its callbacks."""
    retry_after: float | None = None
    """Seconds until the next try, when the task's retry policy chose them."""
    answer: Any = None
    """What user code answered to an order of the kind "evaluate", JSON-able."""


class BeTriggerer(_Message, frozen=True, tag="be_triggerer"):
    """Parent → runner, instead of a first task: run triggers from now on, until `Shutdown`.

    Seconds: `block_limit` after which it is told of a trigger that holds up all others, `output_interval` between two
    messages of one trigger's lines, `cleanup_limit` for all triggers to clean up at the end.
    """

    block_limit: float = 0.5
    output_interval: float = 2.0
    cleanup_limit: float = 5.0


class RunTrigger(_Message, frozen=True, tag="run_trigger"):
    """Parent → triggerer: run a trigger. `kwargs` is a dict as JSON text in the form of XComs.

    One that `goes_on` fires as often as it likes and is begun anew when it ends; the others end with their first event.
    """

    trigger_id: int
    claim_no: int
    classpath: str
    kwargs: str
    bundle_root: str = ""
    bundle_version: str = ""
    fileloc: str = ""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    goes_on: bool = False


class StopTrigger(_Message, frozen=True, tag="stop_trigger"):
    """Parent → triggerer: end a trigger. `killed`: somebody ended what waits for it; otherwise it merely moves."""

    trigger_id: int
    killed: bool


class TriggerYielded(_Message, frozen=True, tag="yielded"):
    """Triggerer → parent: an event. `payload` and the values of `xcoms` are JSON text in the form of XComs."""

    trigger_id: int
    claim_no: int
    outcome: str
    payload: str
    xcoms: tuple[tuple[str, str], ...] = ()


class TriggerBroke(_Message, frozen=True, tag="broke"):
    """Triggerer → parent: a trigger that waits for a task failed, or ended without an event."""

    trigger_id: int
    claim_no: int
    trace: str


class TriggerOutput(_Message, frozen=True, tag="trigger_output"):
    """Triggerer → parent: lines that a trigger wrote; of no trigger in particular with `trigger_id` 0."""

    trigger_id: int
    data: bytes


class Request(_Message, frozen=True, tag="request"):
    """Runner → parent: a bounded question or write on behalf of user code.

    `method` is one of REQUEST_METHODS, `arguments` its JSON-able arguments. The parent answers each with
    one `Reply` of the same number, in order.
    """

    number: int
    method: str
    arguments: dict[str, Any]
    trigger_id: int = 0
    """From a triggerer: on whose behalf."""


REQUEST_METHODS: dict[str, tuple[str, ...]] = {
    "xcom_get": ("run_key", "task_id", "map_index", "key", "dag_id", "run_id", "include_prior_dates"),
    "xcom_set": ("key", "value"),
    "xcom_delete": ("key",),
    "xcom_count": ("run_key", "task_id", "key"),
    "xcom_page": ("run_key", "task_id", "key", "offset", "limit"),
    "instance_count": ("run_key", "task_id"),
    "variable_get": ("key",),
    "variable_set": ("key", "value", "description"),
    "variable_delete": ("key",),
    "connection_get": ("conn_id",),
    "task_states_get": ("dag_id", "run_ids", "task_ids", "logical_dates", "task_group_id", "map_index"),
    "task_count": ("dag_id", "run_ids", "task_ids", "logical_dates", "task_group_id", "map_index", "states"),
    "dag_run_get": ("dag_id", "run_id"),
    "previous_dag_run_get": ("dag_id", "logical_date", "state"),
    "dag_run_count": ("dag_id", "run_ids", "states", "logical_dates"),
    "dag_run_trigger": ("key", "dag_id", "run_id", "logical_date", "conf", "note"),
    "dag_run_clear": ("key", "dag_id", "run_id", "logical_date"),
    "action_get": ("action_id",),
    "dag_get": ("dag_id", "task_ids", "task_group_id"),
    "asset_get": ("name", "uri"),
    "assets_inactive": ("keys",),
    "assets_of_alias": ("alias",),
    "asset_events_get": ("name", "uri", "alias", "after", "before", "ascending", "limit"),
    "triggering_asset_events_get": ("run_key",),
    "asset_event_runs_get": ("event_id",),
    "task_state_get": ("key",),
    "task_state_set": ("key", "value", "retention"),
    "task_state_delete": ("key",),
    "asset_state_get": ("name", "uri", "key"),
    "asset_state_set": ("name", "uri", "key", "value"),
    "asset_state_delete": ("name", "uri", "key"),
}
"""Methods of `Request` and the arguments that each takes. XCom and state values travel as JSON text.

`dag_run_trigger` and `dag_run_clear` store an action and answer its id; `action_get` tells what became of it. The same
`key` of one dispatch asks for the same action.
"""


class Reply(_Message, frozen=True, tag="reply"):
    """Parent → runner: the answer to one `Request`. `error` is (kind, message) when it failed;
    kind "not_found" means that the thing asked for does not exist. `secrets` occur in the value: hide them."""

    number: int
    value: Any = None
    error: tuple[str, str] | None = None
    secrets: tuple[str, ...] = ()


class Shutdown(_Message, frozen=True, tag="shutdown"):
    """Parent → runner: end when idle."""


class Returned(_Message, frozen=True, tag="returned"):
    """Runner → parent: a task sent ahead that is not kept, because the one that is executed asks and waits."""

    dispatch_no: int


class Mask(_Message, frozen=True, tag="mask"):
    """Runner → parent: a secret that user code has seen; hide it in this task's log from now on."""

    value: str


ToRunner = RunTask | Reply | Shutdown | BeTriggerer | RunTrigger | StopTrigger
FromRunner = Started | Outcome | Request | Returned | Mask | TriggerYielded | TriggerBroke | TriggerOutput

M = TypeVar("M")


class Codec(Generic[M]):
    """Encodes and decodes one family of messages with a leading version byte."""

    def __init__(self, family: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(family)

    def encode(self, message: M) -> bytes:
        """`message` as bytes. Raises WireError when a value in it cannot travel."""
        try:
            return b"%c%s" % (WIRE_VERSION, self._encoder.encode(message))
        except (TypeError, OverflowError, ValueError) as error:
            raise WireError(f"{type(message).__name__} cannot be sent: {error}") from error

    def decode(self, data: bytes | memoryview) -> M:
        """The message in `data`. Raises WireError when it is damaged, foreign or of a newer version."""
        view = memoryview(data)
        if not len(view) or view[0] != WIRE_VERSION:
            version = view[0] if len(view) else "none"
            raise WireError(f"message of wire version {version}; this process speaks {WIRE_VERSION}")
        try:
            return self._decoder.decode(view[1:])  # type: ignore[no-any-return]
        except msgspec.MsgspecError as error:
            raise WireError(f"message cannot be read: {error}") from error


queue_codec: Codec[QueueMessage] = Codec(QueueMessage)
to_runner_codec: Codec[ToRunner] = Codec(ToRunner)
from_runner_codec: Codec[FromRunner] = Codec(FromRunner)
