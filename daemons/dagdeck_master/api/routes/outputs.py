"""Operations on what tasks leave behind: logs, XComs and links.

Decides their paths, media types and parameters, as Airflow's, and DagDeck's own log ranges. Reads through `queries`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from dagdeck_master.api.context import Context, Scoped
from dagdeck_master.api.filters import Int, MapIndex, RowId, XComFilters
from dagdeck_master.api.models.own import LogRangeResponse
from dagdeck_master.api.models.runs import (
    ExtraLinkCollectionResponse,
    TaskInstancesLogResponse,
    XComCollectionResponse,
    XComValueResponse,
)
from dagdeck_master.api.queries import extra_links, logs, xcoms
from dagdeck_master.api.queries.task_instances import task_instance_row
from dagdeck_master.api.reply import documented, reply

router = APIRouter()
_ONE = "/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}"
NDJSON = "application/x-ndjson"
MAX_RANGE = 4 * 1024 * 1024


@router.get(
    "/api/v2" + _ONE + "/logs/{try_number}",
    operation_id="get_log",
    tags=["Task Instance"],
    **documented(TaskInstancesLogResponse, also=(NDJSON, "text/plain")),
)
def get_log(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    try_number: Int,
    request: Request,
    context: Context,
    full_content: bool = False,
    map_index: MapIndex = -1,
    token: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Get a part of a try's log, and a token for the next part while there is or will be one.

    The header Accept chooses between JSON, one JSON object a line, and plain text; the latter two carry the token in
    the header Airflow-Continuation-Token.
    """
    place = logs.Place.of_token(token) if token else None
    with context.database.reading() as connection:
        ti = task_instance_row(connection, dag_id, dag_run_id, task_id, map_index)
        part = logs.read_try(connection, ti, try_number, place, logs.WHOLE if full_content else logs.PIECE)
    following = None if part.next is None else part.next.token()
    accept = request.headers.get("accept", "*/*")
    headers = {} if following is None else {"Airflow-Continuation-Token": following}
    if "application/json" not in accept:
        if NDJSON in accept:
            lines = b"".join(msgspec.json.encode(each) + b"\n" for each in logs.messages(part.data))
            return Response(lines, media_type=NDJSON, headers=headers)
        if "text/plain" in accept:
            return Response(part.data.decode("utf-8", "replace"), media_type="text/plain", headers=headers)
    return reply(TaskInstancesLogResponse(content=list(logs.messages(part.data)), continuation_token=following))


@router.get(
    "/api/dagdeck/v1" + _ONE + "/logRange",
    operation_id="get_log_range",
    tags=["DagDeck"],
    **documented(LogRangeResponse),
)
def get_log_range(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    context: Context,
    map_index: MapIndex = -1,
    try_number: Int | None = None,
    dispatch_no: RowId | None = None,
    offset: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_RANGE)] = 256 * 1024,
) -> Response:
    """Get bytes of one dispatch's log: of the given dispatch, or the last one of the given or the last try."""
    with context.database.reading() as connection:
        ti = task_instance_row(connection, dag_id, dag_run_id, task_id, map_index)
        found = logs.read_range(
            connection, ti, try_number=try_number, dispatch_no=dispatch_no, offset=offset, limit=limit
        )
    return reply(found)


@router.get(
    "/api/v2" + _ONE + "/xcomEntries",
    operation_id="get_xcom_entries",
    tags=["XCom"],
    **documented(XComCollectionResponse),
)
def get_xcom_entries(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    filters: Annotated[XComFilters, Query()],
    context: Context,
    scope: Scoped,
) -> Response:
    """List XComs without their values; `~` stands for any DAG, run or task."""
    with context.database.reading() as connection:
        return reply(xcoms.list_xcoms(connection, dag_id, dag_run_id, task_id, filters, context.cap, scope))


@router.get(
    "/api/v2" + _ONE + "/xcomEntries/{xcom_key}",
    operation_id="get_xcom_entry",
    tags=["XCom"],
    **documented(XComValueResponse),
)
def get_xcom_entry(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    xcom_key: str,
    context: Context,
    scope: Scoped,
    map_index: MapIndex = -1,
    deserialize: bool = False,
    stringify: bool = False,
) -> Response:
    """Get one XCom with its value as JSON, or with `stringify` as text; what is stored is JSON either way."""
    with context.database.reading() as connection:
        found = xcoms.get_xcom(
            connection,
            dag_id,
            dag_run_id,
            task_id,
            xcom_key,
            map_index=map_index,
            stringify=stringify and not deserialize,
            scope=scope,
        )
    return reply(found)


@router.get(
    "/api/v2" + _ONE + "/links",
    operation_id="get_extra_links",
    tags=["Extra Links", "Task Instance"],
    **documented(ExtraLinkCollectionResponse),
)
def get_extra_links(dag_id: str, dag_run_id: str, task_id: str, context: Context, map_index: MapIndex = -1) -> Response:
    """Get the extra links of a task instance by name; an empty text where its last try gave no address."""
    with context.database.reading() as connection:
        return reply(extra_links.get_links(connection, context.specs, dag_id, dag_run_id, task_id, map_index))
