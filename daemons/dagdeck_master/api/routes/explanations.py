"""Operations that answer "why is this not running?", in Airflow's form and in DagDeck's.

Decides their paths. The answers are judged by `dagdeck_core.scheduling.explain` over rows that `queries` reads.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from dagdeck_core.states import TERMINAL
from dagdeck_master.api.context import ApiContext, Context
from dagdeck_master.api.filters import Int, MapIndex
from dagdeck_master.api.models.own import ExplanationResponse, GateResponse
from dagdeck_master.api.models.runs import TaskDependencyCollectionResponse, TaskDependencyResponse
from dagdeck_master.api.queries import explanations
from dagdeck_master.api.queries.runs import run_row
from dagdeck_master.api.reply import documented, reply, wire_state

router = APIRouter()
_RUN = "/dags/{dag_id}/dagRuns/{dag_run_id}"
_ONE = _RUN + "/taskInstances/{task_id}"


@router.get(
    "/api/v2" + _ONE + "/dependencies",
    operation_id="get_task_instance_dependencies",
    tags=["Task Instance"],
    **documented(TaskDependencyCollectionResponse),
)
def get_task_instance_dependencies(
    dag_id: str, dag_run_id: str, task_id: str, context: Context, map_index: MapIndex = -1
) -> Response:
    """List what keeps a task instance from running; nothing once it has ended."""
    return reply(_dependencies(context, dag_id, dag_run_id, task_id, map_index))


@router.get(
    "/api/v2" + _ONE + "/{map_index}/dependencies",
    operation_id="get_task_instance_dependencies_by_map_index",
    tags=["Task Instance"],
    **documented(TaskDependencyCollectionResponse),
)
def get_task_instance_dependencies_by_map_index(
    dag_id: str, dag_run_id: str, task_id: str, map_index: Int, context: Context
) -> Response:
    """List what keeps a mapped task instance from running; nothing once it has ended."""
    return reply(_dependencies(context, dag_id, dag_run_id, task_id, map_index))


def _dependencies(
    context: ApiContext, dag_id: str, run_id: str, task_id: str, map_index: int
) -> TaskDependencyCollectionResponse:
    with context.database.reading() as connection:
        state, gates = explanations.why_task(
            connection, context.specs, dag_id, run_id, task_id, map_index, context.clock()
        )
    shown = [] if state in TERMINAL else gates
    return TaskDependencyCollectionResponse(
        dependencies=[TaskDependencyResponse(name=gate.kind, reason=gate.reason) for gate in shown]
    )


@router.get(
    "/api/dagdeck/v1" + _RUN + "/explain",
    operation_id="explain_dag_run",
    tags=["DagDeck"],
    **documented(ExplanationResponse),
)
def explain_dag_run(dag_id: str, dag_run_id: str, context: Context) -> Response:
    """Explain what keeps a run from starting or going on, and what opens each gate."""
    now = context.clock()
    with context.database.reading() as connection:
        state = run_row(connection, dag_id, dag_run_id).state
        gates = explanations.why_run(connection, context.specs, dag_id, dag_run_id, now)
    return reply(ExplanationResponse(state=state, at=now, gates=[GateResponse.of(gate) for gate in gates]))


@router.get(
    "/api/dagdeck/v1" + _ONE + "/explain",
    operation_id="explain_task_instance",
    tags=["DagDeck"],
    **documented(ExplanationResponse),
)
def explain_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, context: Context, map_index: MapIndex = -1
) -> Response:
    """Explain what holds a task instance, and what opens each gate; for skipped ones why they were."""
    now = context.clock()
    with context.database.reading() as connection:
        state, gates = explanations.why_task(connection, context.specs, dag_id, dag_run_id, task_id, map_index, now)
    return reply(ExplanationResponse(state=wire_state(state), at=now, gates=[GateResponse.of(gate) for gate in gates]))
