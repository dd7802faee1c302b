"""Requests about pools, variables, connections, workers, tokens, actions and the server itself.

Decides paths and parameters of these calls. Called by the command line and the desktop.
"""

from __future__ import annotations

from typing import Any

from dagdeck_client.models import (
    ActionStatus,
    Connection,
    ConnectionPage,
    NewToken,
    Pool,
    PoolPage,
    QueuePage,
    Token,
    TokenInfoPage,
    Variable,
    VariablePage,
    VersionInfo,
    Worker,
    WorkerPage,
)
from dagdeck_client.requests.base import API, OWN_API, Request, body_of, path, query


def log_in(username: str, password: str, *, scope: str | None = None, lifetime: int | None = None) -> Request[Token]:
    """Exchange a password for a token that suits a command line, narrowed to a role and a time in seconds if given."""
    return Request(
        method="POST",
        path="/auth/token/cli",
        body={"username": username, "password": password} | _narrowing(scope, lifetime),
        answer=Token,
        needs_token=False,
    )


def create_token(
    *, name: str | None = None, scope: str | None = None, lifetime: int | None = None
) -> Request[NewToken]:
    """Make a further token that may do what one's own may, or less. `lifetime` in seconds."""
    named = {} if name is None else {"name": name}
    return Request(method="POST", path=f"{OWN_API}/tokens", body=named | _narrowing(scope, lifetime), answer=NewToken)


def list_tokens() -> Request[TokenInfoPage]:
    """One's own tokens that are still good."""
    return Request(method="GET", path=f"{OWN_API}/tokens", answer=TokenInfoPage)


def revoke_token(token_id: int) -> Request[None]:
    """Make one of one's own tokens useless."""
    return Request(method="DELETE", path=f"{OWN_API}/tokens/{token_id}", answer=None)


def _narrowing(scope: str | None, lifetime: int | None) -> dict[str, Any]:
    given = {"scope": scope, "lifetime": lifetime}
    return {name: value for name, value in given.items() if value is not None}


def get_version() -> Request[VersionInfo]:
    """The server's version; needs no token."""
    return Request(method="GET", path=f"{API}/version", answer=VersionInfo, needs_token=False)


def get_health() -> Request[dict[str, dict[str, Any]]]:
    """The state of each component by its name, with its last heartbeat."""
    return Request(method="GET", path=f"{API}/monitor/health", answer=dict[str, dict[str, Any]])


def list_queues() -> Request[QueuePage]:
    """Queues with what waits in them."""
    return Request(method="GET", path=f"{OWN_API}/queues", answer=QueuePage)


def list_pools(*, limit: int = 100, offset: int = 0) -> Request[PoolPage]:
    """One page of pools with their slots."""
    return Request(method="GET", path=f"{API}/pools", query=query(limit=limit, offset=offset), answer=PoolPage)


def get_pool(name: str) -> Request[Pool]:
    """One pool."""
    return Request(method="GET", path=path(API + "/pools/{}", name), answer=Pool)


def create_pool(name: str, slots: int, *, description: str | None, include_deferred: bool) -> Request[Pool]:
    """Create a pool; -1 slots means without limit."""
    return Request(
        method="POST",
        path=f"{API}/pools",
        body={"name": name, "slots": slots, "description": description, "include_deferred": include_deferred},
        answer=Pool,
        is_action=True,
    )


def change_pool(
    name: str, *, slots: int, description: str | None = None, include_deferred: bool | None = None
) -> Request[Pool]:
    """Change a pool's slots, and what else is given."""
    changes = body_of(slots=slots, description=description, include_deferred=include_deferred)
    return Request(
        method="PATCH",
        path=path(API + "/pools/{}", name),
        query=query(update_mask=sorted(changes)),
        body=changes,
        answer=Pool,
        is_action=True,
    )


def delete_pool(name: str) -> Request[None]:
    """Delete a pool."""
    return Request(method="DELETE", path=path(API + "/pools/{}", name), answer=None, is_action=True)


def list_variables(*, limit: int = 100, offset: int = 0, pattern: str | None = None) -> Request[VariablePage]:
    """One page of variables."""
    return Request(
        method="GET",
        path=f"{API}/variables",
        query=query(limit=limit, offset=offset, variable_key_pattern=pattern),
        answer=VariablePage,
    )


def get_variable(key: str) -> Request[Variable]:
    """One variable."""
    return Request(method="GET", path=path(API + "/variables/{}", key), answer=Variable)


def create_variable(key: str, value: Any, description: str | None = None) -> Request[Variable]:
    """Create a variable; a value that is not text is stored as JSON."""
    return Request(
        method="POST",
        path=f"{API}/variables",
        body={"key": key, "value": value, "description": description},
        answer=Variable,
    )


def change_variable(key: str, value: Any, description: str | None = None) -> Request[Variable]:
    """Change a variable's value, and its description when one is given."""
    mask = ["value"] if description is None else ["value", "description"]
    return Request(
        method="PATCH",
        path=path(API + "/variables/{}", key),
        query=query(update_mask=mask),
        body={"key": key, "value": value, "description": description},
        answer=Variable,
    )


def delete_variable(key: str) -> Request[None]:
    """Delete a variable."""
    return Request(method="DELETE", path=path(API + "/variables/{}", key), answer=None)


def list_connections(*, limit: int = 100, offset: int = 0) -> Request[ConnectionPage]:
    """One page of connections, without their secrets."""
    return Request(
        method="GET", path=f"{API}/connections", query=query(limit=limit, offset=offset), answer=ConnectionPage
    )


def get_connection(connection_id: str) -> Request[Connection]:
    """One connection, without its secrets."""
    return Request(method="GET", path=path(API + "/connections/{}", connection_id), answer=Connection)


def create_connection(connection_id: str, conn_type: str, **fields: Any) -> Request[Connection]:
    """Create a connection; `fields` are host, login, password, schema, port, extra, description."""
    return Request(
        method="POST",
        path=f"{API}/connections",
        body={"connection_id": connection_id, "conn_type": conn_type, **body_of(**fields)},
        answer=Connection,
    )


def delete_connection(connection_id: str) -> Request[None]:
    """Delete a connection."""
    return Request(method="DELETE", path=path(API + "/connections/{}", connection_id), answer=None)


def list_workers(*, include_gone: bool = False) -> Request[WorkerPage]:
    """Workers, with those that stopped or were lost on request."""
    return Request(method="GET", path=f"{OWN_API}/workers", query=query(include_gone=include_gone), answer=WorkerPage)


def set_worker_drain(worker_id: int, drain: bool) -> Request[Worker]:
    """Let a worker take nothing new, or let it take work again."""
    verb = "drain" if drain else "resume"
    return Request(method="POST", path=path(OWN_API + "/workers/{}/" + verb, worker_id), answer=Worker, is_action=True)


def get_action(action_id: int) -> Request[ActionStatus]:
    """Where an action stands."""
    return Request(method="GET", path=path(OWN_API + "/actions/{}", action_id), answer=ActionStatus)
