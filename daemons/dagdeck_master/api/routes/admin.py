"""Operations on pools, variables, connections, the audit log, health, version and tokens.

Decides their paths and parameters, as Airflow's. Pools go through the door, since the scheduler counts their slots;
variables and connections are written by `vaulted`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from dagdeck_core.actions import DeletePool, PutPool
from dagdeck_core.errors import EnvironmentFault
from dagdeck_master.api import vaulted
from dagdeck_master.api.bodies import ConnectionBody, LoginBody, PoolBody, PoolPatchBody, VariableBody
from dagdeck_master.api.client_address import address_of
from dagdeck_master.api.context import ApiContext, Caller, Context, Scoped, Sending
from dagdeck_master.api.errors import ApiProblem
from dagdeck_master.api.filters import AuditFilters, NamedFilters, RowId
from dagdeck_master.api.models.admin import (
    ConnectionCollectionResponse,
    ConnectionResponse,
    EventLogCollectionResponse,
    EventLogResponse,
    HealthInfoResponse,
    LoginResponse,
    PoolCollectionResponse,
    PoolResponse,
    VariableCollectionResponse,
    VariableResponse,
    VersionInfo,
)
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.queries import cluster, problems
from dagdeck_master.api.queries.room import with_room
from dagdeck_master.api.reply import documented, no_content, reply
from dagdeck_master.api.users import TokenScope
from dagdeck_master.api.vaulted import check_mask

router = APIRouter()
V2 = "/api/v2"
Mask = Annotated[list[str] | None, Query()]

# ---------------------------------------------------------------- tokens, version, health


@router.post("/auth/token", operation_id="create_token", tags=["Login"], **documented(LoginResponse, 201))
def create_token(request: Request, body: LoginBody, context: Context) -> Response:
    """Exchange a user name and password for a token."""
    secret = _sign_in(request, body, context, "api")
    return reply(LoginResponse(access_token=secret), 201)


@router.post("/auth/token/cli", operation_id="create_token_cli", tags=["Login"], **documented(LoginResponse, 201))
def create_token_cli(request: Request, body: LoginBody, context: Context) -> Response:
    """Exchange a user name and password for a token that is marked as a command line's."""
    secret = _sign_in(request, body, context, "cli")
    return reply(LoginResponse(access_token=secret), 201)


def _sign_in(request: Request, body: LoginBody, context: ApiContext, origin: str) -> str:
    lifetime = None if body.lifetime is None else timedelta(seconds=body.lifetime)
    limit = None if body.scope is None else Role.named(body.scope)
    scope = TokenScope(origin=origin, limit=limit)
    address = address_of(request.scope)
    return context.authority.sign_in(body.username, body.password, scope=scope, lifetime=lifetime, address=address)


@router.get(V2 + "/version", operation_id="get_version", tags=["Version"], **documented(VersionInfo))
async def get_version(context: Context) -> Response:
    """Get the server's version."""
    return reply(VersionInfo(version=context.version, git_version=None))


@router.get(V2 + "/monitor/health", operation_id="get_health", tags=["Monitor"], **documented(HealthInfoResponse))
def get_health(context: Context) -> Response:
    """Get the health of the cluster's components; answers even when the database does not."""
    try:
        with context.database.reading() as connection:
            found = cluster.health(connection)
    except EnvironmentFault:
        return reply(cluster.unreachable_health())
    return reply(with_room(context.database, found))


# ---------------------------------------------------------------- pools


@router.get(V2 + "/pools", operation_id="get_pools", tags=["Pool"], **documented(PoolCollectionResponse))
def get_pools(filters: Annotated[NamedFilters, Query()], context: Context) -> Response:
    """List pools with their slots."""
    with context.database.reading() as connection:
        return reply(cluster.list_pools(connection, filters, context.cap))


@router.post(V2 + "/pools", operation_id="post_pool", tags=["Pool"], **documented(PoolResponse, 201))
async def post_pool(body: PoolBody, context: Context, sending: Sending) -> Response:
    """Create a pool."""
    action = PutPool(
        name=body.name,
        slots=body.slots,
        description=body.description,
        include_deferred=body.include_deferred,
        create=True,
    )
    await context.door.carry_out_one(action, sending)
    return reply(await context.read(lambda connection: cluster.get_pool(connection, body.name)), 201)


@router.get(V2 + "/pools/{pool_name}", operation_id="get_pool", tags=["Pool"], **documented(PoolResponse))
def get_pool(pool_name: str, context: Context) -> Response:
    """Get one pool with its slots."""
    with context.database.reading() as connection:
        return reply(cluster.get_pool(connection, pool_name))


@router.patch(V2 + "/pools/{pool_name}", operation_id="patch_pool", tags=["Pool"], **documented(PoolResponse))
async def patch_pool(
    pool_name: str, body: PoolPatchBody, context: Context, sending: Sending, update_mask: Mask = None
) -> Response:
    """Change a pool; what is not given stays."""
    allowed = ("pool", "slots", "description", "include_deferred", "team_name")
    fields = check_mask(update_mask, allowed) or [*body.model_fields_set]
    if "pool" in fields and body.pool is not None and body.pool != pool_name:
        raise ApiProblem(400, "Invalid body, pool name from request body doesn't match uri parameter")
    row = await context.read(lambda connection: cluster.pool_row(connection, pool_name))
    action = PutPool(
        name=pool_name,
        slots=body.slots if "slots" in fields and body.slots is not None else row.slots,
        description=body.description if "description" in fields else row.description,
        include_deferred=(
            body.include_deferred
            if "include_deferred" in fields and body.include_deferred is not None
            else row.include_deferred
        ),
    )
    await context.door.carry_out_one(action, sending)
    return reply(await context.read(lambda connection: cluster.get_pool(connection, pool_name)))


