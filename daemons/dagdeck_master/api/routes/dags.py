"""Operations on DAGs, their versions, sources, tasks, tags, statistics and problems.

Decides their paths and parameters, as Airflow's. Reads through `queries`; pausing and deleting go through the door.
"""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Body, Query, Request, Response

from dagdeck_core.actions import DeleteDag, SetDagsPaused
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import dag_favorite, parse_request
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.audit import audit
from dagdeck_master.api.bodies import DagPatchBody
from dagdeck_master.api.context import ApiContext, Caller, Context, Scoped, Sending
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.filters import (
    DagFilters,
    DagPatchFilters,
    ImportErrorFilters,
    Int,
    NamedFilters,
    RowId,
    VersionFilters,
    WarningFilters,
)
from dagdeck_master.api.models.dags import (
    DAGCollectionResponse,
    DAGDetailsResponse,
    DAGResponse,
    DAGSourceResponse,
    DagStatsCollectionResponse,
    DAGTagCollectionResponse,
    DAGVersionCollectionResponse,
    DagVersionResponse,
    DAGWarningCollectionResponse,
    ImportErrorCollectionResponse,
    ImportErrorResponse,
    TaskCollectionResponse,
    TaskResponse,
)
from dagdeck_master.api.queries import dags as dag_queries
from dagdeck_master.api.queries import problems, versions
from dagdeck_master.api.reply import documented, no_content, reply
from dagdeck_master.api.vaulted import check_mask

router = APIRouter(prefix="/api/v2")
MAX_PAUSED = 10_000
"""Most DAGs that one PATCH /dags pauses."""


@router.get("/dags", operation_id="get_dags", tags=["DAG"], **documented(DAGCollectionResponse))
def get_dags(filters: Annotated[DagFilters, Query()], context: Context, scope: Scoped, caller: Caller) -> Response:
    """List DAGs."""
    with context.database.reading() as connection:
        return reply(dag_queries.list_dags(connection, filters, context.cap, caller.user_id, scope))


@router.patch("/dags", operation_id="patch_dags", tags=["DAG"], **documented(DAGCollectionResponse))
async def patch_dags(
    filters: Annotated[DagPatchFilters, Query()],
    body: Annotated[DagPatchBody, Body()],
    context: Context,
    scope: Scoped,
    caller: Caller,
    sending: Sending,
) -> Response:
    """Pause or unpause all DAGs that match; `dag_id_pattern` must be given, `~` means all."""
    check_mask(filters.update_mask, ("is_paused",))
    if filters.dag_id_pattern is None and filters.dag_id_prefix_pattern is None:
        raise ApiProblem(400, "dag_id_pattern is required; to change all DAGs use the pattern `~`")
    limit = min(filters.limit, MAX_PAUSED) if "limit" in filters.model_fields_set else MAX_PAUSED
    ids = await context.read(
        lambda connection: dag_queries.dag_ids_of(connection, filters, caller.user_id, limit, scope)
    )
    if ids:
        await context.door.carry_out_one(SetDagsPaused(dag_ids=tuple(ids), is_paused=body.is_paused), sending)
    shown = DagFilters(
        dag_id_pattern=filters.dag_id_pattern,
        dag_id_prefix_pattern=filters.dag_id_prefix_pattern,
        tags=filters.tags,
        owners=filters.owners,
        exclude_stale=filters.exclude_stale,
        limit=context.cap,
        offset=filters.offset,
    )
    answer = await context.read(
        lambda connection: dag_queries.list_dags(connection, shown, context.cap, caller.user_id, scope)
    )
    return reply(answer)


@router.get("/dags/{dag_id}", operation_id="get_dag", tags=["DAG"], **documented(DAGResponse))
def get_dag(dag_id: str, context: Context) -> Response:
    """Get one DAG."""
    with context.database.reading() as connection:
        return reply(dag_queries.get_dag(connection, dag_id))


