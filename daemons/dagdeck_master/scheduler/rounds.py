"""Rounds of the scheduler: facts in, decisions committed, hints sent; one at a time, in one thread.

Decides in which order rows are read, steps are committed and hints are sent, and how to come back after a
commit that failed. Does not decide what is scheduled (`dagdeck_core.scheduling`), does not wait and
reads no clock: `loop` calls it with the time and the messages that arrived, and so does the simulation.

The order is what makes it safe. Worker rows are read before the messages of the same round are
taken in, so a worker that held a dispatch earlier and has no row now is gone. Hints leave only after
their commit. After a failed or unknown commit everything it touched is read again before the next step.
What a round was told or has read and could not decide on, because the database went away, is kept for the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dagdeck_core.actions import (
    ClearTaskInstances,
    DeleteDag,
    DeleteDagRun,
    RespondToInput,
    SetDagRunState,
    SetNote,
    SetTaskInstanceState,
    TriggerDagRun,
)
from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import GuardFailed, LeadershipLost, SchedulerStore
from dagdeck_core.records import ActionRecord, RunRecord, WorkerRecord
from dagdeck_core.scheduling.deadlines import AverageWanted
from dagdeck_core.scheduling.decisions import CreateRun, Decision, DeleteRun, Offer, Revoke, ScheduleNext
from dagdeck_core.scheduling.events import (
    ActionPosted,
    AssetChangesPosted,
    AssetNamesLoaded,
    AssetsLoaded,
    AverageFound,
    DagChanged,
    DagDue,
    DagRemoved,
    DagRunsFound,
    DeadlinesLoaded,
    DispatchesClaimed,
    DispatchesFinished,
    Event,
    PoolsLoaded,
    PredecessorFound,
    QueueSwitched,
    RunLoaded,
    TriggersFired,
    VersionLoaded,
    WorkersSeen,
    WorkLoaded,
)
from dagdeck_core.scheduling.machine import Machine
from dagdeck_core.states import DagRunState, DagRunType
from dagdeck_core.wire import WIRE_VERSION, Nudge, QueueMessage, Report
from dagdeck_master.scheduler.reconciler import Reconciler

log = logging.getLogger(__name__)

ACTIONS_PER_ROUND = 50
_OF_A_RUN = ClearTaskInstances | SetTaskInstanceState | SetDagRunState | DeleteDagRun | SetNote | RespondToInput
ASSET_CHANGES_PER_ROUND = 200
DAG_RUNS_PER_ROUND = 200
"""Runs of a DAG that is being deleted which are read at once."""
TRIGGER_EVENTS_PER_ROUND = 1_000
MOST_UNHEARD = 10_000
"""Facts kept while no round succeeds; beyond that reports are left to the reconciler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSettings:
    """How often rows are read without being asked to, in seconds."""

    worker_interval: float = 2.0
    action_interval: float = 1.0
    dag_interval: float = 2.0
    work_interval: float = 5.0
    asset_interval: float = 2.0
    reconcile_interval: float = 5.0
    reconcile_interval_without_queue: float = 1.0


@dataclass(slots=True)
class Outcome:
    """What a round did: the decisions that were committed, and whether another round should follow at once."""

    committed: list[Decision] = field(default_factory=list)
    again: bool = False
    guard_failed: bool = False
    """The step met rows that had changed; nothing of it was written."""
    removed: bool = False
    """Runs are gone whose rows are to be cleared away."""

    @property
    def schedules(self) -> list[ScheduleNext]:
        """New next runs, for the wake-ups."""
        return [decision for decision in self.committed if isinstance(decision, ScheduleNext)]


