"""Which tasks a branch or a short circuit skips.

Decides that from the DAG's graph and the task's result, by Airflow's rules; the skipping itself is done by
the scheduler, which gets the list with the result. Used by branch, short-circuit and latest-only operators.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dagdeck.context import Context
from dagdeck.exceptions import AirflowException, close_match, unavailable
from dagdeck.operator import BaseOperator

if TYPE_CHECKING:
    from dagdeck.dags import DAG

_log = logging.getLogger(__name__)


class SkipMixin:
    """For operators whose result may skip tasks. `skip` and `skip_all_except` take effect when the task ends."""

    task_id: str

    def skip(self, ti: Any, tasks: Iterable[BaseOperator]) -> None:
        """Skip `tasks` of the run. Teardowns are never skipped this way."""
        chosen = [task.task_id for task in tasks if not task.is_teardown]
        if chosen:
            _log.info("Skipping %s", ", ".join(chosen))
            ti.request_skip(chosen)

    def skip_all_except(self, ti: Any, branch_task_ids: str | Iterable[str] | None) -> None:
        """Skip the direct downstream tasks that are neither followed nor reached through a followed one.

        Raises AirflowException for ids that the DAG does not have.
        """
        task: BaseOperator = ti.task
        followed = followed_task_ids(task.dag, branch_task_ids)
        _log.info("Following %s", ", ".join(sorted(followed)) or "no branch")
        kept = set(followed)
        for task_id in followed:
            kept |= task.dag.get_task(task_id).get_flat_relative_ids(upstream=False)
        ti.note_followed(sorted(followed))
        self.skip(ti, [other for other in task.downstream_list if other.task_id not in kept])


class BranchMixIn(SkipMixin):
    """For operators that choose among their downstream tasks."""

    def do_branch(self, context: Context, branches_to_execute: str | Iterable[str] | None) -> Any:
        """Skip all direct downstream tasks but the chosen ones; returns the choice. Raises AirflowException."""
        self.skip_all_except(context["ti"], branches_to_execute)
        return branches_to_execute


def followed_task_ids(dag: DAG, branches: Any) -> set[str]:
    """The task ids that a branch's result names; a group's id stands for the group's roots.

    Raises AirflowException when the result is something else.
    """
    if branches is None:
        return set()
    names: list[Any] = (
        [branches] if isinstance(branches, str) else list(branches) if isinstance(branches, Iterable) else [None]
    )
    if not all(isinstance(name, str) for name in names):
        raise AirflowException(
            f"a branch returns a task id, a list of task ids, or None, not {type(branches).__name__} ({branches!r})"
        )
    found: set[str] = set()
    for name in names:
        group = dag.task_group_dict.get(name)
        if name in dag.task_dict:
            found.add(name)
        elif group is not None:
            found.update(task.task_id for task in group.get_roots())
        else:
            hint = close_match(name, {*dag.task_dict, *dag.task_group_dict})
            raise AirflowException(f"a branch chose {name!r}, which is no task or group of dag {dag.dag_id!r}{hint}")
    return found


def short_circuit(task: BaseOperator, ti: Any, mixin: SkipMixin, *, ignore_downstream_trigger_rules: bool) -> None:
    """Skip what comes after `task`: all of it, or only the direct downstream, whose trigger rules then decide."""
    if ignore_downstream_trigger_rules:
        mixin.skip(ti, task.get_flat_relatives(upstream=False))
    else:
        mixin.skip(ti, task.downstream_list)


class BaseBranchOperator(BaseOperator, BranchMixIn):
    """Base of operators that choose which of their downstream tasks run."""

    def choose_branch(self, context: Context) -> str | Iterable[str] | None:
        """The id, or ids, of what to follow: tasks or groups directly downstream. Subclasses override it."""
        raise unavailable(f"{self.task_type} has no choose_branch method: running it", "Override choose_branch")

    def execute(self, context: Context) -> Any:
        """Choose and skip the rest."""
        return self.do_branch(context, self.choose_branch(context))