@router.patch("/dags/{dag_id}", operation_id="patch_dag", tags=["DAG"], **documented(DAGResponse))
async def patch_dag(
    dag_id: str,
    body: DagPatchBody,
    context: Context,
    sending: Sending,
    update_mask: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """Pause or unpause a DAG."""
    check_mask(update_mask, ("is_paused",))
    await context.read(lambda connection: versions.require_dag(connection, dag_id))
    await context.door.carry_out_one(SetDagsPaused(dag_ids=(dag_id,), is_paused=body.is_paused), sending)
    return reply(await context.read(lambda connection: dag_queries.get_dag(connection, dag_id)))


@router.delete("/dags/{dag_id}", operation_id="delete_dag", tags=["DAG"], **documented(None, 204))
async def delete_dag(dag_id: str, context: Context, sending: Sending) -> Response:
    """Delete a DAG's rows. While its file exists it comes back without its history."""
    await context.read(lambda connection: versions.require_dag(connection, dag_id))
    await context.door.carry_out_one(DeleteDag(dag_id=dag_id), sending)
    return no_content()


@router.get("/dags/{dag_id}/details", operation_id="get_dag_details", tags=["DAG"], **documented(DAGDetailsResponse))
def get_dag_details(dag_id: str, context: Context, caller: Caller) -> Response:
    """Get one DAG with what its newest version defines."""
    with context.database.reading() as connection:
        return reply(dag_queries.get_dag_details(connection, context.specs, dag_id, caller.user_id))


@router.post("/dags/{dag_id}/favorite", operation_id="favorite_dag", tags=["DAG"], **documented(None, 204))
def favorite_dag(dag_id: str, context: Context, caller: Caller, sending: Sending) -> Response:
    """Mark a DAG as one of the caller's favourites."""
    with context.database.reading() as connection:
        versions.require_dag(connection, dag_id)
    try:
        with context.database.writing() as connection:
            connection.execute(dag_favorite.insert().values(user_id=caller.user_id, dag_id=dag_id))
            _audit(context, connection, "favorite_dag", sending, dag_id)
    except DuplicateRow:
        pass
    return no_content()


@router.post("/dags/{dag_id}/unfavorite", operation_id="unfavorite_dag", tags=["DAG"], **documented(None, 204))
def unfavorite_dag(dag_id: str, context: Context, caller: Caller, sending: Sending) -> Response:
    """Take a DAG off the caller's favourites."""
    mine = (dag_favorite.c.user_id == caller.user_id) & (dag_favorite.c.dag_id == dag_id)
    with context.database.writing() as connection:
        versions.require_dag(connection, dag_id)
        if connection.execute(dag_favorite.delete().where(mine)).rowcount == 0:
            raise ApiProblem(409, "Dag is not marked as favorite")
        _audit(context, connection, "unfavorite_dag", sending, dag_id)
    return no_content()


def _audit(
    context: ApiContext, connection: sa.Connection, event: str, sender: Sender, dag_id: str | None, **extra: str
) -> None:
    audit(
        connection,
        event_log_id=context.database.new_id(),
        event=event,
        sender=sender,
        now=context.clock(),
        place={"dag_id": dag_id},
        extra=extra,
    )


@router.get("/dagTags", operation_id="get_dag_tags", tags=["DAG"], **documented(DAGTagCollectionResponse))
def get_dag_tags(filters: Annotated[NamedFilters, Query()], context: Context, scope: Scoped) -> Response:
    """List the names of all tags."""
    with context.database.reading() as connection:
        return reply(dag_queries.list_tags(connection, filters, context.cap, scope))


@router.get("/dagStats", operation_id="get_dag_stats", tags=["DagStats"], **documented(DagStatsCollectionResponse))
def get_dag_stats(
    context: Context,
    scope: Scoped,
    dag_ids: Annotated[list[str], Query(max_length=1000)] = [],  # noqa: B006
) -> Response:
    """Count runs by state, for these DAGs or all."""
    with context.database.reading() as connection:
        return reply(dag_queries.list_stats(connection, dag_ids, scope))


# ---------------------------------------------------------------- versions, sources, tasks


@router.get(
    "/dags/{dag_id}/dagVersions",
    operation_id="get_dag_versions",
    tags=["DagVersion"],
    **documented(DAGVersionCollectionResponse),
)
def get_dag_versions(
    dag_id: str, filters: Annotated[VersionFilters, Query()], context: Context, scope: Scoped
) -> Response:
    """List the versions of a DAG, or of all for `~`."""
    with context.database.reading() as connection:
        return reply(versions.list_versions(connection, dag_id, filters, context.cap, scope))


@router.get(
    "/dags/{dag_id}/dagVersions/{version_number}",
    operation_id="get_dag_version",
    tags=["DagVersion"],
    **documented(DagVersionResponse),
)
def get_dag_version(dag_id: str, version_number: Int, context: Context) -> Response:
    """Get one version of a DAG."""
    with context.database.reading() as connection:
        return reply(versions.get_version(connection, dag_id, version_number))


@router.get(
    "/dagSources/{dag_id}",
    operation_id="get_dag_source",
    tags=["DagSource"],
    **documented(DAGSourceResponse, also=("text/plain",)),
)
def get_dag_source(dag_id: str, request: Request, context: Context, version_number: Int | None = None) -> Response:
    """Get the file that a DAG was read from, as JSON or as plain text (header Accept)."""
    with context.database.reading() as connection:
        source = versions.get_source(connection, dag_id, version_number)
    if "text/plain" in request.headers.get("accept", "") and "json" not in request.headers.get("accept", ""):
        return Response(source.content, media_type="text/plain")
    return reply(source)


@router.put(
    "/parseDagFile/{file_token}", operation_id="reparse_dag_file", tags=["DAG Parsing"], **documented(None, 201)
)
def reparse_dag_file(file_token: str, context: Context, sending: Sending) -> Response:
    """Ask the DAG processor to parse a file again."""
    bundle_name, filename = dag_queries.file_of_token(file_token)
    with context.database.writing() as connection:
        connection.execute(
            parse_request.insert().values(
                parse_request_id=context.database.new_id(),
                bundle_name=bundle_name,
                filename=filename,
                requested_at=context.clock(),
            )
        )
        _audit(context, connection, "reparse_dag_file", sending, None, bundle_name=bundle_name, filename=filename)
    return Response(status_code=201)


@router.get("/dags/{dag_id}/tasks", operation_id="get_tasks", tags=["Task"], **documented(TaskCollectionResponse))
def get_tasks(dag_id: str, context: Context, order_by: str = "task_id") -> Response:
    """List the tasks of a DAG's newest version."""
    with context.database.reading() as connection:
        version = dag_queries.newest_version(connection, context.specs, dag_id)
    return reply(dag_queries.list_tasks(version, order_by))


@router.get("/dags/{dag_id}/tasks/{task_id}", operation_id="get_task", tags=["Task"], **documented(TaskResponse))
def get_task(dag_id: str, task_id: str, context: Context) -> Response:
    """Get one task of a DAG's newest version."""
    with context.database.reading() as connection:
        version = dag_queries.newest_version(connection, context.specs, dag_id)
    return reply(dag_queries.get_task(version, task_id))


# ---------------------------------------------------------------- problems


@router.get(
    "/importErrors",
    operation_id="get_import_errors",
    tags=["Import Error"],
    **documented(ImportErrorCollectionResponse),
)
def get_import_errors(filters: Annotated[ImportErrorFilters, Query()], context: Context, scope: Scoped) -> Response:
    """List DAG files that could not be loaded."""
    with context.database.reading() as connection:
        return reply(problems.list_import_errors(connection, filters, context.cap, scope))


@router.get(
    "/importErrors/{import_error_id}",
    operation_id="get_import_error",
    tags=["Import Error"],
    **documented(ImportErrorResponse),
)
def get_import_error(import_error_id: RowId, context: Context, scope: Scoped) -> Response:
    """Get one import error."""
    with context.database.reading() as connection:
        return reply(problems.get_import_error(connection, import_error_id, scope))


@router.get(
    "/dagWarnings", operation_id="list_dag_warnings", tags=["DagWarning"], **documented(DAGWarningCollectionResponse)
)
def list_dag_warnings(filters: Annotated[WarningFilters, Query()], context: Context, scope: Scoped) -> Response:
    """List warnings about DAGs."""
    with context.database.reading() as connection:
        return reply(problems.list_warnings(connection, filters, context.cap, scope))
