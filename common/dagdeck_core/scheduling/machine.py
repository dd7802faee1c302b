"""The scheduling machine: one door through which facts come in and decisions go out.

Decides, in batches, everything that follows from events: `step` takes all facts there are and returns all
that must be written, in one transaction of bounded size. Does not read a clock, a database or a
queue. Called by the master's scheduler loop, which commits each step's decisions before the next
step, and by the simulation.

After a commit that failed or whose fate is unknown, the caller hands the step's decisions to
`drop_touched` and feeds the rows read anew as events; nothing that was not committed survives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo

from dagdeck_core.ids import Ids
from dagdeck_core.measures import MachineFigures
from dagdeck_core.records import RunRecord, TaskRecord
from dagdeck_core.scheduling import (
    asset_news,
    asset_runs,
    assets,
    deadlines,
    deferral,
    evaluation,
    mapping,
    partition_answers,
    past,
    people,
    reports,
    runs,
    side_work,
    stopping,
    timetable_answers,
)
from dagdeck_core.scheduling.asset_decisions import OfAssets
from dagdeck_core.scheduling.decisions import (
    CountFailures,
    CreateDeadline,
    CreateRun,
    CreateTasks,
    CreateWork,
    Decision,
    DeleteDagRows,
    DeleteRun,
    DropDeadlines,
    EmptyReady,
    ExpandTask,
    FailDeferral,
    MissDeadline,
    MoveRun,
    MoveTask,
    MoveWork,
    PauseDag,
    RepinRun,
    Revoke,
    ScheduleNext,
    SettleWork,
    StartDeferral,
    WarnDag,
    WriteNote,
)
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
    Tick,
    TriggersFired,
    VersionLoaded,
    WorkersSeen,
    WorkLoaded,
)
from dagdeck_core.scheduling.machine_settings import MachineSettings
from dagdeck_core.scheduling.world import World
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.work import DeadlineMoment

Difference = tuple[int, int, str]
"""(ti_id, dispatch_no, state) of a row that memory does not hold so; of the run itself (0, tasks created, state)."""


class Machine:
    """The scheduler's brain. Not thread-safe; deterministic: equal events give equal decisions."""

    def __init__(self, settings: MachineSettings, ids: Ids, zones: Callable[[str], tzinfo]) -> None:
        self.world = World(settings, ids, zones)
        self.world.side.on_answer.update(timetable_answers.ON_ANSWER)
        self.world.side.on_answer.update(partition_answers.ON_ANSWER)
        self.world.side.on_answer[DeadlineMoment] = deadlines.asked
        self._more = False

    def step(self, now: datetime, events: Iterable[Event]) -> list[Decision]:
        """Take in `events` in order, at time `now` (aware UTC), and decide all that follows.

        The decisions are to be committed together; they write about max_rows rows at most, and what
        does not fit is decided by further steps (`has_more`).
        """
        world = self.world
        world.set_now(now)
        world.out = []
        world.rows_left = world.settings.max_rows
        world.expand_left = max(world.rows_left // 2, 1)
        world.look_left = mapping.JUDGED_PER_STEP
        if world.dirty_later:
            later, world.dirty_later = world.dirty_later, {}
            both = {key: min(start or 0, later[key] or 0) for key, start in world.dirty.items() if key in later}
            world.dirty = {**later, **world.dirty, **both}
        world.due.update(world.due_later)
        world.due_later = {}
        for event in events:
            self._take(event)
        if world.side.incoming:
            side_work.take_in(world)
        # What was begun goes first: nothing is started in a run that an unfinished action or stop is about to end.
        people.carry_out(world)
        assets.register(world)
        if world.assets.news:
            asset_news.tell(world)
        runs.carry_on_stops(world)
        # After events and actions: one of them may be about an ended run that was read for it.
        world.forget_ended()
        evaluation.fire_timers(world)
        deferral.take_events(world)
        while True:
            runs.create_due(world)
            asset_runs.create_runs(world)
            if world.assets.unmapped or world.assets.unjudged:
                partition_answers.ask(world)
            runs.activate(world)
            runs.create_tasks(world)
            evaluation.judge_dirty(world)
            if world.expanding:
                mapping.expand(world)
            runs.end_runs(world)
            dirty = world.dirty or world.dirty_instances
            settled = not (world.due or world.assets.due or world.to_activate or dirty or world.maybe_done)
            if settled or world.rows_left <= 0:
                break
        evaluation.release(world)
        self._more = world.rows_left <= 0 or bool(
            world.due_later
            or world.dirty_later
            or world.expanding
            or world.creating
            or world.works
            or world.stops
            or world.side.incoming
        )
        world.flush_offers()
        return world.out

    @property
    def runs_held(self) -> int:
        """How many runs are in memory."""
        return len(self.world.runs)

    def figures(self) -> MachineFigures:
        """What it has counted since it was made."""
        return self.world.tally.figures()

    @property
    def has_more(self) -> bool:
        """Whether the last step left work for another one without any new event."""
        return self._more

    @property
    def next_wakeup(self) -> datetime | None:
        """When a timer of the machine is due next, or a candidate is to be written as scheduled."""
        world = self.world
        timer = world.timers.next_at
        if not world.unmarked:
            return timer
        mark = world.mark_at(world.unmarked[0][2])
        return mark if timer is None else min(timer, mark)

    def take_reload_wanted(self) -> list[int]:
        """Keys of runs whose rows should be read again; asking empties the list."""
        wanted = list(self.world.reload_wanted)
        self.world.reload_wanted = {}
        return wanted

    def want_reload(self, run_keys: Iterable[int]) -> None:
        """These runs could not be read: ask for them again."""
        self.world.reload_wanted.update(dict.fromkeys(run_keys))

    def predecessors_wanted(self) -> list[tuple[int, str, datetime]]:
        """Runs that need to know the run before them: (run_key, dag_id, logical date), until `PredecessorFound`."""
        wanted = []
        for run_key in self.world.predecessors_wanted:
            record = self.world.runs[run_key].record
            if record.logical_date is not None:
                wanted.append((run_key, record.dag_id, record.logical_date))
        return wanted

    def dag_runs_wanted(self) -> list[str]:
        """DAGs that are being deleted and need some of their runs, until `DagRunsFound`."""
        return [dag_id for dag_id, found in self.world.removing.items() if found is None]

    def next_runs(self) -> list[tuple[str, datetime]]:
        """When each DAG runs next by itself."""
        return [
            (dag_id, entry.record.next_run_after)
            for dag_id, entry in self.world.dags.items()
            if entry.record.next_run_after is not None
        ]

    def knows_run(self, run_key: int) -> bool:
        """Whether a run is in memory."""
        return run_key in self.world.runs

    def run_keys(self, *, only_live: bool = False) -> list[int]:
        """Keys of the unfinished runs in memory; `only_live`: those with a live dispatch."""
        return [
            key
            for key, run in self.world.runs.items()
            if run.active or (not only_live and run.state in (DagRunState.QUEUED, DagRunState.RUNNING))
        ]

    @property
    def has_deferred(self) -> bool:
        """Whether task instances wait for triggers, whose events may be stored without having been told."""
        return self.world.admission.deferred > 0

    @property
    def wants_reads(self) -> bool:
        """Whether the machine waits for rows: runs to read again, or runs before others."""
        return bool(
            self.world.reload_wanted
            or self.world.predecessors_wanted
            or self.world.removing
            or self.world.side.stale
            or self.world.deadlines.stale
            or self.world.deadlines.averages_wanted
        )

    def take_actions_wanted(self) -> bool:
        """Whether pending actions are to be read now, because what one waits for is here; asking forgets it."""
        wanted, self.world.side.wants_actions = self.world.side.wants_actions, False
        return wanted

    def run_id_said(self, action_id: int) -> str | None:
        """The run id that an author's timetable gave to the run that a pending action starts."""
        return timetable_answers.run_id_said(self.world, action_id)

    @property
    def wants_deadlines(self) -> bool:
        """Whether the rows of deadlines are to be read: what is known of them is out of date."""
        return self.world.deadlines.stale

    def averages_wanted(self) -> list[deadlines.AverageWanted]:
        """Deadlines that need past runs, until `AverageFound`."""
        return deadlines.averages_wanted(self.world)

    @property
    def wants_work(self) -> bool:
        """Whether the rows of unsettled work are to be read: what is known of them is out of date."""
        return self.world.side.stale

    @property
    def wants_assets(self) -> bool:
        """Whether a transaction failed that wrote about assets: their rows must be read again."""
        return self.world.assets.is_stale

    def differences(self, record: RunRecord, rows: Iterable[TaskRecord]) -> list[Difference]:
        """What these rows of a run say that memory does not hold: state and dispatch of task instances, the run."""
        run = self.world.runs.get(record.run_key)
        if run is None or run.state is not record.state or run.created != record.created_tasks:
            return [(0, record.created_tasks, record.state)]
        found: list[Difference] = []
        for row in rows:
            task = run.by_id.get(row.ti_id)
            known = (
                row.task_id not in run.graph.index
                if task is None
                else (task.state is row.state and task.dispatch_no == row.dispatch_no)
            )
            if not known:
                found.append((row.ti_id, row.dispatch_no, row.state))
        return found

    def take_back(self, events: Iterable[Event]) -> None:
        """Take in rows that were read after `drop_touched`, without deciding anything."""
        for event in events:
            self._take(event)

    def note_taken(self, dag_id: str, run_id: str) -> None:
        """A scheduled run cannot be created because its run_id or logical date is taken: it counts as made."""
        self.world.taken[(dag_id, run_id)] = None

    def restart_leases(self) -> None:
        """The database could not be reached: begin every worker's lease anew."""
        self.world.leases.restart()

    def drop_touched(self, decisions: Sequence[Decision]) -> tuple[list[int], list[str]]:
        """Forget every run that `decisions` touch; returns their keys and the DAGs to read again.

        The caller then feeds `RunLoaded` for those that exist, `DagChanged`, `PoolsLoaded`, and all pending
        actions once more.
        """
        run_keys: dict[int, None] = {}
        dag_ids: dict[str, None] = {}
        for decision in decisions:
            match decision:
                case CreateRun(run=record):
                    run_keys[record.run_key] = None
                    dag_ids[record.dag_id] = None
                case (
                    MoveTask() | StartDeferral() | FailDeferral() | CreateTasks() | ExpandTask() | Revoke() | RepinRun()
                ):
                    run_keys[decision.run_key] = None
                case MoveRun() | DeleteRun():
                    run_keys[decision.run_key] = None
                    dag_ids[decision.dag_id] = None
                case ScheduleNext() | PauseDag() | CountFailures() | DeleteDagRows() | WarnDag():
                    dag_ids[decision.dag_id] = None
                case WriteNote():
                    run_keys[decision.run_key] = None
                case EmptyReady():
                    self.world.ready_is_stale = True
                case CreateWork() | MoveWork() | SettleWork():
                    self.world.side.stale = True
                case CreateDeadline() | MissDeadline() | DropDeadlines():
                    self.world.deadlines.stale = True
                case OfAssets():
                    self.world.assets.is_stale = True
                case _:
                    pass
        for run_key in run_keys:
            run = self.world.runs.get(run_key)
            if run is not None:
                dag_ids[run.record.dag_id] = None
            self.world.drop_run(run_key)
        self.world.out = []
        if self.world.side.stale:
            self.world.side.by_id = {}
            self.world.side.incoming = {}
        # What is pending is posted again, after the runs were read.
        self.world.works = {}
        dag_ids.update(dict.fromkeys(self.world.removing))
        self.world.removing = {}
        self.world.assets.changes = {}
        self.world.offer_again()
        return list(run_keys), list(dag_ids)

    # ------------------------------------------------------------ inside

    def _take(self, event: Event) -> None:
        world = self.world
        match event:
            case DispatchesFinished():
                reports.finished(world, event)
            case DispatchesClaimed():
                reports.claimed(world, event)
            case TriggersFired():
                deferral.fired(world, event)
            case WorkersSeen():
                reports.workers_seen(world, event)
            case DagDue(dag_id=dag_id):
                world.due[dag_id] = None
            case DagChanged():
                self._dag_changed(event)
            case DagRemoved(dag_id=dag_id):
                world.dags.pop(dag_id, None)
                assets.dag_removed(world, dag_id)
                world.assets.backlogs.pop(dag_id, None)
            case VersionLoaded(version=version):
                world.add_version(version)
            case RunLoaded(run=record, tasks=rows):
                world.tally.reloaded(world.runs.get(record.run_key), rows)
                stopping.run_loaded(world, world.add_run(record, rows))
            case PredecessorFound(run_key=run_key, predecessor_key=predecessor_key):
                past.found(world, run_key, predecessor_key)
            case DagRunsFound(dag_id=dag_id):
                if dag_id in world.removing:
                    world.removing[dag_id] = event
            case PoolsLoaded(pools=pools):
                world.admission.set_pools(pools)
            case ActionPosted():
                people.post(world, event)
            case AssetChangesPosted(changes=changes):
                assets.post(world, changes)
            case AssetsLoaded(state=state):
                assets.loaded(world, state)
            case AssetNamesLoaded():
                assets.names_loaded(world, event.assets, event.aliases)
            case QueueSwitched(on=on):
                self._switch_queue(on)
            case WorkLoaded(works=works):
                side_work.loaded(world, works)
            case DeadlinesLoaded(deadlines=records):
                deadlines.loaded(world, records)
            case AverageFound():
                deadlines.average_found(world, event.run_key, event.number, event.runs, event.seconds)
            case Tick():
                pass

    def _dag_changed(self, event: DagChanged) -> None:
        world = self.world
        if event.dag.dag_id in world.removing:
            return
        is_new = event.dag.dag_id not in world.dags
        was_paused = world.is_paused(event.dag.dag_id)
        entry = world.set_dag(event.dag, event.version)
        assets.dag_changed(world, entry)
        world.due[event.dag.dag_id] = None
        world.to_activate[event.dag.dag_id] = None
        if was_paused and not event.dag.is_paused:
            world.unpaused(event.dag.dag_id)
        if is_new and timetable_answers.is_asked_elsewhere(entry):
            # The stored answer outlives this process: nobody need be asked again because a leader is new.
            entry.recompute = False

    def _switch_queue(self, on: bool) -> None:
        """Every live offer is repeated through the new way."""
        world = self.world
        if on == world.queue_on:
            return
        world.queue_on = on
        world.ready_is_stale = True
        side_work.offer_all(world)
        for run in world.runs.values():
            if run.active:
                for task in run.by_id.values():
                    if task.state is TaskInstanceState.QUEUED:
                        world.offer(task)
