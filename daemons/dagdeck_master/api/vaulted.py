"""Variables and connections: the only rows of people's set-up that the API writes itself.

Decides that every change and its audit record are one transaction, what is encrypted, and what an answer hides:
passwords always, values and extras under names that sound secret. Called by the routes of variables and connections.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import connection as connection_table
from dagdeck_io.db.tables import variable
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.audit import audit, before_and_after
from dagdeck_master.api.bodies import ConnectionBody, VariableBody
from dagdeck_master.api.database import ApiDatabase, SecretBox
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import NamedFilters, pattern_conditions
from dagdeck_master.api.models.admin import (
    ConnectionCollectionResponse,
    ConnectionResponse,
    VariableCollectionResponse,
    VariableResponse,
)
from dagdeck_master.api.paging import fetch_page, sorting

HIDDEN = "***"
_SECRET_WORDS = (
    "access_key",
    "api_key",
    "apikey",
    "authorization",
    "credential",
    "keyfile_dict",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "token",
)


def sounds_secret(name: str) -> bool:
    """Whether a value under this name is hidden in answers."""
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)


def check_mask(mask: Iterable[str] | None, allowed: Iterable[str]) -> list[str] | None:
    """The fields a PATCH changes. Raises ApiProblem 400 for a field it cannot change."""
    if mask is None:
        return None
    names = [name for entry in mask for name in entry.split(",")]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise ApiProblem(400, f"Invalid update_mask: {', '.join(unknown)}. It can name: {', '.join(allowed)}")
    return names


# ---------------------------------------------------------------- variables


def list_variables(
    connection: sa.Connection, vault: SecretBox, filters: NamedFilters, cap: int
) -> VariableCollectionResponse:
    """One page of variables."""
    statement = sa.select(variable).where(*pattern_conditions(filters, {"variable_key": variable.c.key}))
    orders: dict[str, sa.ColumnElement[Any]] = {
        "key": variable.c.key,
        "id": variable.c.key,
        "description": variable.c.description,
    }
    order = sorting(filters.order_by, orders, {"key": variable.c.key}, ["key"])
    page = fetch_page(connection, statement, order, filters.page(cap))
    return VariableCollectionResponse(
        variables=[_variable(row, vault) for row in page.rows], total_entries=page.total or 0
    )


def get_variable(connection: sa.Connection, vault: SecretBox, key: str) -> VariableResponse:
    """One variable. Raises ApiProblem 404."""
    return _variable(_variable_row(connection, key), vault)


def _variable_row(connection: sa.Connection, key: str) -> Any:
    row = connection.execute(sa.select(variable).where(variable.c.key == key)).one_or_none()
    if row is None:
        not_found("The Variable", key=key)
    return row


def _variable(row: Any, vault: SecretBox) -> VariableResponse:
    return VariableResponse(
        key=row.key,
        value=HIDDEN if sounds_secret(row.key) else _masked_json(vault.decrypt(row.value)),
        description=row.description,
        is_encrypted=True,
        team_name=None,
    )


def _stored_text(value: Any) -> str:
    """A variable's value as text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def create_variable(database: ApiDatabase, body: VariableBody, sender: Sender, now: datetime) -> VariableResponse:
    """Insert a variable with its audit record. Raises ApiProblem 409 when the key is taken."""
    try:
        with database.writing() as connection:
            connection.execute(
                variable.insert().values(
                    key=body.key,
                    value=database.vault.encrypt(_stored_text(body.value)),
                    description=body.description,
                    updated_at=now,
                )
            )
            after = _variable_row(connection, body.key)
            _audit_variable(database, connection, "post_variable", sender, now, None, after)
            return _variable(after, database.vault)
    except DuplicateRow:
        raise ApiProblem(409, f"The Variable with key: `{body.key}` already exists") from None


def change_variable(
    database: ApiDatabase, key: str, body: VariableBody, mask: list[str] | None, sender: Sender, now: datetime
) -> VariableResponse:
    """Change a variable with its audit record. Raises ApiProblem 404, and 400 for a body about another key."""
    if body.key != key:
        raise ApiProblem(400, "Invalid body, key from request body doesn't match uri parameter")
    fields = check_mask(mask, ("key", "value", "description")) or ["value", "description"]
    changes: dict[str, Any] = {"updated_at": now}
    if "value" in fields:
        changes["value"] = database.vault.encrypt(_stored_text(body.value))
    if "description" in fields:
        changes["description"] = body.description
    with database.writing() as connection:
        before = _variable_row(connection, key)
        connection.execute(variable.update().where(variable.c.key == key).values(**changes))
        after = _variable_row(connection, key)
        _audit_variable(database, connection, "patch_variable", sender, now, before, after)
        return _variable(after, database.vault)