@router.delete(V2 + "/pools/{pool_name}", operation_id="delete_pool", tags=["Pool"], **documented(None, 204))
async def delete_pool(pool_name: str, context: Context, sending: Sending) -> Response:
    """Delete a pool; the default pool cannot be deleted."""
    await context.read(lambda connection: cluster.pool_row(connection, pool_name))
    await context.door.carry_out_one(DeletePool(name=pool_name), sending)
    return no_content()


# ---------------------------------------------------------------- variables


@router.get(
    V2 + "/variables", operation_id="get_variables", tags=["Variable"], **documented(VariableCollectionResponse)
)
def get_variables(filters: Annotated[NamedFilters, Query()], context: Context) -> Response:
    """List variables; values under names that sound secret are hidden."""
    with context.database.reading() as connection:
        return reply(vaulted.list_variables(connection, context.database.vault, filters, context.cap))


@router.post(V2 + "/variables", operation_id="post_variable", tags=["Variable"], **documented(VariableResponse, 201))
def post_variable(body: VariableBody, context: Context, sending: Sending) -> Response:
    """Create a variable."""
    return reply(vaulted.create_variable(context.database, body, sending, context.clock()), 201)


@router.get(
    V2 + "/variables/{variable_key:path}",
    operation_id="get_variable",
    tags=["Variable"],
    **documented(VariableResponse),
)
def get_variable(variable_key: str, context: Context) -> Response:
    """Get one variable."""
    with context.database.reading() as connection:
        return reply(vaulted.get_variable(connection, context.database.vault, variable_key))


@router.patch(
    V2 + "/variables/{variable_key:path}",
    operation_id="patch_variable",
    tags=["Variable"],
    **documented(VariableResponse),
)
def patch_variable(
    variable_key: str, body: VariableBody, context: Context, sending: Sending, update_mask: Mask = None
) -> Response:
    """Change a variable's value and description."""
    return reply(vaulted.change_variable(context.database, variable_key, body, update_mask, sending, context.clock()))


@router.delete(
    V2 + "/variables/{variable_key:path}", operation_id="delete_variable", tags=["Variable"], **documented(None, 204)
)
def delete_variable(variable_key: str, context: Context, sending: Sending) -> Response:
    """Delete a variable."""
    vaulted.delete_variable(context.database, variable_key, sending, context.clock())
    return no_content()


# ---------------------------------------------------------------- connections


@router.get(
    V2 + "/connections",
    operation_id="get_connections",
    tags=["Connection"],
    **documented(ConnectionCollectionResponse),
)
def get_connections(filters: Annotated[NamedFilters, Query()], context: Context) -> Response:
    """List connections without their secrets."""
    with context.database.reading() as connection:
        return reply(vaulted.list_connections(connection, context.database.vault, filters, context.cap))


@router.post(
    V2 + "/connections", operation_id="post_connection", tags=["Connection"], **documented(ConnectionResponse, 201)
)
def post_connection(body: ConnectionBody, context: Context, sending: Sending) -> Response:
    """Create a connection."""
    return reply(vaulted.create_connection(context.database, body, sending, context.clock()), 201)


@router.get(
    V2 + "/connections/{connection_id}",
    operation_id="get_connection",
    tags=["Connection"],
    **documented(ConnectionResponse),
)
def get_connection(connection_id: str, context: Context) -> Response:
    """Get one connection without its secrets."""
    with context.database.reading() as connection:
        return reply(vaulted.get_connection(connection, context.database.vault, connection_id))


@router.patch(
    V2 + "/connections/{connection_id}",
    operation_id="patch_connection",
    tags=["Connection"],
    **documented(ConnectionResponse),
)
def patch_connection(
    connection_id: str, body: ConnectionBody, context: Context, sending: Sending, update_mask: Mask = None
) -> Response:
    """Change a connection; a password that is not sent stays."""
    return reply(
        vaulted.change_connection(context.database, connection_id, body, update_mask, sending, context.clock())
    )


@router.delete(
    V2 + "/connections/{connection_id}",
    operation_id="delete_connection",
    tags=["Connection"],
    **documented(None, 204),
)
def delete_connection(connection_id: str, context: Context, sending: Sending) -> Response:
    """Delete a connection."""
    vaulted.delete_connection(context.database, connection_id, sending, context.clock())
    return no_content()


# ---------------------------------------------------------------- the audit log


@router.get(
    V2 + "/eventLogs", operation_id="get_event_logs", tags=["Event Log"], **documented(EventLogCollectionResponse)
)
def get_event_logs(
    filters: Annotated[AuditFilters, Query()], context: Context, scope: Scoped, caller: Caller
) -> Response:
    """List what people did."""
    with context.database.reading() as connection:
        return reply(problems.list_audit(connection, filters, context.cap, scope, whole=caller.role >= Role.ADMIN))


@router.get(
    V2 + "/eventLogs/{event_log_id}",
    operation_id="get_event_log",
    tags=["Event Log"],
    **documented(EventLogResponse),
)
def get_event_log(event_log_id: RowId, context: Context, scope: Scoped, caller: Caller) -> Response:
    """Get one entry of the audit log."""
    with context.database.reading() as connection:
        return reply(problems.get_audit_entry(connection, event_log_id, scope, whole=caller.role >= Role.ADMIN))
