"""What the machine remembers, and the few operations through which all of it changes.

Decides nothing about when: the modules beside it (evaluation, runs, reports, people) do, and call these
operations. Every operation that changes a row appends the decision that writes it, so that memory and
transaction cannot differ. Made and driven by `machine.Machine`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from dagdeck_core.errors import UserError
from dagdeck_core.expansion import Expansion
from dagdeck_core.graph import Graph, build_graph
from dagdeck_core.ids import Ids
from dagdeck_core.records import DagRecord, DagVersionRecord, RunRecord, TaskRecord
from dagdeck_core.scheduling.admission import Admission
from dagdeck_core.scheduling.assets import Assets
from dagdeck_core.scheduling.deadlines import Deadlines
from dagdeck_core.scheduling.decisions import Decision, EmptyReady, MoveTask, Offer
from dagdeck_core.scheduling.leases import LeaseWatch
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_core.scheduling.run_state import RunState, Task
from dagdeck_core.scheduling.side_work import SideWorks, flush_offers
from dagdeck_core.scheduling.tally import Tally
from dagdeck_core.scheduling.timers import TimerKind, Timers
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import TERMINAL, DagRunState, TaskInstanceState
from dagdeck_core.timetables import Timetable, compile_timetable
from dagdeck_core.wire import FiredTrigger

if TYPE_CHECKING:
    from dagdeck_core.scheduling.events import DagRunsFound
    from dagdeck_core.scheduling.people import Work
    from dagdeck_core.scheduling.stopping import Stop

_S = TaskInstanceState
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
LONGEST_OFFER_WAIT = 60.0
"""Seconds between two offers of a dispatch that nobody claims, at the longest."""


@dataclass(slots=True, kw_only=True)
class DagEntry:
    """A DAG as known now, with its newest version and compiled timetable."""

    record: DagRecord
    version: DagVersionRecord
    timetable: Timetable | None
    """None when it is evaluated elsewhere (custom) or its zone is unknown."""
    runs: dict[int, RunState] = field(default_factory=dict)
    """Its unfinished runs by run_key."""
    recompute: bool = False
    """A new version came while we watched: the stored next run may be the old schedule's."""
    held: bool = False
    """A scheduled run is due but max_active_runs has no room."""
    wakes_at: datetime | None = None
    """For when a timer is set."""
    asked: tuple[int, datetime | None] | None = None
    """What its own code was asked last: (version_id, end of the last interval)."""
    ask_again_at: datetime | None = None
    has_warning: bool = True
    """Whether people may still see that its timetable failed; unknown counts as yes."""