def delete_variable(database: ApiDatabase, key: str, sender: Sender, now: datetime) -> None:
    """Delete a variable with its audit record. Raises ApiProblem 404."""
    with database.writing() as connection:
        before = _variable_row(connection, key)
        if connection.execute(variable.delete().where(variable.c.key == key)).rowcount == 0:
            not_found("The Variable", key=key)
        _audit_variable(database, connection, "delete_variable", sender, now, before, None)


def _audit_variable(
    database: ApiDatabase,
    connection: sa.Connection,
    event: str,
    sender: Sender,
    now: datetime,
    before: Any,
    after: Any,
) -> None:
    """Values are not recorded, only whether they changed: the audit log is not encrypted."""
    told = before_and_after(
        _plain(before, database.vault, ("value",)),
        _plain(after, database.vault, ("value",)),
        fields=("description", "value"),
        secret=("value",),
    )
    key = (after or before).key
    audit(connection, event_log_id=database.new_id(), event=event, sender=sender, now=now, extra={"key": key, **told})


def _plain(row: Any, vault: SecretBox, encrypted: Iterable[str]) -> dict[str, Any] | None:
    """A row's values in plain text, to compare them. One that no key fits any more is taken as it is stored."""
    if row is None:
        return None
    values = dict(row._mapping)
    for name in encrypted:
        if values[name] is not None:
            with contextlib.suppress(EnvironmentFault):
                values[name] = vault.decrypt(values[name])
    return values


# ---------------------------------------------------------------- connections

_CONNECTION_FIELDS = ("conn_type", "description", "host", "login", "schema", "port", "password", "extra")
_ENCRYPTED = ("password", "extra")


def list_connections(
    connection: sa.Connection, vault: SecretBox, filters: NamedFilters, cap: int
) -> ConnectionCollectionResponse:
    """One page of connections."""
    table = connection_table.c
    statement = sa.select(connection_table).where(*pattern_conditions(filters, {"connection_id": table.conn_id}))
    orders: dict[str, sa.ColumnElement[Any]] = {
        "connection_id": table.conn_id,
        "conn_id": table.conn_id,
        "id": table.conn_id,
        "conn_type": table.conn_type,
        "description": table.description,
        "host": table.host,
        "port": table.port,
    }
    order = sorting(filters.order_by, orders, {"connection_id": table.conn_id}, ["connection_id"])
    page = fetch_page(connection, statement, order, filters.page(cap))
    return ConnectionCollectionResponse(
        connections=[_connection(row, vault) for row in page.rows], total_entries=page.total or 0
    )


def get_connection(connection: sa.Connection, vault: SecretBox, conn_id: str) -> ConnectionResponse:
    """One connection. Raises ApiProblem 404."""
    return _connection(_connection_row(connection, conn_id), vault)


def _connection_row(connection: sa.Connection, conn_id: str) -> Any:
    row = connection.execute(sa.select(connection_table).where(connection_table.c.conn_id == conn_id)).one_or_none()
    if row is None:
        not_found("The Connection", connection_id=conn_id)
    return row


def _connection(row: Any, vault: SecretBox) -> ConnectionResponse:
    return ConnectionResponse(
        connection_id=row.conn_id,
        conn_type=row.conn_type,
        description=row.description,
        host=row.host,
        login=row.login,
        schema=row.schema,
        port=row.port,
        password=None if row.password is None else HIDDEN,
        extra=None if row.extra is None else _masked_json(vault.decrypt(row.extra)),
        team_name=None,
    )


