"""Which DAG and which task group the code of a DAG file is in at this moment.

Decides where a task without `dag=` belongs, and remembers the DAGs that a file entered with `with`.
Does not load files (`dagdeck.collect`). Used by DAG, TaskGroup and BaseOperator while a file is
imported; one import at a time per process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagdeck.dags import DAG
    from dagdeck.groups import TaskGroup
    from dagdeck.operator import BaseOperator
    from dagdeck.teardown_scope import TeardownScope

_groups: list[TaskGroup] = []
_registered: list[list[DAG]] = []
_teardown_scopes: list[TeardownScope] = []
_detached: list[bool] = []


def enter_group(group: TaskGroup) -> None:
    """Tasks made from now on belong to `group`, until `leave_group`."""
    _groups.append(group)


def leave_group() -> None:
    """Back to the group entered before."""
    _groups.pop()


def current_dag() -> DAG | None:
    """The DAG whose `with` block or decorated function is being executed."""
    return _groups[-1].dag if _groups else None


def current_group(dag: DAG | None) -> TaskGroup | None:
    """The innermost open group of `dag`; the DAG's own root group outside of any."""
    if dag is None:
        return None
    for group in reversed(_groups):
        if group.dag is dag:
            return group
    return dag.task_group


def register(dag: DAG) -> None:
    """Remember a DAG that a file made without necessarily keeping it in a variable."""
    if _registered and not any(known is dag for known in _registered[-1]):
        _registered[-1].append(dag)


@contextmanager
def registering() -> Iterator[list[DAG]]:
    """Collects the DAGs that register themselves within the block."""
    found: list[DAG] = []
    outer = _groups[:]
    _groups.clear()
    _registered.append(found)
    try:
        yield found
    finally:
        _registered.pop()
        # A file that failed inside a `with` block must not leave its DAG open for the next one.
        _groups[:] = outer


@contextmanager
def detached() -> Iterator[None]:
    """Within the block, operators belong to no DAG and no group: those that a running task makes for itself."""
    groups, scopes = _groups[:], _teardown_scopes[:]
    _groups.clear()
    _teardown_scopes.clear()
    _detached.append(True)
    try:
        yield
    finally:
        _detached.pop()
        _groups[:], _teardown_scopes[:] = groups, scopes


def is_detached() -> bool:
    """Whether the innermost block is one of `detached`."""
    return bool(_detached)


def open_teardown_scope(opened: TeardownScope) -> None:
    """Tasks made from now on are inside the `with` block of a setup or teardown task."""
    _teardown_scopes.append(opened)


def close_teardown_scope() -> None:
    """Back to the block opened before, if any."""
    _teardown_scopes.pop()


def current_teardown_scope() -> TeardownScope | None:
    """The innermost open block of a setup or teardown task."""
    return _teardown_scopes[-1] if _teardown_scopes else None


def note_task(operator: BaseOperator) -> None:
    """Tell the innermost setup/teardown scope, if any, of a new task."""
    if _teardown_scopes:
        _teardown_scopes[-1].note(operator)
