"""A slow, obvious model of a run with expanded tasks and a mapped group, that may be cleared and expanded anew.

Decides nothing for the product and shares no code with it; as `reference_run`, whose statement of the trigger rules it
uses, but over single instances: (task_id, map_index), index -1 for a task that is not expanded, or not yet. Called by
test_mapped_run_semantics.py and test_mapping_semantics.py.

An expanded task first stands as one summary instance. While its trigger rule, judged for the summary, neither gives it
up nor lets it wait, it is expanded as soon as the length is known: over nothing it is skipped. In a mapped group an
instance sees those of its own index of other tasks of the group, and a summary sees the summaries of others only.

What a round decides is seen by the next one only; when nothing changes any more, what can be expanded is expanded, and
the rounds go on. Tasks that run end one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dagdeck_core.spec import TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.property.reference_run import Verdict, by_rule

S = TaskInstanceState
R = TriggerRule
Instance = tuple[str, int]
FAILURES = (S.FAILED, S.UPSTREAM_FAILED)
SOME = (R.ONE_SUCCESS, R.ONE_FAILED, R.ONE_DONE, R.NONE_FAILED_MIN_ONE_SUCCESS, R.ALL_DONE_MIN_ONE_SUCCESS)
MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class MapTask:
    """A task; `over` what it is expanded over (names of tasks, lengths), `in_group` whether it lies in the group."""

    task_id: str
    upstream: tuple[str, ...] = ()
    rule: TriggerRule = R.ALL_SUCCESS
    over: tuple[str | int, ...] | None = None
    in_group: bool = False


@dataclass(frozen=True, kw_only=True)
class MapEnding:
    """How an instance ends if it runs: what it skips, how many items it returned, whether it returned anything."""

    state: TaskInstanceState = S.SUCCESS
    skip: tuple[str, ...] = ()
    length: int | None = None
    returned: bool = False


@dataclass
class MappedRun:
    """One run; `group_over` is what the group is expanded over."""

    tasks: Sequence[MapTask]
    group_over: tuple[str | int, ...]
    ending: Callable[[Instance], MapEnding]
    states: dict[Instance, TaskInstanceState] = field(default_factory=dict)
    ends: dict[Instance, MapEnding] = field(default_factory=dict)
    indexes: dict[str, list[int]] = field(default_factory=dict)
    running: list[Instance] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.indexes = {task.task_id: [-1] for task in self.tasks}

    def play(self, first: Callable[[Sequence[Instance]], Instance]) -> dict[Instance, TaskInstanceState]:
        """Run all; of what runs, `first` says what ends next. The state of each instance (none: it never began)."""
        self._settle()
        while self.running:
            ended = first(self.running)
            self.running.remove(ended)
            self.ends[ended] = self.ending(ended)
            self.states[ended] = self.ends[ended].state
            self._settle()
        return {each: self.states.get(each, S.NONE) for task in self.tasks for each in self._all(task.task_id)}

    def clear(self, task_ids: Sequence[str], ending: Callable[[Instance], MapEnding]) -> None:
        """All instances of these tasks begin anew, and end differently."""
        self.ending = ending
        for task_id in task_ids:
            for each in self._all(task_id):
                self.states.pop(each, None)
                self.ends.pop(each, None)

    def run_state(self) -> DagRunState:
        """Failed if an instance of a last task failed, or something is left."""
        every = [each for task in self.tasks for each in self._all(task.task_id)]
        if any(each not in self.states for each in every):
            return DagRunState.FAILED
        above = {up for task in self.tasks for up in task.upstream}
        failed = any(self.states[each] in FAILURES for each in every if each[0] not in above)
        return DagRunState.FAILED if failed else DagRunState.SUCCESS

    # ------------------------------------------------------------ rounds

    def _settle(self) -> None:
        while True:
            self._rounds()
            changed = [self._expand(task) for task in self.tasks]
            if not any(changed):
                return

    def _rounds(self) -> None:
        while True:
            seen, ends, starting = dict(self.states), {}, []
            for task in [each for each in self.tasks if not self._is_to_change(each)]:
                for each in self._all(task.task_id):
                    if each in seen or each in self.running:
                        continue
                    if self._is_summary(task, each[1]):
                        verdict = self._summary_verdict(task)
                    else:
                        verdict = self._verdict(task, each[1], seen)
                        starting += [each] if verdict is S.RUNNING else []
                    if verdict not in (S.RUNNING, S.NONE):
                        ends[each] = verdict
            self.running += starting
            self.states |= ends
            if not ends:
                return

    def _summary_verdict(self, task: MapTask) -> TaskInstanceState:
        """RUNNING: it is to be expanded. One over lists in the file waits for nothing."""
        verdict = S.RUNNING if self._is_literal(task) else self._verdict(task, -1, self.states)
        if verdict is not S.RUNNING:
            return verdict
        count = self._count(task)
        return {None: S.NONE, MISSING: S.UPSTREAM_FAILED, 0: S.SKIPPED}.get(count, S.RUNNING)

    def _expand(self, task: MapTask) -> bool:
        """Give an expanded task the instances that it is to have now; whether anything changed."""
        chain, indexes = self._chain(task), self.indexes[task.task_id]
        count = self._count(task)
        if chain and indexes == [-1]:
            if (task.task_id, -1) in self.states or self._summary_verdict(task) is not S.RUNNING:
                return False
            assert isinstance(count, int)
            self.indexes[task.task_id] = list(range(count))
            return True
        if not self._is_to_change(task):
            return False
        assert isinstance(count, int)
        for index in range(max(count, len(indexes))):
            each = (task.task_id, index)
            if index >= len(indexes):
                indexes.append(index)
            elif index < count and self.states.get(each) is S.REMOVED:
                del self.states[each]
            elif index == count == 0 and each not in self.states:
                self.states[each] = S.SKIPPED
            elif index >= count and not index == count == 0:
                self.states[each] = S.REMOVED
        return True

    def _is_to_change(self, task: MapTask) -> bool:
        """Whether an expanded task, of which an instance is yet to run, is to have another number of instances."""
        indexes, count = self.indexes[task.task_id], self._count(task)
        waiting = [i for i in indexes if (task.task_id, i) not in self.states and (task.task_id, i) not in self.running]
        if indexes == [-1] or not waiting or not isinstance(count, int):
            return False
        there = [i for i in indexes if self.states.get((task.task_id, i)) is not S.REMOVED]
        wanted = list(range(count)) or [0]
        return there != wanted or (count == 0 and self.states.get((task.task_id, 0)) is not S.SKIPPED)

    # ------------------------------------------------------------ lengths

    def _chain(self, task: MapTask) -> tuple[str | int, ...]:
        return self.group_over if task.in_group else task.over or ()

    def _is_literal(self, task: MapTask) -> bool:
        chain = self._chain(task)
        return bool(chain) and all(isinstance(each, int) for each in chain)

    def _is_summary(self, task: MapTask, index: int) -> bool:
        return index < 0 and bool(self._chain(task))

    def _count(self, task: MapTask) -> int | str | None:
        lengths = [each if isinstance(each, int) else self._length(each) for each in self._chain(task)]
        if None in lengths:
            return None
        if MISSING in lengths:
            return MISSING
        total = 1
        for length in lengths:
            total *= int(length or 0)
        return total

    def _length(self, task_id: str) -> int | str | None:
        task = self._task(task_id)
        every = self._all(task_id)
        if any(each not in self.states for each in every):
            return None
        if self._chain(task):
            live = [each for each in every if self.states[each] is not S.REMOVED]
            return sum(each in self.ends and self.ends[each].returned for each in live)
        ending = self.ends.get(every[0])
        if self.states[every[0]] is not S.SUCCESS or ending is None or ending.length is None:
            return MISSING
        return ending.length

    # ------------------------------------------------------------ rules

    def _verdict(self, task: MapTask, index: int, seen: Mapping[Instance, TaskInstanceState]) -> TaskInstanceState:
        """RUNNING: it may run (or be expanded); NONE: it waits."""
        if self._is_skipped(task, index, seen):
            return S.SKIPPED
        sources = {seen.get((each, -1)) for each in self._chain(task) if isinstance(each, str)}
        if sources & set(FAILURES):
            return S.UPSTREAM_FAILED
        ups = self._upstream_states(task, index, seen)
        verdict = S.RUNNING if ups is None else self._by_rule(task.rule, ups)
        return S.SKIPPED if S.SKIPPED in sources and verdict in (S.RUNNING, S.NONE) else verdict

    def _is_skipped(self, task: MapTask, index: int, seen: Mapping[Instance, TaskInstanceState]) -> bool:
        for (other, at), ending in self.ends.items():
            by_index = task.in_group and self._task(other).in_group and at >= 0
            if task.task_id in ending.skip and seen.get((other, at)) is S.SUCCESS and (not by_index or at == index):
                return True
        return False

    def _upstream_states(
        self, task: MapTask, index: int, seen: Mapping[Instance, TaskInstanceState]
    ) -> list[TaskInstanceState] | None:
        """None: some of the upstream has no instance to look at yet, and the rule may hold by some."""
        found: list[Instance] = []
        for up in task.upstream:
            if not (task.in_group and self._task(up).in_group):
                found += self._all(up)
            elif self.indexes[up] == [-1]:
                found.append((up, -1))
            elif index >= 0:
                found += [(up, index)] if index in self.indexes[up] else []
            elif task.rule in SOME:
                return None
        return [seen.get(each, S.RUNNING) for each in found]

    def _by_rule(self, rule: TriggerRule, ups: list[TaskInstanceState]) -> TaskInstanceState:
        verdict = by_rule(rule, ups) if ups else Verdict.RUN
        if isinstance(verdict, Verdict):
            return S.RUNNING if verdict is Verdict.RUN else S.NONE
        return verdict

    # ------------------------------------------------------------ small questions

    def _task(self, task_id: str) -> MapTask:
        return next(task for task in self.tasks if task.task_id == task_id)

    def _all(self, task_id: str) -> list[Instance]:
        return [(task_id, index) for index in self.indexes[task_id]]


def below(tasks: Sequence[MapTask], starts: Sequence[str]) -> Iterator[str]:
    """`starts` and every task that comes after one of them, or is expanded over one."""
    found = set(starts)
    for task in tasks:
        if task.task_id in found or found & set(task.upstream):
            found.add(task.task_id)
            yield task.task_id


RULES = (
    R.ALL_SUCCESS,
    R.ALL_SUCCESS,
    R.ALL_DONE,
    R.NONE_FAILED,
    R.ONE_FAILED,
    R.ONE_SUCCESS,
    R.ALL_FAILED,
    R.NONE_SKIPPED,
)
__all__ = ["RULES", "Instance", "MapEnding", "MapTask", "MappedRun", "below"]
