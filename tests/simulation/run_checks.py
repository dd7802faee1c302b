"""The promises about one finished run: which instances there are, how they ended, and in which order they ran.

Decides which ends are possible for an instance, given how its upstream ended, in any order of these ends. A run that
people have touched only keeps its indexes; the rest is asked of the others. Called by `checks`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dagdeck_core.graph import Graph
from dagdeck_core.records import RunRecord, TaskRecord
from dagdeck_core.spec import TaskSpec, TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement, UpstreamCounts, held_back, judge
from tests.simulation.mapping import wanted_length
from tests.simulation.scenario import Ending

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

_S = TaskInstanceState
_FAILURES = (_S.FAILED, _S.UPSTREAM_FAILED)
_EARLY = frozenset({TriggerRule.ALWAYS, TriggerRule.ONE_SUCCESS, TriggerRule.ONE_FAILED, TriggerRule.ONE_DONE})
"""Rules under which a task need not wait for all of its upstream."""


def check_indexes(cluster: Cluster, run: RunRecord) -> None:
    """Each task has one instance without an index, or those from 0 on without a gap."""
    for rows in _by_task(cluster, run).values():
        indexes = [row.map_index for row in rows]
        # A run that was ended while it was being expanded keeps the summary instance in the place of the first.
        first = -1 if indexes[0] < 0 else 0
        wanted = [first, *range(1, len(rows))]
        assert indexes == wanted, f"seed {cluster.seed}: {rows[0].task_id} has the map indexes {indexes} in {run}"


def check_run(cluster: Cluster, run: RunRecord) -> None:
    """Each task instance ended as its script and its trigger rule say, in some order of its upstream's ends."""
    ended = EndedRun(cluster, run)
    graph = ended.graph
    for index, spec in enumerate(graph.tasks):
        ended.check_length(index)
        for row in ended.rows[spec.task_id]:
            possible = ended.possible(index, row)
            assert row.state in possible, f"seed {cluster.seed}: {row} in {run}, possible is {sorted(possible)}"
            # A branch may skip what has begun in a trigger and waits for a slot now.
            by_branch = row.state is _S.SKIPPED and ended.is_skipped(row)
            if row.dispatch_no and row.lost_count < 3 and run.state is DagRunState.SUCCESS and not by_branch:
                tries = ended.script(spec, row)[1]
                assert row.try_number == tries, f"seed {cluster.seed}: a fault used up a retry: {row}"
    ended.check_order()
    failed = any(row.state in _FAILURES for i in graph.leaves for row in ended.rows[graph.tasks[i].task_id])
    assert run.state is (DagRunState.FAILED if failed else DagRunState.SUCCESS) or ended.was_stopped()


def _by_task(cluster: Cluster, run: RunRecord) -> dict[str, list[TaskRecord]]:
    found: dict[str, list[TaskRecord]] = {}
    for ti_id in cluster.db.tasks_of.get(run.run_key, ()):
        row = cluster.db.tasks[ti_id]
        found.setdefault(row.task_id, []).append(row)
    for rows in found.values():
        rows.sort(key=lambda row: row.map_index)
    return found


