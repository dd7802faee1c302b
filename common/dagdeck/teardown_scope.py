"""The `with` block of a setup or teardown task: what is made in it runs between the setups and the teardowns.

Decides which tasks of the block are connected to them, by Airflow's rules, and how blocks within blocks are ordered.
Used by `BaseOperator.__enter__`; a DAG file sees the scope as what `with … as scope` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagdeck import scope
from dagdeck.exceptions import InvalidArguments, invalid

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator


class TeardownScope:
    """One block of `owner`. `add_task` puts a task into it that was made before."""

    def __init__(self, owner: BaseOperator) -> None:
        self._owner = owner
        self.setups = [task for task in owner.upstream_list if task.is_setup] if owner.is_teardown else [owner]
        downstream = [] if owner.is_teardown else owner.downstream_list
        self.teardowns = [owner] if owner.is_teardown else [task for task in downstream if task.is_teardown]
        self._tasks: list[BaseOperator] = []

    def open(self) -> TeardownScope:
        """Begin the block. What an outer block set up is there for this one's setups, and outlives its teardowns."""
        outer = scope.current_teardown_scope()
        if outer is not None:
            _connect_all(outer.setups, [task for task in self.setups if task not in outer.setups])
            _connect_all([task for task in self.teardowns if task not in outer.teardowns], outer.teardowns)
        scope.open_teardown_scope(self)
        return self

    def add_task(self, task: Any) -> None:
        """Have `task`, an operator or what a `@task` call returned, run inside. Raises UserError for anything else."""
        operator = getattr(task, "operator", task)
        if not hasattr(operator, "upstream_task_ids") or operator.dag_id != self._owner.dag_id:
            raise invalid(
                "only a task of the same DAG can be added to a setup/teardown scope",
                subject=f"task {self._owner.task_id!r}",
                value=task,
                error=InvalidArguments,
            )
        self.note(operator)

    def note(self, operator: BaseOperator) -> None:
        """A task was made in the block."""
        if not any(operator is known for known in self._tasks):
            self._tasks.append(operator)

    def close(self, *, connect: bool = True) -> None:
        """End the block and connect what is in it: its first tasks to the setups, its last ones to the teardowns."""
        scope.close_teardown_scope()
        if not connect:
            return
        inside = [task for task in self._tasks if not task.is_setup and not task.is_teardown]
        first = [task for task in inside if not task.upstream_task_ids] or inside
        last = [task for task in inside if not task.downstream_task_ids] or inside
        _connect_all(self.setups, first)
        _connect_all(last, self.teardowns)


def _connect_all(before: Sequence[BaseOperator], after: Sequence[BaseOperator]) -> None:
    for later in after:
        for earlier in before:
            later.set_upstream(earlier)
