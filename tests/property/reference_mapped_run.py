"""A slow, obvious model of a run with expanded tasks and mapped task groups.

Decides nothing for the product and shares no code with it; as `reference_run`, whose statement of the trigger rules it
uses, but over single instances: (task_id, map_index), index -1 for a task that is not expanded, or not yet. Called by
test_mapped_run_semantics.py.

An expanded task first stands as one summary instance. While its trigger rule, judged for the summary, neither gives it
up nor lets it wait, it is expanded as soon as the length is known: over nothing it is skipped. In a mapped group an
instance sees those of its own index of other tasks of the group, and a summary sees the summaries of others only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dagdeck_core.spec import TriggerRule
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.property.reference_run import ENDS, FAILURES, Ending, Verdict, by_rule

S = TaskInstanceState
R = TriggerRule
Key = tuple[str, int]
BY_SOME = (R.ONE_SUCCESS, R.ONE_FAILED, R.ONE_DONE, R.NONE_FAILED_MIN_ONE_SUCCESS, R.ALL_DONE_MIN_ONE_SUCCESS)
"""Rules that one upstream instance may satisfy: no summary is judged by them while its partners are expanded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedTask:
    """One task; `over` names the task whose result it, or its group, is expanded over, or says how many there are."""

    task_id: str
    upstream: tuple[str, ...] = ()
    rule: TriggerRule = R.ALL_SUCCESS
    over: str | int | None = None
    group: str | None = None


@dataclass(slots=True)
class MappedReferenceRun:
    """A run of `tasks`, given in an order where upstream comes first. `lengths`: what a task returns, if a list."""

    tasks: Sequence[MappedTask]
    endings: Mapping[Key, Ending]
    lengths: Mapping[str, int]
    states: dict[Key, TaskInstanceState] = field(default_factory=dict)
    running: list[Key] = field(default_factory=list)
    instances: dict[str, list[Key]] = field(default_factory=dict)

    def play(self, order: Sequence[str]) -> dict[Key, TaskInstanceState]:
        """Run all of it; of what runs, the lowest index of the first task in `order` always ends next."""
        for task in self.tasks:
            self.instances[task.task_id] = [(task.task_id, -1)]
            # What stands in the file is expanded as the run begins.
            if isinstance(task.over, int) and task.over > 0:
                self._expand(task, task.over)
        self._rounds()
        while self.running:
            ended = min(self.running, key=lambda key: (order.index(key[0]), key[1]))
            self.running.remove(ended)
            self.states[ended] = self.endings[ended].state
            self._rounds()
        return {key: self.states.get(key, S.NONE) for keys in self.instances.values() for key in keys}

    def run_state(self) -> DagRunState:
        """Failed if a last instance failed, or something is left."""
        keys = [key for keys in self.instances.values() for key in keys]
        if any(key not in self.states for key in keys):
            return DagRunState.FAILED
        above = {up for task in self.tasks for up in task.upstream}
        failed = any(self.states[key] in FAILURES for key in keys if key[0] not in above)
        return DagRunState.FAILED if failed else DagRunState.SUCCESS

    def _rounds(self) -> None:
        while True:
            seen, before = dict(self.states), (len(self.running), dict(self.instances))
            for task in self.tasks:
                for key in list(self.instances[task.task_id]):
                    if key not in seen and key not in self.running:
                        self._look(task, key, seen)
            if seen == self.states and before == (len(self.running), self.instances):
                return

    def _look(self, task: MappedTask, key: Key, seen: Mapping[Key, TaskInstanceState]) -> None:
        verdict = self._verdict(task, key, seen)
        if isinstance(verdict, TaskInstanceState):
            self.states[key] = verdict
        elif verdict is Verdict.RUN and task.over is not None and key[1] < 0:
            length = task.over if isinstance(task.over, int) else self.lengths.get(task.over)
            if length is None:
                self.states[key] = S.UPSTREAM_FAILED
            elif length == 0:
                self.states[key] = S.SKIPPED
            else:
                self._expand(task, length)
        elif verdict is Verdict.RUN:
            self.running.append(key)

    def _expand(self, task: MappedTask, length: int) -> None:
        self.instances[task.task_id] = [(task.task_id, index) for index in range(length)]

    def _verdict(
        self, task: MappedTask, key: Key, seen: Mapping[Key, TaskInstanceState]
    ) -> TaskInstanceState | Verdict:
        if any(self._skips(up, task, key, seen) for up in task.upstream):
            return S.SKIPPED
        source = seen.get((task.over, -1)) if isinstance(task.over, str) else None
        if source in FAILURES:
            return S.UPSTREAM_FAILED
        verdict = self._by_upstream(task, key, seen)
        if source is S.SKIPPED and isinstance(verdict, Verdict):
            return S.SKIPPED
        if isinstance(task.over, str) and source is None and verdict is Verdict.RUN:
            return Verdict.WAIT
        return verdict

    def _by_upstream(
        self, task: MappedTask, key: Key, seen: Mapping[Key, TaskInstanceState]
    ) -> TaskInstanceState | Verdict:
        if not task.upstream or task.rule is R.ALWAYS:
            return Verdict.RUN
        partners_expanded = any(
            self._is_partner(task, up) and self.instances[up.task_id][0][1] >= 0 for up in self._upstream(task)
        )
        if key[1] < 0 and partners_expanded and task.rule in BY_SOME:
            return Verdict.RUN
        concerned = [each for up in self._upstream(task) for each in self._concerned(task, key, up)]
        if not concerned:
            return Verdict.RUN
        return by_rule(task.rule, [seen.get(each, S.RUNNING) for each in concerned])

    def _concerned(self, task: MappedTask, key: Key, up: MappedTask) -> list[Key]:
        instances = self.instances[up.task_id]
        if not self._is_partner(task, up) or instances[0][1] < 0:
            return instances
        return [each for each in instances if each[1] == key[1]]

    def _skips(self, up_id: str, task: MappedTask, key: Key, seen: Mapping[Key, TaskInstanceState]) -> bool:
        """A branch in a mapped group skips what has its own index; one that is not expanded skips all instances."""
        up = next(each for each in self.tasks if each.task_id == up_id)
        if up.over is not None and not self._is_partner(task, up):
            return False
        index = -1 if up.over is None else key[1]
        ending = self.endings.get((up_id, index))
        return ending is not None and seen.get((up_id, index)) is S.SUCCESS and task.task_id in ending.skip

    def _is_partner(self, task: MappedTask, up: MappedTask) -> bool:
        return task.group is not None and task.group == up.group

    def _upstream(self, task: MappedTask) -> Iterator[MappedTask]:
        return (each for each in self.tasks if each.task_id in task.upstream)


__all__ = ["ENDS", "MappedReferenceRun", "MappedTask"]