@dataclass
class EndedRun:
    """A finished run, by its rows."""

    cluster: Cluster
    run: RunRecord

    def __post_init__(self) -> None:
        self.graph: Graph = self.cluster.graphs[self.run.dag_id]
        self.rows = _by_task(self.cluster, self.run)
        self.fail_fast = self.cluster.specs[self.run.dag_id].fail_fast

    def ending(self, spec: TaskSpec, row: TaskRecord, try_number: int) -> Ending:
        """What the script says."""
        return self.cluster.scenario.ending(self.run.dag_id, spec, self.graph, try_number, row.map_index)

    def script(self, spec: TaskSpec, row: TaskRecord) -> tuple[str, int]:
        """The state that the script leads to, and after how many tries."""
        for number in range(1, spec.retries + 2):
            result = self.ending(spec, row, number).result
            if result != "failed":
                return result, number
        return "failed", spec.retries + 1

    def was_stopped(self) -> bool:
        """A run in which nothing could move any more fails although no leaf did."""
        return self.run.state is DagRunState.FAILED and any(
            row.state is _S.SKIPPED and row.dispatch_no == 0 for rows in self.rows.values() for row in rows
        )

    # ------------------------------------------------------------ lengths

    def length(self, index: int) -> int | None:
        """How many instances a task is to have; None when what it is expanded over gave none."""
        assert self.graph.expansion is not None
        return wanted_length(self.graph.expansion, index, self._given)

    def _given(self, task_id: str) -> int | None:
        rows = self.rows[task_id]
        spec = self.graph.tasks[self.graph.index[task_id]]
        endings = [
            self.ending(spec, row, row.try_number) for row in rows if row.state is _S.SUCCESS and row.dispatch_no
        ]
        effects = [ending.effects for ending in endings if ending.effects is not None]
        if self._is_expanded(self.graph.index[task_id]):
            return sum(each.returned for each in effects)
        return effects[0].mapped_length if effects else None

    def _is_expanded(self, index: int) -> bool:
        return self.graph.expansion is not None and self.graph.expansion.is_expanded(index)

    def check_length(self, index: int) -> None:
        """A task has as many instances as its sources say, unless it ended before it was expanded."""
        if not self._is_expanded(index):
            return
        spec = self.graph.tasks[index]
        count = len(rows) if (rows := self.rows[spec.task_id])[0].map_index >= 0 else 0
        length = self.length(index)
        story = f"seed {self.cluster.seed}: {spec.task_id} in {self.run} has {count} instances, wanted are {length}"
        assert count in (0, length), story
        assert count or len(rows) == 1 or self.run.state is DagRunState.FAILED, story

    # ------------------------------------------------------------ how it may have ended

    def possible(self, index: int, row: TaskRecord) -> set[TaskInstanceState]:
        """States in which the instance may have ended, given how its upstream and the branches ended."""
        spec, failed_run = self.graph.tasks[index], self.run.state is DagRunState.FAILED
        is_summary = self._is_expanded(index) and row.map_index < 0
        upstream = self._upstream(index, row)
        judgements = set(self._judgements(index, row, upstream))
        possible: set[TaskInstanceState] = set()
        if is_summary:
            judgements |= self._by_length(index)
            judgements.discard(Judgement.RUN)
        if Judgement.RUN in judgements:
            possible.add(_S.SUCCESS if spec.is_empty else TaskInstanceState(self.script(spec, row)[0]))
            if row.lost_count >= 3:
                possible.add(_S.FAILED)
        if Judgement.UPSTREAM_FAILED in judgements:
            possible.add(_S.UPSTREAM_FAILED)
        stuck = judge(spec.trigger_rule, _counts(upstream, upstream, self.graph)) is Judgement.WAIT
        if Judgement.SKIP in judgements or self.is_skipped(row) or (failed_run and (self.fail_fast or stuck)):
            possible.add(_S.SKIPPED)
        if self.fail_fast and failed_run:
            possible.add(_S.FAILED)
        return possible

    def _judgements(self, index: int, row: TaskRecord, upstream: Sequence[TaskRecord]) -> Iterator[Judgement]:
        spec = self.graph.tasks[index]
        guards = [self.graph.tasks[guard].task_id for guard in self.graph.guards.get(index, ())]
        states = [guard.state for task_id in guards for guard in self._concerned(row, task_id)]
        held_by = list(dict.fromkeys(_partly_ended(states, all_or_none=spec.is_teardown)))
        for some in _subsets(upstream):
            if any(self._skips(each, row) for each in some):
                yield Judgement.SKIP
                continue
            judgement = judge(spec.trigger_rule, _counts(upstream, some, self.graph))
            for held in held_by:
                yield held_back(judgement, held, is_teardown=spec.is_teardown)

    def _by_length(self, index: int) -> set[Judgement]:
        """What a task that was not expanded made of its sources."""
        assert self.graph.expansion is not None
        found: set[Judgement] = set()
        length = self.length(index)
        if length == 0:
            found.add(Judgement.SKIP)
        sources = [self.rows[self.graph.tasks[source].task_id] for source in self.graph.expansion.sources[index]]
        states = [rows[0].state for rows in sources if rows[0].map_index < 0]
        if length is None or any(state in _FAILURES for state in states):
            found.add(Judgement.UPSTREAM_FAILED)
        if _S.SKIPPED in states:
            found.add(Judgement.SKIP)
        return found

    def _upstream(self, index: int, row: TaskRecord) -> list[TaskRecord]:
        """The instances before this one. A summary instance looks at none of those of its group but summaries."""
        found: list[TaskRecord] = []
        for up in self.graph.up[index]:
            rows = self.rows[self.graph.tasks[up].task_id]
            in_group = self.graph.expansion is not None and self.graph.expansion.depth_of(index, up) > 0
            if row.map_index < 0 and in_group and rows[0].map_index >= 0:
                continue
            found += self._concerned(row, self.graph.tasks[up].task_id)
        return found

    def _concerned(self, row: TaskRecord, task_id: str) -> list[TaskRecord]:
        """The instances of another task that concern this one: in a mapped group those of its own index."""
        rows = self.rows[task_id]
        if self.graph.expansion is None or rows[0].map_index < 0:
            return rows
        related = self.graph.expansion.related(self.graph.index[row.task_id], row.map_index, self.graph.index[task_id])
        return rows if related is None else [each for each in rows if each.map_index in related]

    def is_skipped(self, row: TaskRecord) -> bool:
        """Whether a branch of the run does not take this instance."""
        return any(self._skips(each, row) for rows in self.rows.values() for each in rows)

    def _skips(self, by: TaskRecord, row: TaskRecord) -> bool:
        if by.effects is None or row.task_id not in by.effects.skip:
            return False
        if self.graph.expansion is None:
            return True
        related = self.graph.expansion.related(
            self.graph.index[by.task_id], by.map_index, self.graph.index[row.task_id]
        )
        return related is None or row.map_index in related

    # ------------------------------------------------------------ the order in which it ran

    @cached_property
    def _times(self) -> dict[int, tuple[float, float]]:
        """ti_id → when it first began and last ended."""
        found: dict[int, tuple[float, float]] = {}
        for each in self.cluster.executions:
            start, end = found.get(each.ti_id, (each.start, each.start))
            found[each.ti_id] = (min(start, each.start), max(end, each.end if each.end is not None else each.start))
        return found

    def check_order(self) -> None:
        """Nothing began before all that it waits for had ended."""
        for index, spec in enumerate(self.graph.tasks):
            if spec.trigger_rule in _EARLY:
                continue
            for row in self.rows[spec.task_id]:
                began = self._times.get(row.ti_id)
                before = [self._times[up.ti_id] for up in self._upstream(index, row) if up.ti_id in self._times]
                late = began is not None and any(end > began[0] for _, end in before)
                assert not late, f"seed {self.cluster.seed}: {row} began at {began}, before its upstream's {before}"


