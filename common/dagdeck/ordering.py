"""The order of a DAG's tasks, or the circle that keeps them from having one, said for the author.

Decides nothing but the message; `dagdeck_core.graph` finds the order. Called by the serialiser and by
`dag.topological_sort()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagdeck.exceptions import AirflowDagCycleException, invalid
from dagdeck_core.graph import CycleFound
from dagdeck_core.graph import topological_order as order_of

if TYPE_CHECKING:
    from dagdeck.dags import DAG


def topological_order(dag: DAG) -> list[str]:
    """Task ids, each after those it depends on; otherwise in the order they were made.

    Raises AirflowDagCycleException naming the tasks of one cycle.
    """
    try:
        return order_of({task.task_id: tuple(sorted(task.upstream_task_ids)) for task in dag.tasks})
    except CycleFound as error:
        raise invalid(
            f"its tasks depend on each other in a circle: {error}",
            subject=f"dag {dag.dag_id!r}",
            remedy="Remove one of these dependencies",
            error=AirflowDagCycleException,
        ) from error