class Rounds:
    """One leader's rounds, from `start` until LeadershipLost.

    `send` carries out committed `Offer`s and `Revoke`s on the queue and returns False when the queue
    cannot be reached; then hints go through the `ready` table until `queue_is_back` is called.
    """

    def __init__(
        self,
        store: SchedulerStore,
        machine: Machine,
        send: Callable[[Sequence[Decision]], bool],
        settings: RoundSettings,
    ) -> None:
        self._store = store
        self._machine = machine
        self._reconciler = Reconciler(machine)
        self._send = send
        self._settings = settings
        self._epoch = 0
        self._due_at: dict[str, float] = {}
        self._revisions: dict[str, int] = {}
        self._lost: tuple[list[int], list[str]] | None = None
        """Runs and DAGs that a failed commit touched and that are still to be read again."""
        self._unheard: list[Event] = []
        """Facts that rounds were told of and that no step has taken in yet."""
        self._queue_on = True
        self._queue_switch: bool | None = None
        self._removing = False
        """Whether an action that deletes runs was posted and may not be done."""
        self._foreign: frozenset[int] = frozenset()
        """Workers of another wire version, of which the log has been told."""

    # ------------------------------------------------------------ start

    def start(self, epoch: int, now: datetime, mono: float) -> Outcome:
        """Load everything under the leadership lock and take the first decisions.

        The caller noted the end of the report stream before, and reads on from there afterwards.
        """
        self._epoch = epoch
        revisions = self._store.dag_revisions()
        snapshot = self._store.load(epoch)
        self._revisions = revisions
        events: list[Event] = [PoolsLoaded(pools=snapshot.pools)]
        events += [VersionLoaded(version=version) for version in snapshot.versions]
        events += [DagChanged(dag=dag, version=version) for dag, version in snapshot.dags]
        events += [RunLoaded(run=run, tasks=rows) for run, rows in snapshot.runs]
        events.append(DeadlinesLoaded(deadlines=snapshot.deadlines))
        events.append(WorkLoaded(works=snapshot.works))
        events.append(WorkersSeen(workers=snapshot.workers, mono=mono))
        events.append(AssetsLoaded(state=snapshot.assets))
        # One may have been half done when the last leader went: nothing may start in its run before it is done.
        pending = self._store.pending_actions(ACTIONS_PER_ROUND)
        events += self._posted(pending, [run.run_key for run, _ in snapshot.runs])
        if self._queue_switch is False:
            self._queue_on, self._queue_switch = False, None
            events.insert(0, QueueSwitched(on=False))
        self._postpone_reads(mono)
        return self._step(now, events)

    def _postpone_reads(self, mono: float) -> None:
        settings = self._settings
        self._due_at = {
            "worker": mono + settings.worker_interval,
            "action": mono,
            "dag": mono + settings.dag_interval,
            "work": mono + settings.work_interval,
            "asset": mono,
            "reconcile": mono + settings.reconcile_interval,
            "trigger": mono,
        }

    # ------------------------------------------------------------ one round

    def round(
        self,
        now: datetime,
        mono: float,
        messages: Iterable[QueueMessage] = (),
        due_dags: Iterable[str] = (),
    ) -> Outcome:
        """Take in what arrived and what is due to be read; decide, commit, send.

        Raises LeadershipLost; EnvironmentFault when the database cannot be reached (call again later:
        nothing is lost).
        """
        messages = list(messages)
        nudged = {message.what for message in messages if isinstance(message, Nudge)}
        self._reconciler.hear((message for message in messages if isinstance(message, Report)), mono)
        earlier = len(self._unheard)
        self._unheard += [DagDue(dag_id=dag_id) for dag_id in due_dags]
        self._unheard += self._facts(messages)
        try:
            if self._lost is not None:
                self._recover()
            events = self._reads(mono, nudged)
            # Facts of earlier rounds are older than what was read now, those of this round may be newer.
            events = [*self._unheard[:earlier], *events, *self._unheard[earlier:]]
            self._unheard = []
            return self._step(now, events)
        except LeadershipLost:
            raise
        except EnvironmentFault:
            # Workers could not raise their counters either: what was not seen proves nothing.
            self._machine.restart_leases()
            self._reconciler.forget()
            for name in self._due_at:
                self._due_at[name] = mono
            if len(self._unheard) > MOST_UNHEARD:
                self._unheard = [event for event in self._unheard if isinstance(event, DagDue)]
            raise

    @property
    def next_read(self) -> float:
        """The earliest monotonic time at which a round has something to read by itself."""
        return min(*self._due_at.values(), self._reconciler.second_look)

    def queue_is_back(self) -> None:
        """The queue answers again: hints go through it from the next round on, and lost reports are made good."""
        if not self._queue_on or self._queue_switch is False:
            self._queue_switch = True
            self._reconciler.forget()
            self._due_at["reconcile"] = float("-inf")

    def queue_is_down(self) -> None:
        """The queue does not answer: work is offered in the `ready` table from the next round on."""
        if self._queue_on:
            self._reconciler.forget()
        self._queue_switch = False

    @property
    def queue_on(self) -> bool:
        """Whether hints go through the queue."""
        return self._queue_on

    # ------------------------------------------------------------ reading

    def _reads(self, mono: float, nudged: set[str]) -> list[Event]:
        """Events from rows: what was asked for, and what is due to be looked at."""
        settings = self._settings
        revisions = self._revisions
        events: list[Event] = []
        if self._is_due("dag", "dag" in nudged, mono, settings.dag_interval):
            revisions = self._store.dag_revisions()
            events += self._changed_dags(revisions)
        if "pool" in nudged:
            events.append(PoolsLoaded(pools=tuple(self._store.load_pools(self._epoch))))
        interval = settings.reconcile_interval if self._queue_on else settings.reconcile_interval_without_queue
        if self._is_due("reconcile", False, mono, interval):
            events += self._differing_runs(self._reconciler.to_look_at(mono, interval), mono, interval)
        events += self._differing_runs(self._reconciler.suspects(mono), mono, interval, second=True)
        events += self._reloads()
        events += self._predecessors()
        for dag_id in self._machine.dag_runs_wanted():
            keys = self._store.run_keys_of(dag_id, DAG_RUNS_PER_ROUND)
            events.append(DagRunsFound(dag_id=dag_id, run_keys=tuple(keys), more=len(keys) == DAG_RUNS_PER_ROUND))
        if self._machine.wants_deadlines:
            events.append(DeadlinesLoaded(deadlines=self._store.load_deadlines(self._epoch)))
        events += [self._average(wanted) for wanted in self._machine.averages_wanted()]
        if self._is_due("work", "work" in nudged or self._machine.wants_work, mono, settings.work_interval):
            events += self._works()
        events += self._trigger_events(mono, "trigger" in nudged, interval)
        if self._is_due("worker", "worker" in nudged, mono, settings.worker_interval):
            events.append(WorkersSeen(workers=self._workers(), mono=mono))
        wanted = self._machine.take_actions_wanted()
        if self._is_due("action", "action" in nudged or wanted, mono, settings.action_interval):
            records = self._store.pending_actions(ACTIONS_PER_ROUND)
            if revisions is self._revisions and _name_others(records, revisions):
                # Somebody has seen a DAG before this process has.
                revisions = self._store.dag_revisions()
                events += self._changed_dags(revisions)
            events += self._posted(records)
            if len(records) == ACTIONS_PER_ROUND:
                self._due_at["action"] = mono
        if self._is_due("asset", "asset" in nudged, mono, settings.asset_interval):
            changes = self._store.pending_asset_changes(ASSET_CHANGES_PER_ROUND)
            if changes:
                events.append(AssetChangesPosted(changes=tuple(changes)))
            if len(changes) == ASSET_CHANGES_PER_ROUND:
                self._due_at["asset"] = mono
        # Nothing more can fail before the step takes these in.
        self._revisions = revisions
        if self._queue_switch is not None:
            if self._queue_switch is not self._queue_on:
                events.append(QueueSwitched(on=self._queue_switch))
            self._queue_on, self._queue_switch = self._queue_switch, None
        return events

    def _works(self) -> list[Event]:
        """Other work than task instances, as its rows are."""
        return [WorkLoaded(works=self._store.load_works(self._epoch))]

    def _trigger_events(self, mono: float, nudged: bool, interval: float) -> list[Event]:
        """Events of triggers that nobody may have told of. Without deferred tasks nothing is read."""
        if not self._is_due("trigger", nudged, mono, interval) or not self._machine.has_deferred:
            return []
        found = self._store.trigger_events(TRIGGER_EVENTS_PER_ROUND)
        if len(found) == TRIGGER_EVENTS_PER_ROUND:
            self._due_at["trigger"] = mono
        return [TriggersFired(items=tuple(found), stored=True)] if found else []

    def _workers(self) -> tuple[WorkerRecord, ...]:
        workers = tuple(self._store.load_workers())
        foreign = {worker.worker_id: worker for worker in workers if worker.wire_version != WIRE_VERSION}
        for worker_id in sorted(foreign.keys() - self._foreign):
            worker = foreign[worker_id]
            log.warning(
                "worker %s gets no work: it speaks wire version %d and this scheduler %d. "
                "Upgrade %s (the worker is DagDeck %s)",
                worker.name,
                worker.wire_version,
                WIRE_VERSION,
                "the worker" if worker.wire_version < WIRE_VERSION else "the master",
                worker.version or "of an unknown release",
            )
        self._foreign = frozenset(foreign)
        return workers

    def _is_due(self, name: str, nudged: bool, mono: float, interval: float) -> bool:
        if not nudged and mono < self._due_at[name]:
            return False
        self._due_at[name] = mono + interval
        return True

    def _changed_dags(self, revisions: dict[str, int]) -> list[Event]:
        changed = [dag_id for dag_id, number in revisions.items() if self._revisions.get(dag_id) != number]
        gone = [dag_id for dag_id in self._revisions if dag_id not in revisions]
        events: list[Event] = [DagRemoved(dag_id=dag_id) for dag_id in gone]
        if changed:
            events += [
                DagChanged(dag=dag, version=version) for dag, version in self._store.load_dags(self._epoch, changed)
            ]
        if events:
            assets, aliases = self._store.load_asset_names(self._epoch)
            events.append(AssetNamesLoaded(assets=assets, aliases=aliases))
        return events

    def _differing_runs(
        self, run_keys: list[int], mono: float, interval: float, *, second: bool = False
    ) -> list[Event]:
        """Runs whose rows are not what memory holds: reports were lost."""
        if not run_keys:
            return []
        loaded = self._store.load_runs(self._epoch, run_keys)
        events = self._reconciler.differing(loaded, mono, interval, second=second)
        for event in events:
            if isinstance(event, RunLoaded):
                log.info("run %s of %s is read again: its rows are ahead", event.run.run_id, event.run.dag_id)
        return events

    def _loaded(self, run_keys: Sequence[int]) -> list[Event]:
        if not run_keys:
            return []
        versions, loaded = self._store.load_runs(self._epoch, run_keys)
        return [
            *(VersionLoaded(version=version) for version in versions),
            *(RunLoaded(run=run, tasks=rows) for run, rows in loaded),
        ]

    def _reloads(self) -> list[Event]:
        """Runs that the machine asked for."""
        wanted = self._machine.take_reload_wanted()
        try:
            return self._loaded(wanted)
        except EnvironmentFault:
            self._machine.want_reload(wanted)
            raise

    def _predecessors(self) -> list[Event]:
        events: list[Event] = []
        for run_key, dag_id, before in self._machine.predecessors_wanted():
            found = self._store.previous_run_key(dag_id, before) or 0
            if found and not self._machine.knows_run(found):
                events += self._loaded([found])
            events.append(PredecessorFound(run_key=run_key, predecessor_key=found))
        return events

    def _average(self, wanted: AverageWanted) -> AverageFound:
        """How long past runs took; nothing where the deadline is set already."""
        is_set = wanted.again and self._store.has_deadline(wanted.run_key, wanted.number)
        found = (0, 0.0) if is_set else self._store.average_runtime(wanted.dag_id, wanted.most, wanted.before)
        return AverageFound(run_key=wanted.run_key, number=wanted.number, runs=found[0], seconds=found[1])

    # ------------------------------------------------------------ people's actions

    def _posted(self, records: Sequence[ActionRecord], loaded: Sequence[int] = ()) -> list[Event]:
        """Actions as events, with the runs that they name loaded first unless they are `loaded` already."""
        wanted = dict.fromkeys(key for record in records if (key := _run_key_of(record)) is not None)
        known = dict.fromkeys(loaded)
        missing = [key for key in wanted if key not in known and not self._machine.knows_run(key)]
        ended = self._ended_runs(records, missing) if missing else {}
        events = self._loaded([key for key in missing if key not in ended])
        for record in records:
            action = record.action
            if isinstance(action, TriggerDagRun):
                run_id = action.run_id or self._machine.run_id_said(record.action_id)
                taken, date_taken = self._store.trigger_facts(action.dag_id, run_id, action.logical_date)
                events.append(ActionPosted(record=record, existing_run_ids=taken, logical_date_taken=date_taken))
                continue
            if isinstance(action, DeleteDagRun | DeleteDag):
                self._removing = True
            of_run = ended.get(action.run_key) if isinstance(action, DeleteDagRun) else None
            events.append(ActionPosted(record=record, ended_run=of_run))
        return events

    def _ended_runs(self, records: Sequence[ActionRecord], missing: Sequence[int]) -> dict[int, RunRecord]:
        """Of the runs that are not in memory those that are only to be deleted: they may be large to read."""
        deleted = [record.action.run_key for record in records if isinstance(record.action, DeleteDagRun)]
        others = {_run_key_of(record) for record in records if not isinstance(record.action, DeleteDagRun)}
        found: dict[int, RunRecord] = {}
        for key in deleted:
            if key in missing and key not in others and key not in found:
                run = self._store.run_record(key)
                if run is not None and run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
                    found[key] = run
        return found

    # ------------------------------------------------------------ messages

    @staticmethod
    def _facts(messages: Iterable[QueueMessage]) -> list[Event]:
        events: list[Event] = []
        for message in messages:
            if isinstance(message, Report):
                if message.finished:
                    events.append(DispatchesFinished(worker_id=message.worker_id, finished=message.finished))
                if message.fired:
                    events.append(TriggersFired(items=message.fired))
                if message.claimed:
                    events.append(DispatchesClaimed(worker_id=message.worker_id, dispatches=message.claimed))
        return events

    # ------------------------------------------------------------ deciding and committing

    def _step(self, now: datetime, events: list[Event]) -> Outcome:
        decisions = self._machine.step(now, events)
        writes = [decision for decision in decisions if not isinstance(decision, Offer) or decision.as_rows]
        if writes:
            try:
                self._store.commit(self._epoch, now, writes)
            except LeadershipLost:
                raise
            except (GuardFailed, EnvironmentFault) as failure:
                self._lost = self._machine.drop_touched(decisions)
                log.warning("a step was not committed and is decided again: %s", failure)
                if not isinstance(failure, GuardFailed):
                    raise
                self._note_taken(decisions, failure)
                return Outcome(again=True, guard_failed=True)
        removed = self._removing and any(isinstance(decision, DeleteRun) for decision in decisions)
        self._removing = removed or (self._removing and self._machine.has_more)
        to_send = self._queue_on and any(isinstance(decision, Offer | Revoke) for decision in decisions)
        if to_send and not self._send(decisions):
            self._queue_switch = False
            return Outcome(committed=decisions, again=True, removed=removed)
        again = self._machine.has_more or self._machine.wants_reads
        return Outcome(committed=decisions, again=again, removed=removed)

    def _note_taken(self, decisions: Sequence[Decision], failure: GuardFailed) -> None:
        """Runs of a schedule whose place somebody else's run has count as made, or they would be tried for ever."""
        if failure.taken is not None:
            self._machine.note_taken(*failure.taken)
            return
        for decision in decisions:
            if isinstance(decision, CreateRun) and decision.run.run_type is DagRunType.SCHEDULED:
                run = decision.run
                ids_taken, date_taken = self._store.trigger_facts(run.dag_id, run.run_id, run.logical_date)
                if ids_taken or date_taken:
                    self._machine.note_taken(run.dag_id, run.run_id)

    def _recover(self) -> None:
        """Read again all that a failed commit touched, before anything else is decided."""
        assert self._lost is not None
        run_keys, dag_ids = self._lost
        events: list[Event] = [PoolsLoaded(pools=tuple(self._store.load_pools(self._epoch)))]
        if dag_ids:
            events += [
                DagChanged(dag=dag, version=version) for dag, version in self._store.load_dags(self._epoch, dag_ids)
            ]
        events += self._loaded(run_keys)
        if self._machine.wants_assets:
            events.append(AssetsLoaded(state=self._store.load_assets(self._epoch)))
        self._machine.take_back(events)
        self._lost = None
        self._due_at["action"] = self._due_at["asset"] = self._due_at["trigger"] = float("-inf")


def _name_others(records: Sequence[ActionRecord], known: Container[str]) -> bool:
    """Whether an action is about a DAG that is not among the `known` ones."""
    names = [name for record in records for name in getattr(record.action, "dag_ids", ())]
    names += [record.action.dag_id for record in records if hasattr(record.action, "dag_id")]
    return any(name not in known for name in names)


def _run_key_of(record: ActionRecord) -> int | None:
    action = record.action
    if isinstance(
        action, ClearTaskInstances | SetTaskInstanceState | SetDagRunState | DeleteDagRun | SetNote | RespondToInput
    ):
        return action.run_key
    return None