def _subsets(rows: Sequence[TaskRecord]) -> Iterable[tuple[TaskRecord, ...]]:
    """Every part of the upstream that may have ended at some moment; of rows that are alike, how many."""
    alike: dict[object, list[TaskRecord]] = {}
    for row in rows:
        alike.setdefault((row.task_id, row.state, row.effects and row.effects.skip), []).append(row)
    parts = [[tuple(group[:size]) for size in range(len(group) + 1)] for group in alike.values()]
    return (tuple(itertools.chain(*chosen)) for chosen in itertools.product(*parts))


def _partly_ended(states: list[TaskInstanceState], *, all_or_none: bool) -> Iterable[tuple[TaskInstanceState, ...]]:
    """The states with some of them not reached yet."""
    if all_or_none:
        return [tuple(states), tuple(_S.NONE for _ in states)]
    return itertools.product(*((state, _S.NONE) for state in states))


def _counts(upstream: Sequence[TaskRecord], ended: Iterable[TaskRecord], graph: Graph) -> UpstreamCounts:
    setups = {row.ti_id for row in upstream if graph.tasks[graph.index[row.task_id]].is_setup}
    counts = UpstreamCounts(total=len(upstream), setups=len(setups))
    for row in ended:
        counts.count(row.state, 1, is_setup=row.ti_id in setups)
    return counts
