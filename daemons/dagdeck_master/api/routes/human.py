"""Operations on questions to people, and on deadlines of runs.

Decides their paths and parameters; those of questions are Airflow's. Reads through `queries.human`; an answer is
checked here and goes through the door.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response

from dagdeck_core.actions import RespondToInput
from dagdeck_core.errors import UserError
from dagdeck_core.human_input import check_answer
from dagdeck_master.api.bodies import RespondBody
from dagdeck_master.api.context import Caller, Context, Scoped, Sending
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.filters import HITLFilters, Int, MapIndex
from dagdeck_master.api.models.human import (
    DeadlineCollectionResponse,
    HITLDetail,
    HITLDetailCollection,
    HITLDetailHistory,
    HITLDetailResponse,
    HITLUser,
)
from dagdeck_master.api.queries import human as queries
from dagdeck_master.api.reply import documented, reply

router = APIRouter()
_RUN = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}"
_ONE = _RUN + "/taskInstances/{task_id}/{map_index}/hitlDetails"
_TAGS: dict[str, Any] = {"tags": ["Task Instance"]}


@router.get(_RUN + "/hitlDetails", operation_id="get_hitl_details", **_TAGS, **documented(HITLDetailCollection))
def get_hitl_details(
    dag_id: str, dag_run_id: str, filters: Annotated[HITLFilters, Query()], context: Context, scope: Scoped
) -> Response:
    """List what tasks ask people; `~` stands for any DAG or run."""
    with context.database.reading() as connection:
        return reply(queries.list_details(connection, context.specs, dag_id, dag_run_id, filters, context.cap, scope))


@router.get(_ONE, operation_id="get_hitl_detail", **_TAGS, **documented(HITLDetail))
def get_hitl_detail(dag_id: str, dag_run_id: str, task_id: str, map_index: MapIndex, context: Context) -> Response:
    """Get what a task instance asks."""
    with context.database.reading() as connection:
        return reply(queries.get_detail(connection, context.specs, dag_id, dag_run_id, task_id, map_index))


@router.get(
    _ONE + "/tries/{try_number}",
    operation_id="get_hitl_detail_try_detail",
    **_TAGS,
    **documented(HITLDetailHistory),
)
def get_hitl_detail_try_detail(
    dag_id: str, dag_run_id: str, task_id: str, map_index: MapIndex, try_number: Int, context: Context
) -> Response:
    """Get what a try of a task instance asked, and was answered."""
    with context.database.reading() as connection:
        return reply(
            queries.get_detail_of_try(connection, context.specs, dag_id, dag_run_id, task_id, map_index, try_number)
        )


@router.patch(_ONE, operation_id="update_hitl_detail", **_TAGS, **documented(HITLDetailResponse))
async def update_hitl_detail(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: MapIndex,
    body: RespondBody,
    context: Context,
    caller: Caller,
    sending: Sending,
) -> Response:
    """Answer what a task instance asks; only once, and only by those whom it asks."""

    def look(connection: sa.Connection) -> tuple[Any, Any]:
        return queries.detail_row(connection, dag_id, dag_run_id, task_id, map_index)

    ti, detail = await context.read(look)
    _check(ti, detail, body, caller.username)
    result = await context.door.carry_out_one(
        RespondToInput(
            run_key=ti.run_key,
            ti_id=ti.ti_id,
            task_id=task_id,
            chosen_options=tuple(body.chosen_options),
            params_input=body.params_input,
            user_id=caller.username,
            user_name=caller.username,
        ),
        sending,
    )
    return reply(
        HITLDetailResponse(
            responded_by=HITLUser(id=caller.username, name=caller.username),
            responded_at=datetime.fromisoformat(result["responded_at"]),
            chosen_options=body.chosen_options,
            params_input=body.params_input,
        )
    )


def _check(ti: Any, detail: Any, body: RespondBody, username: str) -> None:
    """Raises ApiProblem for an answer that came before, is somebody else's to give, or does not fit."""
    if detail.responded_at is not None:
        raise ApiProblem(409, f"The question of task {ti.task_id} has been answered and cannot be answered again.")
    allowed = [user["id"] for user in detail.assigned_users or []]
    if allowed and username not in allowed:
        raise ApiProblem(403, f"User={username} (id={username}) is not a respondent for the task.")
    try:
        check_answer(list(detail.options), body.chosen_options, multiple=bool(detail.multiple))
    except UserError as error:
        raise ApiProblem(400, error.message) from error


@router.get(
    "/api/dagdeck/v1/dags/{dag_id}/dagRuns/{dag_run_id}/deadlines",
    operation_id="list_run_deadlines",
    tags=["DagDeck"],
    **documented(DeadlineCollectionResponse),
)
def list_run_deadlines(dag_id: str, dag_run_id: str, context: Context) -> Response:
    """List the deadlines of a run that are still to come, or were missed."""
    with context.database.reading() as connection:
        return reply(queries.list_deadlines(connection, dag_id, dag_run_id))
