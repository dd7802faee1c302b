"""The promises of a cluster, checked while it runs and at its end.

Decides what a simulated cluster must never do. The commit watch looks at every committed transaction; the rest looks
at the rows and the executions that are left (`run_checks` at those of one run). Every failed check names the seed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from dagdeck_core.records import RunRecord
from dagdeck_core.scheduling import decisions as d
from dagdeck_core.states import DISPATCHED, TERMINAL, DagRunState, DagRunType, TaskInstanceState
from dagdeck_core.work import ENDED, DeadlineCallback, RunCallback, TaskCallback, hint_id
from tests.simulation.lineage import check_assets
from tests.simulation.run_checks import check_indexes, check_run
from tests.simulation.scenario import EVERY, LAST

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

_S = TaskInstanceState
ROWS_TO_SPARE = 40


class CommitWatch:
    """Looks at each committed transaction: limits hold whenever something new starts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def committed(self, decisions: Iterable[d.Decision]) -> None:
        """Called after a commit, with the rows as it left them."""
        rows = 0
        for decision in decisions:
            rows += _rows_of(decision)
            if isinstance(decision, d.MoveTask):
                self._moved(decision)
            elif isinstance(decision, d.MoveRun) and decision.new is DagRunState.RUNNING:
                self._run_started(decision)
        assert rows <= self.cluster.max_rows + ROWS_TO_SPARE, f"seed {self.cluster.seed}: {rows} rows in one step"

    def _run_started(self, move: d.MoveRun) -> None:
        db, seed = self.cluster.db, self.cluster.seed
        limit = self.cluster.specs[move.dag_id].max_active_runs
        running = sum(run.dag_id == move.dag_id and run.state is DagRunState.RUNNING for run in db.runs.values())
        assert running <= limit, f"seed {seed}: {running} runs of {move.dag_id}, max_active_runs {limit}"
        assert not db.dags[move.dag_id].is_paused, f"seed {seed}: a run started in the paused {move.dag_id}"

    def _moved(self, move: d.MoveTask) -> None:
        cluster, db = self.cluster, self.cluster.db
        if move.new is not _S.QUEUED or move.old in DISPATCHED:
            return
        spec, run = cluster.spec_of(db.tasks[move.ti_id]), db.runs[move.run_key]
        place = f"seed {cluster.seed}: {run.run_id}.{spec.task_id} was dispatched"
        assert not db.dags[run.dag_id].is_paused, f"{place} in a paused DAG"
        live = [row for row in db.tasks.values() if row.state in DISPATCHED]
        held = sum(cluster.spec_of(row).pool_slots for row in live if cluster.spec_of(row).pool == spec.pool)
        pool = db.pools[spec.pool]
        assert pool.slots < 0 or held <= pool.slots, f"{place}: {held} of {pool.slots} slots of {spec.pool}"
        of_run = sum(row.run_key == run.run_key for row in live)
        assert of_run <= cluster.specs[run.dag_id].max_active_tasks, f"{place}: {of_run} live in its run"
        if spec.max_active_tis_per_dag is not None:
            same = sum(row.task_id == spec.task_id and db.every_run(row.run_key).dag_id == run.dag_id for row in live)
            assert same <= spec.max_active_tis_per_dag, f"{place}: {same} live of its task"
        if spec.max_active_tis_per_dagrun is not None:
            same = sum(row.task_id == spec.task_id and row.run_key == run.run_key for row in live)
            assert same <= spec.max_active_tis_per_dagrun, f"{place}: {same} live of its task in its run"


def _rows_of(decision: d.Decision) -> int:
    """How many rows a decision writes."""
    match decision:
        case d.ExpandTask():
            return len(decision.ti_ids) + (decision.summary_id is not None and decision.is_last)
        case d.CreateTasks():
            return len(decision.seeds)
        case d.MoveTask() | d.Revoke():
            return 2
    return 1


def check_end(cluster: Cluster) -> None:
    """Every promise about a finished cluster."""
    seed, db = cluster.seed, cluster.db
    gone = len(cluster.people.deleted - set(db.runs))
    manual = sum(run.run_type is DagRunType.MANUAL for run in db.runs.values())
    expected = len(cluster.scenario.dags) * cluster.scenario.runs_per_dag
    assert expected - gone <= manual <= expected, f"seed {seed}: {manual} runs, {expected} were triggered"
    for row in db.tasks.values():
        assert row.state in TERMINAL, f"seed {seed}: {row} was left over"
    for ended in db.action_ends.values():
        if not cluster.scenario.people:
            assert ended.refused is None, f"seed {seed}: {ended}"
    _check_schedules(cluster)
    check_assets(cluster)
    _check_overlaps(cluster)
    for run in db.runs.values():
        check_indexes(cluster, run)
        if run.run_key not in cluster.people.touched:
            check_run(cluster, run)
            _check_callbacks(cluster, run)