class World:
    """All runs, DAGs, limits, leases and timers, and the decisions of the step under way."""

    def __init__(self, settings: MachineSettings, ids: Ids, zones: Callable[[str], tzinfo]) -> None:
        self.settings = settings
        self.ids = ids
        self.zones = zones
        self.now = _EPOCH
        self.now_ms = 0
        """`now` in Unix milliseconds, for ids."""
        self.out: list[Decision] = []
        self.rows_left = 0
        self.dags: dict[str, DagEntry] = {}
        self.versions: dict[int, DagVersionRecord] = {}
        self.graphs: dict[int, Graph] = {}
        self.runs: dict[int, RunState] = {}
        self.leases = LeaseWatch(settings.lease_time)
        self.timers = Timers()
        self.admission = Admission(self.leases.slots_of, self.is_paused)
        self.queue_on = True
        self.assets = Assets()
        self.running_on: dict[int, dict[int, Task]] = {}
        """worker_id → ti_id → task instance that runs there, as far as known."""
        self.dirty: dict[tuple[int, int], int | None] = {}
        """(run_key, task index) whose none instances must be judged, in order of arrival; from which position on."""
        self.dirty_later: dict[tuple[int, int], int | None] = {}
        """The same for the next step: this one has looked at enough instances."""
        self.dirty_instances: dict[Task, None] = {}
        """Single instances to be judged: in mapped groups index goes with index."""
        self.look_left = 0
        """How many instances of expanded tasks this step may still look at."""
        self.expanding: dict[tuple[int, int], None] = {}
        """(run_key, task index) of expansions under way, the next one to be gone on with first."""
        self.expand_left = 0
        """How many rows this step may still write for them."""
        self.hungry: dict[tuple[int, int], None] = {}
        """(run_key, task index) of which an instance competes no longer, while others wait to."""
        self.unmarked: deque[tuple[Task, int, datetime]] = deque()
        """Candidates not yet written as scheduled: (task, ticket, since when it is one), longest first."""
        self.released_at = _EPOCH
        """When a candidate was last released."""
        self.offers: dict[str, list[Task]] = {}
        """queue → queued task instances to offer at the end of the step."""
        self.offered: list[Task] = []
        """What the last step offered: to be offered again when its commit failed."""
        self.ready_is_stale = False
        """The `ready` table holds offers of the time without queue."""
        self.creating: dict[int, None] = {}
        self.maybe_done: dict[int, None] = {}
        self.taken: dict[tuple[str, str], None] = {}
        """(dag_id, run_id) of scheduled runs whose place somebody else's run has."""
        self.timed_out: dict[int, None] = {}
        self.stops: dict[int, Stop] = {}
        """run_key → the ending of what is left of the run."""
        self.works: dict[int, Work] = {}
        """action_id → a person's action that is not done yet; they are carried out in order."""
        self.removing: dict[str, DagRunsFound | None] = {}
        """DAGs that are being deleted, and some of their runs; None: they are to be read."""
        self.ended: dict[int, None] = {}
        """Runs in a terminal state that are still in memory."""
        self.to_activate: dict[str, None] = {}
        """DAGs in which a queued run may have become startable."""
        self.due: dict[str, None] = {}
        """DAGs whose next run may be due."""
        self.due_later: dict[str, None] = {}
        """DAGs that create more runs in the next step."""
        self.reload_wanted: dict[int, None] = {}
        self.fired: dict[int, tuple[FiredTrigger, bool]] = {}
        """event_id → an event of a trigger that is still to be judged, and whether it was read from the database."""
        self.predecessors_wanted: dict[int, None] = {}
        self.successors: dict[int, dict[int, None]] = {}
        """run_key → unfinished runs that look at it for depends_on_past."""
        self.deadlines = Deadlines()
        self.side = SideWorks()
        """Callbacks and questions to user code."""
        self.tally = Tally()
        self.outdated: dict[str, None] = {}
        """DAGs with a new version since the last step: their older ones may no longer be needed."""

    # ------------------------------------------------------------ small questions

    def is_paused(self, dag_id: str) -> bool:
        """Whether nothing new may start in a DAG; unknown DAGs count as paused."""
        entry = self.dags.get(dag_id)
        return entry is None or entry.record.is_paused

    def set_now(self, now: datetime) -> None:
        """Let a step begin at `now`; time never goes back."""
        self.now = max(now, self.now)
        self.now_ms = (self.now - _EPOCH) // _MILLISECOND

    def mark_at(self, since: datetime) -> datetime:
        """When a candidate of `since` is written as scheduled: after mark_after, once half of that has passed
        without any release, so that work that flows is not held up; after ten times mark_after in any case."""
        wait = timedelta(seconds=self.settings.mark_after)
        return min(max(since + wait, self.released_at + wait / 2), since + 10 * wait)

    def new_id(self) -> int:
        """A new id at the step's time."""
        return self.ids.next(self.now_ms)

    def spec_of(self, run: RunState) -> DagSpec:
        """The spec of the version that a run is pinned to."""
        return self.versions[run.record.version_id].spec

    def emit(self, decision: Decision, rows: int = 1) -> None:
        """Add a decision that writes about `rows` rows."""
        self.out.append(decision)
        self.rows_left -= rows

    # ------------------------------------------------------------ dags and runs come and go

    def set_dag(self, record: DagRecord, version: DagVersionRecord) -> DagEntry:
        """Take in a DAG's row and newest version; keeps its runs."""
        self.add_version(version)
        known = self.dags.get(record.dag_id)
        if known is not None and known.version.version_id == version.version_id:
            known.record = record
            self.watch_schedule(known)
            return known
        timetable: Timetable | None
        try:
            timetable = compile_timetable(version.spec.timetable, self.zones)
        except UserError:
            timetable = None
        entry = DagEntry(record=record, version=version, timetable=timetable)
        if known is not None:
            entry.runs = known.runs
            entry.recompute = True
            self.outdated[record.dag_id] = None
        else:
            entry.runs = {
                key: run
                for key, run in self.runs.items()
                if run.record.dag_id == record.dag_id and run.state in (DagRunState.QUEUED, DagRunState.RUNNING)
            }
        self.dags[record.dag_id] = entry
        self.watch_schedule(entry)
        return entry

    def watch_schedule(self, entry: DagEntry) -> None:
        """Wake when a DAG's next run is due, whoever else wakes us: a wake-up that got lost must not cost a run."""
        at = entry.record.next_run_after
        if at is not None and at > self.now and at != entry.wakes_at:
            entry.wakes_at = at
            self.timers.set(at, TimerKind.DAG, dag_id=entry.record.dag_id)

    def add_version(self, version: DagVersionRecord) -> Graph:
        """Take in a version; returns its graph, built once."""
        graph = self.graphs.get(version.version_id)
        if graph is None:
            graph = self.graphs[version.version_id] = build_graph(version.spec)
            self.versions[version.version_id] = version
        return graph

    def add_run(self, record: RunRecord, rows: tuple[TaskRecord, ...]) -> RunState:
        """Take in a run with all its rows, replacing what was known of it. Its version must be known."""
        self.drop_run(record.run_key)
        version = self.versions[record.version_id]
        run = RunState.from_rows(record, self.graphs[record.version_id], version.spec.max_active_tasks, rows)
        self.runs[run.key] = run
        entry = self.dags.get(record.dag_id)
        if run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
            self.ended[run.key] = None
        elif entry is not None:
            entry.runs[run.key] = run
        self.admission.add_run(run.by_id.values(), 1)
        for task in run.by_id.values():
            self._watch(task)
        if run.state is DagRunState.RUNNING:
            self.mark_all_dirty(run)
            self.set_run_timers(run)
        elif run.state is DagRunState.QUEUED:
            self.to_activate[record.dag_id] = None
            if record.run_after > self.now:
                self.timers.set(record.run_after, TimerKind.RUN_AFTER, run.key)
        for successor in self.successors.get(run.key, ()):
            if successor in self.runs:
                self.mark_all_dirty(self.runs[successor])
        if not run.complete:
            self.creating[run.key] = None
        if run.state in (DagRunState.QUEUED, DagRunState.RUNNING):
            self.look_back(run)
        return run

    def drop_run(self, run_key: int) -> None:
        """Forget a run and all that it held."""
        run = self.runs.pop(run_key, None)
        if run is None:
            return
        for task in run.by_id.values():
            self.admission.withdraw(task)
            if task.worker_id is not None:
                self.running_on.get(task.worker_id, {}).pop(task.ti_id, None)
        self.admission.add_run(run.by_id.values(), -1)
        self.admission.forget_run(run_key)
        entry = self.dags.get(run.record.dag_id)
        if entry is not None:
            entry.runs.pop(run_key, None)
        self.creating.pop(run_key, None)
        self.maybe_done.pop(run_key, None)
        self.stop_looking_back(run)

    def forget_ended(self) -> None:
        """Drop ended runs that hold nothing, that no action means and that no unfinished run looks back at."""
        meant = dict.fromkeys(work.run_key for work in self.works.values())
        for run_key in list(self.ended):
            run = self.runs.get(run_key)
            if run is None or run.state in (DagRunState.QUEUED, DagRunState.RUNNING):
                del self.ended[run_key]
            elif not run.active and run_key not in meant and not self.successors.get(run_key):
                del self.ended[run_key]
                self.drop_run(run_key)
        if self.outdated:
            self._forget_versions()

    def _forget_versions(self) -> None:
        """Drop versions that are neither a DAG's newest nor a run's."""
        kept = dict.fromkeys(entry.version.version_id for entry in self.dags.values())
        kept.update(dict.fromkeys(run.record.version_id for run in self.runs.values()))
        for version_id, version in list(self.versions.items()):
            if version_id not in kept and version.dag_id in self.outdated:
                del self.versions[version_id]
                del self.graphs[version_id]
        self.outdated = {}

    def look_back(self, run: RunState) -> None:
        """Ask which run came before, where depends_on_past or wait_for_downstream needs to know."""
        self.stop_looking_back(run)
        if not run.graph.uses_past:
            return
        if run.record.logical_date is None:
            run.predecessor_key = 0
        else:
            self.predecessors_wanted[run.key] = None

    def stop_looking_back(self, run: RunState) -> None:
        """Forget which run came before: this one ended, is gone, or asks anew."""
        self.predecessors_wanted.pop(run.key, None)
        if run.predecessor_key:
            looking = self.successors.get(run.predecessor_key)
            if looking is not None:
                looking.pop(run.key, None)
                if not looking:
                    del self.successors[run.predecessor_key]
        run.predecessor_key = None

    def times_out_at(self, run: RunState) -> datetime | None:
        """When a running run has been running for its dagrun_timeout; None: never."""
        timeout, start = self.spec_of(run).dagrun_timeout, run.record.start_date
        return start + timedelta(seconds=timeout) if timeout is not None and start is not None else None

    def set_run_timers(self, run: RunState) -> None:
        """Set the timer of a running run's dagrun_timeout."""
        at = self.times_out_at(run)
        if at is not None:
            self.timers.set(at, TimerKind.RUN_TIMEOUT, run.key)

    def mark_all_dirty(self, run: RunState) -> None:
        """Have every task of a run judged anew."""
        for index, tasks in enumerate(run.tasks):
            if tasks:
                self.dirty[(run.key, index)] = None
        self.maybe_done[run.key] = None

    def row_of(self, task: Task) -> TaskRecord:
        """The task instance as its row must look now."""
        return TaskRecord(
            ti_id=task.ti_id,
            run_key=task.run.key,
            task_id=task.spec.task_id,
            map_index=task.map_index,
            state=task.state,
            dispatch_no=task.dispatch_no,
            try_number=task.try_number,
            max_tries=task.max_tries,
            worker_id=task.worker_id,
            next_at=task.next_at,
            lost_count=task.lost_count,
            revoke_to=task.revoke_to,
            effects=task.effects,
        )

    def unpaused(self, dag_id: str) -> None:
        """A DAG may go on: look again at all that stood still in it."""
        self.to_activate[dag_id] = None
        self.due[dag_id] = None
        self.assets.due[dag_id] = None
        self.admission.unpark(("dag", dag_id))
        entry = self.dags.get(dag_id)
        if entry is None:
            return
        # The stored next run may have been missed while the DAG was paused: the timetable says what is due now.
        entry.recompute = True
        for run in entry.runs.values():
            if run.state is DagRunState.RUNNING:
                self.mark_all_dirty(run)

    # ------------------------------------------------------------ task instances move

    def move(
        self,
        task: Task,
        new: TaskInstanceState,
        *,
        reason: str,
        cause: str = "",
        next_at: datetime | None = None,
        max_tries: int | None = None,
        try_number: int | None = None,
        lost_count: int | None = None,
        new_no: int | None = None,
    ) -> None:
        """Move a task instance and decide the row's change with it."""
        old, old_no = task.state, task.dispatch_no
        if max_tries is not None:
            task.max_tries = max_tries
        if try_number is not None:
            task.try_number = try_number
        if lost_count is not None:
            task.lost_count = lost_count
        if new_no is not None:
            task.dispatch_no = new_no
        self.shift(task, new, next_at=next_at)
        spec = task.spec
        self.emit(
            MoveTask(
                run_key=task.run.key,
                ti_id=task.ti_id,
                old=old,
                new=new,
                old_no=old_no,
                new_no=task.dispatch_no,
                try_number=task.try_number,
                max_tries=task.max_tries,
                lost_count=task.lost_count,
                priority=task.priority,
                queue=spec.queue,
                next_at=next_at,
                reason=reason,
                cause=cause,
            ),
            rows=2,
        )

    def shift(self, task: Task, new: TaskInstanceState, *, next_at: datetime | None = None) -> None:
        """Change a task instance's state in memory only: for what a worker has already committed."""
        old, run = task.state, task.run
        self.tally.task_moves[new] += 1
        if new not in (_S.RUNNING, _S.RESTARTING) and task.worker_id is not None:
            self.running_on.get(task.worker_id, {}).pop(task.ti_id, None)
            task.worker_id = None
        if new is _S.NONE:
            self._skips_dirty(task)
        if new is not _S.RUNNING and new is not _S.RESTARTING:
            task.revoke_to = None
        task.next_at = next_at
        if new is not _S.SCHEDULED:
            if task.ticket > 0 and task.map_index >= 0:
                self.place_freed(task)
            self.admission.withdraw(task)
        run.move(task, new)
        if new is _S.NONE:
            task.effects = None
            task.weigh()
        self.admission.task_moved(task, old, new)
        self._watch(task)
        if (new in TERMINAL) != (old in TERMINAL) or (new in TERMINAL and old is not new):
            for down in run.graph.wakes[task.task_index]:
                self.dirty[(run.key, down)] = None
            if run.graph.guarded:
                for index in run.graph.guarded.get(task.task_index, ()):
                    self.dirty[(run.key, index)] = None
            if run.graph.expansion is not None:
                self._wake_partners(task, run.graph.expansion)
            self._skips_dirty(task)
            for successor in self.successors.get(run.key, ()):
                self._successor_dirty(successor, task)
        if new is _S.NONE:
            self.dirty[(run.key, task.task_index)] = None
            run.settled.pop(task.task_index, None)
        self.maybe_done[run.key] = None

    def dispatch(self, task: Task, *, reason: str, lost: bool = False, cause: str = "") -> None:
        """Queue a task instance under a new dispatch_no and offer it."""
        fresh = task.state in (_S.NONE, _S.UP_FOR_RETRY)
        task.offer_wait = 0.0
        self.move(
            task,
            _S.QUEUED,
            reason=reason,
            cause=cause,
            try_number=task.try_number + (1 if fresh else 0),
            lost_count=task.lost_count + 1 if lost else (0 if fresh else None),
            new_no=self.new_id(),
        )
        self.offers.setdefault(task.spec.queue, []).append(task)

    def offer(self, task: Task) -> None:
        """Offer a queued task instance to workers at the end of the step, and look again later."""
        self.offers.setdefault(task.spec.queue, []).append(task)
        self._watch(task)

    def flush_offers(self) -> None:
        """Turn the collected offers into decisions."""
        if self.ready_is_stale and self.queue_on:
            self.ready_is_stale = False
            self.emit(EmptyReady())
        self.offered = []
        for queue, tasks in self.offers.items():
            live = sorted((task for task in tasks if task.state is _S.QUEUED), key=lambda task: -task.priority)
            if not live:
                continue
            dispatches = tuple((task.ti_id, task.dispatch_no, task.priority) for task in live)
            self.emit(
                Offer(queue=queue, dispatches=dispatches, as_rows=not self.queue_on),
                rows=0 if self.queue_on else len(dispatches),
            )
            self.offered += live
        self.offers = {}
        if self.side.offers:
            flush_offers(self)

    def offer_again(self) -> None:
        """What the last step offered did not get out: have it offered by the next one."""
        for task in self.offered:
            if self.runs.get(task.run.key) is task.run and task.state is _S.QUEUED:
                self._offer_at(task, self.now)
        self.offered = []

    def start_running(self, task: Task, worker_id: int) -> None:
        """A worker claimed the task instance's live dispatch."""
        self.shift(task, _S.RUNNING)
        task.worker_id = worker_id
        self._watch(task)

    # ------------------------------------------------------------ inside

    def _watch(self, task: Task) -> None:
        """Set up what a task instance's state needs: its worker's list, its timer, its offer."""
        state = task.state
        if state in (_S.RUNNING, _S.RESTARTING) and task.worker_id is not None:
            self.running_on.setdefault(task.worker_id, {})[task.ti_id] = task
        elif state is _S.QUEUED:
            task.offer_wait = min(max(task.offer_wait * 2, self.settings.reoffer_after), LONGEST_OFFER_WAIT)
            self._offer_at(task, self.now + timedelta(seconds=task.offer_wait))
        elif state in (_S.UP_FOR_RETRY, _S.UP_FOR_RESCHEDULE):
            task.weigh()
            self.timers.set(task.next_at or self.now, TimerKind.TASK, task.run.key, task.ti_id)
        elif state in (_S.DEFERRED, _S.AWAITING_INPUT) and task.next_at is not None:
            self.timers.set(task.next_at, TimerKind.TASK, task.run.key, task.ti_id)

    def _offer_at(self, task: Task, at: datetime) -> None:
        task.offer_at = at
        self.timers.set(at, TimerKind.OFFER, task.run.key, task.ti_id)

    def _skips_dirty(self, task: Task) -> None:
        if task.effects is not None:
            run = task.run
            for task_id in task.effects.skip:
                index = run.graph.index.get(task_id)
                if index is None:
                    continue
                places = run.skip_places_of(task, index) if task.map_index >= 0 else ()
                if places and run.tasks[index] and run.tasks[index][0].map_index >= 0:
                    others = run.tasks[index]
                    self.dirty_instances.update((others[at], None) for _, at in places if at < len(others))
                else:
                    self.dirty[(run.key, index)] = None

    def _wake_partners(self, task: Task, expansion: Expansion) -> None:
        """An instance has ended, or goes back: those that depend on it by index are judged anew."""
        run, index = task.run, task.task_index
        for partner in expansion.partial_down[index]:
            others = run.tasks[partner.task]
            if task.map_index < 0 or not others or others[0].map_index < 0:
                self.dirty[(run.key, partner.task)] = None
                continue
            for at in expansion.partners(index, task.map_index, partner.task, partner.depth):
                if at < len(others):
                    self.dirty_instances[others[at]] = None

    def wake_all_partners(self, run: RunState, index: int) -> None:
        """A task has all its instances now: whatever depends on them by index is judged anew."""
        assert run.graph.expansion is not None
        for partner in run.graph.expansion.partial_down[index]:
            self.dirty[(run.key, partner.task)] = None

    # ------------------------------------------------------------ candidates

    def offer_candidate(self, task: Task) -> None:
        """Let a task instance compete for a slot."""
        self.admission.offer(task)
        self.unmarked.append((task, task.ticket, self.now))

    def place_freed(self, task: Task) -> None:
        """An instance that competed has been released or withdrawn: the next of its siblings may compete."""
        run, index = task.run, task.task_index
        run.offered[index] = max(run.offered.get(index, 0) - 1, 0)
        if run.feeds.get(index):
            self.hungry[(run.key, index)] = None

    def _successor_dirty(self, run_key: int, task: Task) -> None:
        successor = self.runs.get(run_key)
        if successor is None:
            return
        graph = successor.graph
        for task_id in (task.spec.task_id, *task.spec.upstream):
            index = graph.index.get(task_id)
            if index is not None:
                self.dirty[(run_key, index)] = None
