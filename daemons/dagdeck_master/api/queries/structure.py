"""A DAG version's shape for those who draw it: tasks, the groups they stand in, and edges with their labels.

Decides what a picture needs of a spec and nothing more, so that ten thousand tasks stay a small answer. Airflow serves
this to its own pages only. Called by the route of `structure`.
"""

from __future__ import annotations

import sqlalchemy as sa

from dagdeck_core.spec import TaskSpec
from dagdeck_io.db.tables import dag_version
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.models.own import EdgeResponse, GroupResponse, NodeResponse, StructureResponse
from dagdeck_master.api.queries.runs import run_row
from dagdeck_master.api.specs import SpecCache


def structure_of(
    connection: sa.Connection,
    specs: SpecCache,
    dag_id: str,
    *,
    version_number: int | None = None,
    run_id: str | None = None,
) -> StructureResponse:
    """The shape of a version: that with a number, that which a run began with, or else the newest.

    Raises ApiProblem 404 when there is no such DAG, version or run.
    """
    statement = sa.select(dag_version.c.version_id, dag_version.c.version_number).where(dag_version.c.dag_id == dag_id)
    if run_id is not None:
        statement = statement.where(dag_version.c.version_id == run_row(connection, dag_id, run_id).version_id)
    if version_number is not None:
        statement = statement.where(dag_version.c.version_number == version_number)
    row = connection.execute(statement.order_by(dag_version.c.version_number.desc()).limit(1)).one_or_none()
    known = None if row is None else specs.get(connection, row.version_id)
    if row is None or known is None:
        not_found("The DagVersion", dag_id=dag_id, version_number=version_number)
    spec = known.spec
    return StructureResponse(
        dag_id=dag_id,
        version_number=row.version_number,
        nodes=[_node(task) for task in spec.tasks],
        edges=[
            EdgeResponse(
                source_id=upstream,
                target_id=task.task_id,
                label=known.tasks[upstream].edge_labels.get(task.task_id) or None,
            )
            for task in spec.tasks
            for upstream in task.upstream
        ],
        groups=[
            GroupResponse(
                group_id=group.group_id,
                label=group.label or group.group_id.rpartition(".")[2],
                parent_id=group.parent_id,
                tooltip=group.tooltip or None,
                is_mapped=group.mapped is not None,
            )
            for group in spec.groups
        ],
    )


def _node(task: TaskSpec) -> NodeResponse:
    kind = "setup" if task.is_setup else "teardown" if task.is_teardown else None
    return NodeResponse(
        task_id=task.task_id,
        label=task.display_name or task.task_id,
        group_id=task.group_id,
        operator=task.operator_name or task.task_type,
        is_mapped=task.mapped is not None,
        setup_teardown_type=kind,
    )
