"""One dag run in memory: its task instances, and counters that answer every question in constant time.

Decides nothing by itself: it applies moves and says what a task's trigger rule makes of the counters.
The machine owns every instance, and is the only caller. `from_rows` is the one function that builds
the counters, so a clear, a reload and a failover all end with what a fresh start would have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from dagdeck_core.errors import Bug
from dagdeck_core.graph import Graph
from dagdeck_core.records import RunRecord, TaskRecord
from dagdeck_core.scheduling.instances import concerned, counts_of, input_verdict
from dagdeck_core.states import DISPATCHED, TERMINAL, DagRunState, TaskInstanceState, may_move
from dagdeck_core.trigger_rules import Judgement, UpstreamCounts, held_back, judge
from dagdeck_core.wire import Effects

_S = TaskInstanceState
SUMMARY = -1
"""Map index of an instance that is not expanded, or not yet."""
IN_FEED = -1
"""The ticket of an instance that may run, but does not compete before some of its siblings have been released."""
SLEEPING = frozenset({_S.UP_FOR_RETRY, _S.UP_FOR_RESCHEDULE, _S.DEFERRED, _S.AWAITING_INPUT})
"""States that end by a timer, a trigger or a person, without a dispatch."""


class Task:
    """One task instance. Only `RunState.move` changes `state`."""

    __slots__ = (
        "dispatch_no",
        "effects",
        "lost_count",
        "map_index",
        "max_tries",
        "next_at",
        "offer_at",
        "offer_wait",
        "priority",
        "revoke_to",
        "run",
        "spec",
        "state",
        "task_index",
        "ti_id",
        "ticket",
        "try_number",
        "worker_id",
    )

    def __init__(self, run: RunState, task_index: int, row: TaskRecord) -> None:
        self.run = run
        self.task_index = task_index
        self.spec = run.graph.tasks[task_index]
        self.priority = run.graph.priority[task_index]
        """Effective priority weight: larger goes first."""
        self.ti_id = row.ti_id
        self.map_index = row.map_index
        self.state = row.state
        self.dispatch_no = row.dispatch_no
        self.try_number = row.try_number
        self.max_tries = row.max_tries
        self.worker_id = row.worker_id
        self.next_at = row.next_at
        self.lost_count = row.lost_count
        self.revoke_to = row.revoke_to
        self.effects = row.effects
        self.ticket = 0
        """Number of its live entry in the admission queue; an entry with another number is void. Or IN_FEED."""
        self.offer_wait = 0.0
        """Seconds until a queued dispatch is offered again, and when that is; a timer that fires earlier is void."""
        self.offer_at: datetime | None = None
        if self.try_number:
            self.weigh()

    def weigh(self) -> None:
        """Where a custom strategy weighs tries differently: take the weight of this try, or of the coming one."""
        weights = self.spec.weights
        if weights:
            waits = self.state in (TaskInstanceState.NONE, TaskInstanceState.UP_FOR_RETRY)
            index = self.try_number if waits else self.try_number - 1
            self.priority = weights[min(max(index, 0), len(weights) - 1)]


Ends = list[tuple[Task, TaskInstanceState, str]]
"""Task instances that end without being run, with their states and reasons."""


class RunState:
    """One run. `up[i]` counts the ended upstream of task i, `skipped_by[i]` the ended tasks that skip it.

    Of a task that is expanded, `tasks[i]` holds the instances by map index. Before, and until the last of them has its
    row, the first one is the summary instance (map index -1). Where index goes with index, `up` leaves the upstream
    out, and `skipped_at` counts per (task, map index) instead.
    """

    __slots__ = (
        "active",
        "by_id",
        "candidates",
        "created",
        "feeds",
        "graph",
        "key",
        "max_active_tasks",
        "offered",
        "predecessor_key",
        "record",
        "scheduled",
        "settled",
        "skipped_at",
        "skipped_by",
        "sleeping",
        "state",
        "tasks",
        "unfinished",
        "up",
    )

    def __init__(self, record: RunRecord, graph: Graph, max_active_tasks: int) -> None:
        self.record = record
        self.key = record.run_key
        self.graph = graph
        self.state = record.state
        size = len(graph.tasks)
        self.tasks: list[list[Task]] = [[] for _ in range(size)]
        self.by_id: dict[int, Task] = {}
        self.up = [UpstreamCounts(total=0) for _ in range(size)]
        self.skipped_by = [0] * size
        self.skipped_at: dict[tuple[int, int], int] = {}
        self.feeds: dict[int, deque[Task]] = {}
        """Task index → instances that may run and wait for a place among the candidates (kept by `mapping`)."""
        self.offered: dict[int, int] = {}
        """Task index → how many of its instances are candidates with a live entry."""
        self.settled: dict[int, Judgement] = {}
        """Task index → what all instances that are none were last judged to do; only where they have it in common."""
        self.unfinished = 0
        self.active = 0
        """Task instances whose dispatch is live."""
        self.candidates = 0
        """Task instances that compete for a slot (kept by admission, with their tickets)."""
        self.scheduled = 0
        self.sleeping = 0
        self.created = record.created_tasks
        self.max_active_tasks = max_active_tasks
        self.predecessor_key: int | None = None
        """The run before this one, where depends_on_past or wait_for_downstream needs it: 0 when there
        is none, None while it is not known yet."""

    @classmethod
    def from_rows(cls, record: RunRecord, graph: Graph, max_active_tasks: int, rows: Iterable[TaskRecord]) -> RunState:
        """The run as its rows tell, with every counter made afresh. Rows of tasks the graph lacks are left out."""
        run = cls(record, graph, max_active_tasks)
        if graph.expansion is not None:
            rows = sorted(rows, key=lambda row: row.map_index)
        for row in rows:
            task_index = graph.index.get(row.task_id)
            if task_index is not None:
                run.add(row, task_index)
        return run

    @property
    def complete(self) -> bool:
        """Whether all task instances have their rows."""
        return self.created >= len(self.graph.tasks)

    @property
    def is_stuck(self) -> bool:
        """Whether unfinished tasks are left and nothing is under way that could move them."""
        return bool(self.unfinished) and not (self.active or self.scheduled or self.sleeping)

    def add(self, row: TaskRecord, task_index: int) -> Task:
        """Take in one row and count it."""
        task = Task(self, task_index, row)
        self.tasks[task_index].append(task)
        self.by_id[task.ti_id] = task
        is_setup = self.graph.tasks[task_index].is_setup
        for down in self.graph.whole_down[task_index]:
            self.up[down].total += 1
            self.up[down].setups += is_setup
        self._count(task, 1)
        return task

    def becomes_first(self, task: Task) -> None:
        """The summary instance of an expanded task becomes its instance 0."""
        if task.map_index != SUMMARY:
            raise Bug(f"task instance {task.ti_id} has the map index {task.map_index} already")
        if task.state in TERMINAL:
            raise Bug(f"the summary instance {task.ti_id} has ended as {task.state}; it cannot be expanded")
        task.map_index = 0

    def move(self, task: Task, new: TaskInstanceState) -> None:
        """Change `task`'s state and every counter that depends on it.

        Raises Bug when the table of legal moves does not have it; then nothing has changed.
        """
        if not may_move(task.state, new):
            raise Bug(f"task instance {task.ti_id} ({task.spec.task_id}) cannot go from {task.state} to {new}")
        self._count(task, -1)
        task.state = new
        self._count(task, 1)

    def set_effects(self, task: Task, effects: Effects | None) -> None:
        """Store what an ended task asks of the run (before the move to its terminal state)."""
        if task.state in TERMINAL:
            self._count_skips(task, -1)
        task.effects = effects
        if task.state in TERMINAL:
            self._count_skips(task, 1)

    def verdict(self, task: Task) -> Judgement:
        """What becomes of a task instance while it is none."""
        index = task.task_index
        expansion = self.graph.expansion
        if expansion is None or not expansion.is_expanded(index):
            return self.judge(index)
        if self.skipped_by[index] or self.skipped_at.get((index, task.map_index)):
            return Judgement.SKIP
        by_input = input_verdict(self, index)
        if by_input is Judgement.UPSTREAM_FAILED:
            return by_input
        if not expansion.partial_up[index]:
            found = judge(task.spec.trigger_rule, self.up[index])
        else:
            counts = counts_of(self, task)
            found = Judgement.RUN if counts is None else judge(task.spec.trigger_rule, counts)
        if by_input is Judgement.SKIP and found in (Judgement.RUN, Judgement.WAIT):
            return by_input
        guards = self.graph.guards.get(index)
        if guards is None:
            return found
        states = [each.state for guard in guards for each in concerned(self, task, guard)]
        return held_back(found, states, is_teardown=task.spec.is_teardown)

    def judge(self, task_index: int) -> Judgement:
        """What becomes of the instances of a task that is not expanded while they are none."""
        if self.skipped_by[task_index]:
            return Judgement.SKIP
        return self.guarded(task_index, judge(self.graph.tasks[task_index].trigger_rule, self.up[task_index]))

    def guarded(self, task_index: int, judgement: Judgement) -> Judgement:
        """`judgement` of a task's trigger rule, unless a setup or the tasks before a teardown say otherwise."""
        guards = self.graph.guards.get(task_index)
        if guards is None:
            return judgement
        states = [task.state for guard in guards for task in self.tasks[guard]]
        return held_back(judgement, states, is_teardown=self.graph.tasks[task_index].is_teardown)

    def outcome(self) -> DagRunState:
        """The state of the run when all of it has ended: failed if any deciding leaf failed."""
        for leaf in self.graph.leaves:
            for task in self.tasks[leaf]:
                if task.state in (_S.FAILED, _S.UPSTREAM_FAILED):
                    return DagRunState.FAILED
        return DagRunState.SUCCESS

    def _count(self, task: Task, step: int) -> None:
        state = task.state
        if state in TERMINAL:
            is_setup = self.graph.tasks[task.task_index].is_setup
            for down in self.graph.whole_down[task.task_index]:
                self.up[down].count(state, step, is_setup=is_setup)
            self._count_skips(task, step)
            return
        self.unfinished += step
        if state in DISPATCHED:
            self.active += step
        elif state is _S.SCHEDULED:
            self.scheduled += step
        elif state in SLEEPING:
            self.sleeping += step

    def _count_skips(self, task: Task, step: int) -> None:
        if task.effects is None or task.state is not _S.SUCCESS:
            return
        if task.map_index >= 0 and self.graph.expansion is not None:
            self._count_skips_of_instance(task, step)
            return
        for task_id in task.effects.skip:
            target = self.graph.index.get(task_id)
            if target is not None:
                self.skipped_by[target] += step

    def _count_skips_of_instance(self, task: Task, step: int) -> None:
        """A mapped instance skips, of tasks that lie in its mapped group, the instances of the same index."""
        assert task.effects is not None
        for task_id in task.effects.skip:
            target = self.graph.index.get(task_id)
            if target is None:
                continue
            for place in self.skip_places_of(task, target) or (None,):
                if place is None:
                    self.skipped_by[target] += step
                    continue
                count = self.skipped_at.get(place, 0) + step
                if count:
                    self.skipped_at[place] = count
                else:
                    del self.skipped_at[place]

    def skip_places_of(self, task: Task, target: int) -> list[tuple[int, int]]:
        """The places in `skipped_at` at which an instance skips `target`; [] when it skips all of it."""
        assert self.graph.expansion is not None
        related = self.graph.expansion.related(task.task_index, task.map_index, target)
        return [] if related is None else [(target, map_index) for map_index in related]