def _check_callbacks(cluster: Cluster, run: RunRecord) -> None:
    """Each run's end, and each task that failed with its process, was told exactly once, to the end."""
    db, seed = cluster.db, cluster.seed
    works = [work for work in db.works.values() if work.run_key == run.run_key]
    assert all(work.work_id in db.settled and work.state in ENDED for work in works), f"seed {seed}: {works}"
    for work in works:
        ran = any(execution.ti_id == hint_id(work.work_id) for execution in cluster.executions)
        assert ran or work.lost_count, f"seed {seed}: {work} is over and never began"
    ends = [work.order for work in works if isinstance(work.order, RunCallback)]
    wanted = 1 if cluster.specs[run.dag_id].has_on_failure_callback else 0
    assert len(ends) == wanted, f"seed {seed}: the end of {run} was told {len(ends)} times"
    assert all(order.is_failure is (run.state is DagRunState.FAILED) for order in ends), f"seed {seed}: {ends}"
    calls = [work.order.deadline_id for work in works if isinstance(work.order, DeadlineCallback)]
    missed = [key for key, each in db.deadlines.items() if each.run_key == run.run_key and key in db.missed]
    assert sorted(calls) == sorted(missed), f"seed {seed}: {missed} were missed, {calls} called"
    pending = [key for key, each in db.deadlines.items() if each.run_key == run.run_key and key not in db.missed]
    assert not pending or run.state is DagRunState.FAILED, f"seed {seed}: {run} still has deadlines {pending}"
    told = Counter(work.order.task.ti_id for work in works if isinstance(work.order, TaskCallback))
    graph = cluster.graphs[run.dag_id]
    for row in (db.tasks[ti_id] for ti_id in db.tasks_of.get(run.run_key, ())):
        spec = graph.tasks[graph.index[row.task_id]]
        told_of = spec.has_on_success_callback and row.state in (_S.SUCCESS, _S.SKIPPED) and row.dispatch_no
        if told_of and cluster.ended_by_trigger(row, spec, graph):
            assert told[row.ti_id] == 1, f"seed {seed}: the end of {row} was told {told[row.ti_id]} times"
        elif row.state is not _S.FAILED or not row.dispatch_no:
            assert not told[row.ti_id], f"seed {seed}: {row} was told as failed"
        elif spec.has_on_failure_callback and cluster.ended_by_death(row, spec, graph):
            assert told[row.ti_id] == 1, f"seed {seed}: the failure of {row} was told {told[row.ti_id]} times"


def _check_schedules(cluster: Cluster) -> None:
    """With catchup every date has its run, without it none has two."""
    for spec in cluster.scenario.dags:
        if spec.dag_id not in cluster.scheduled or spec.start_date is None:
            continue
        dates: list[datetime] = [
            run.run_after
            for run in (*cluster.db.runs.values(), *cluster.db.deleted.values())
            if run.dag_id == spec.dag_id and run.run_type is DagRunType.SCHEDULED
        ]
        assert len(dates) == len(set(dates)), f"seed {cluster.seed}: a date of {spec.dag_id} has two runs"
        if spec.catchup:
            wanted = {spec.start_date + i * EVERY for i in range(int(LAST / EVERY))}
            assert set(dates) == wanted, f"seed {cluster.seed}: runs of {spec.dag_id} at {sorted(dates)}"


def _check_overlaps(cluster: Cluster) -> None:
    by_task: dict[int, list] = {}
    for execution in cluster.executions:
        by_task.setdefault(execution.ti_id, []).append(execution)
    for ti_id, executions in by_task.items():
        executions.sort(key=lambda e: e.start)
        for earlier, later in itertools.pairwise(executions):
            assert earlier.end is not None
            assert earlier.end <= later.start, f"seed {cluster.seed}: overlap of {ti_id}: {earlier} {later}"
    for ti_id, executions in by_task.items():
        _check_waiting(cluster, ti_id, executions)
    numbers = Counter(execution.dispatch_no for execution in cluster.executions)
    assert all(count == 1 for count in numbers.values()), f"seed {cluster.seed}: a dispatch ran twice"


def _check_waiting(cluster: Cluster, ti_id: int, executions: list) -> None:
    """Whoever waited without a timeout went on with an event, and whoever waited for what never came, without one."""
    row = cluster.db.tasks.get(ti_id)
    if row is None or row.run_key in cluster.people.touched or row.state is _S.REMOVED:
        return
    run = cluster.db.runs[row.run_key]
    graph = cluster.graphs[run.dag_id]
    spec = graph.tasks[graph.index[row.task_id]]
    if spec.retries or row.try_number != 1:
        return
    waiting = cluster.scenario.waiting(run.dag_id, spec, graph, 1, row.map_index)
    went_on = {execution.resumed for execution in executions} - {None}
    possible = set()
    if waiting is not None and not waiting.ends:
        possible |= {"event"} if waiting.fires_after is not None else set()
        possible |= {"timeout"} if waiting.timeout is not None else set()
    if cluster.scenario.asks(run.dag_id, spec, graph, 1, row.map_index) is not None:
        possible |= {"default", "answer"} if cluster.scenario.people else {"default"}
    assert went_on <= possible, f"seed {cluster.seed}: {row} went on by {went_on}, possible is {possible}"
    assert len(went_on) <= 1, f"seed {cluster.seed}: {row} went on by an event and without one"