def _masked_json(text: str) -> str:
    """JSON text with the values under secret-sounding names hidden; other text as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    masked, changed = _masked(value)
    return msgspec.json.encode(masked).decode() if changed else text


def _masked(value: Any) -> tuple[Any, bool]:
    """`value` with secrets hidden, and whether anything was."""
    if isinstance(value, dict):
        answer, changed = {}, False
        for key, item in value.items():
            is_secret = isinstance(item, (str, int, float)) and sounds_secret(key)
            answer[key], inner = (HIDDEN, True) if is_secret else _masked(item)
            changed = changed or inner
        return answer, changed
    if isinstance(value, list):
        pairs = [_masked(item) for item in value]
        return [item for item, _ in pairs], any(inner for _, inner in pairs)
    return value, False


def _connection_values(body: ConnectionBody, vault: SecretBox, fields: Iterable[str]) -> dict[str, Any]:
    """Column values of the given fields. Raises ApiProblem 400 when extra is not a JSON object."""
    values: dict[str, Any] = {}
    for name in fields:
        value = body.schema_ if name == "schema" else getattr(body, name)
        if name == "extra" and value:
            _check_extra(value)
        values[name] = vault.encrypt(value) if name in ("password", "extra") and value is not None else value
    return values


def _check_extra(text: str) -> None:
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ApiProblem(
            400, f'The `extra` field must be a valid JSON object, such as {{"region": "eu"}}: {error}'
        ) from None


def create_connection(database: ApiDatabase, body: ConnectionBody, sender: Sender, now: datetime) -> ConnectionResponse:
    """Insert a connection with its audit record. Raises ApiProblem 409 when the id is taken."""
    values = _connection_values(body, database.vault, _CONNECTION_FIELDS)
    try:
        with database.writing() as connection:
            connection.execute(connection_table.insert().values(conn_id=body.connection_id, updated_at=now, **values))
            after = _connection_row(connection, body.connection_id)
            _audit_connection(database, connection, "post_connection", sender, now, None, after)
            return _connection(after, database.vault)
    except DuplicateRow:
        raise ApiProblem(409, f"The Connection with connection_id: `{body.connection_id}` already exists") from None


def change_connection(
    database: ApiDatabase, conn_id: str, body: ConnectionBody, mask: list[str] | None, sender: Sender, now: datetime
) -> ConnectionResponse:
    """Change a connection with its audit record; a password that is shown as hidden stays as it is.

    Raises ApiProblem 404, and 400 for a body about another connection.
    """
    if body.connection_id != conn_id:
        raise ApiProblem(400, "The connection_id in the request body does not match the URL parameter")
    fields = check_mask(mask, (*_CONNECTION_FIELDS, "connection_id")) or [*_CONNECTION_FIELDS]
    kept = [name for name in ("password", "extra") if _is_hidden(getattr(body, name))]
    if mask is None and "password" not in body.model_fields_set:
        kept.append("password")
    wanted = [name for name in fields if name in _CONNECTION_FIELDS and name not in kept]
    values = _connection_values(body, database.vault, wanted)
    with database.writing() as connection:
        before = _connection_row(connection, conn_id)
        connection.execute(
            connection_table.update().where(connection_table.c.conn_id == conn_id).values(updated_at=now, **values)
        )
        after = _connection_row(connection, conn_id)
        _audit_connection(database, connection, "patch_connection", sender, now, before, after)
        return _connection(after, database.vault)


def _is_hidden(value: str | None) -> bool:
    """Whether a client sends back what an answer hid."""
    return value is not None and HIDDEN in value


def delete_connection(database: ApiDatabase, conn_id: str, sender: Sender, now: datetime) -> None:
    """Delete a connection with its audit record. Raises ApiProblem 404."""
    with database.writing() as connection:
        before = _connection_row(connection, conn_id)
        mine = connection_table.c.conn_id == conn_id
        if connection.execute(connection_table.delete().where(mine)).rowcount == 0:
            not_found("The Connection", connection_id=conn_id)
        _audit_connection(database, connection, "delete_connection", sender, now, before, None)


def _audit_connection(
    database: ApiDatabase,
    connection: sa.Connection,
    event: str,
    sender: Sender,
    now: datetime,
    before: Any,
    after: Any,
) -> None:
    told = before_and_after(
        _plain(before, database.vault, _ENCRYPTED),
        _plain(after, database.vault, _ENCRYPTED),
        fields=_CONNECTION_FIELDS,
        secret=_ENCRYPTED,
    )
    audit(
        connection,
        event_log_id=database.new_id(),
        event=event,
        sender=sender,
        now=now,
        extra={"connection_id": (after or before).conn_id, **told},
    )
