"""Connection: where an external system is and how to log in.

Decides how a connection is written as URI or JSON and what its parts are. Does not store it (questions go
through `dagdeck.runtime`) nor connect to anything (hooks do). Used by hooks and as `conn` in templates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dagdeck import runtime
from dagdeck.exceptions import AirflowException, AirflowNotFoundException, invalid
from dagdeck.secrets_backends import find_connection

_PARTS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")
_EXTRA_IN_URI = "__extra__"


class Connection:
    """One connection. `extra` is JSON text (a dict is taken too). Raises UserError for a wrong port or extra."""

    def __init__(
        self,
        conn_id: str | None = None,
        conn_type: str | None = None,
        description: str | None = None,
        host: str | None = None,
        login: str | None = None,
        password: str | None = None,
        schema: str | None = None,
        port: int | str | None = None,
        extra: str | Mapping[str, Any] | None = None,
        uri: str | None = None,
    ) -> None:
        self.conn_id = conn_id
        self.conn_type = conn_type
        self.description = description
        self.host = host
        self.login = login
        self.password = password
        self.schema = schema
        self.port = _port(port, conn_id)
        self.extra = json.dumps(extra) if isinstance(extra, Mapping) else extra
        if uri is not None:
            self._read_uri(uri)
        self._mask()

    @classmethod
    def get(cls, conn_id: str) -> Connection:
        """The connection called `conn_id`.

        Raises AirflowNotFoundException when there is none, AirflowException outside a task.
        """
        found = find_connection(conn_id)
        if found is not None:
            return found
        requests = runtime.current_requests()
        if requests is None:
            raise AirflowException(
                f"Connection {conn_id!r} cannot be read while a DAG file is being loaded; read it inside a task "
                f"or in a template ({{{{ conn.{conn_id}.host }}}})"
            )
        try:
            parts = requests.request("connection_get", {"conn_id": conn_id})
        except runtime.NotFound:
            parts = None
        if parts is None:
            raise AirflowNotFoundException(
                f"there is no Connection {conn_id!r}; add it with `dagdeck connections add {conn_id} URI`"
            )
        return cls(conn_id, **{part: parts.get(part) for part in _PARTS})

    @classmethod
    async def async_get(cls, conn_id: str) -> Connection:
        """As `get`, for triggers and other coroutines: nobody else has to wait for the answer."""
        import asyncio  # only coroutines need it

        return await asyncio.to_thread(cls.get, conn_id)

    @classmethod
    def from_json(cls, value: str, conn_id: str | None = None) -> Connection:
        """A connection from a JSON object of its parts. Raises UserError when it is not one."""
        try:
            parts = json.loads(value)
            if not isinstance(parts, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise invalid(f"connection {conn_id!r} is not valid JSON: {error}") from error
        unknown = sorted(set(parts) - {*_PARTS, "conn_id", "uri"})
        if unknown:
            raise invalid(f"connection {conn_id!r} has an unknown part", value=unknown[0], remedy=f"Use {_PARTS}")
        return cls(conn_id or parts.pop("conn_id", None), **{k: v for k, v in parts.items() if k != "conn_id"})

    @classmethod
    def from_uri(cls, uri: str, conn_id: str | None = None) -> Connection:
        """A connection from a URI `type://login:password@host:port/schema?extra=…`."""
        return cls(conn_id, uri=uri)

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """`extra` as a dict; empty when there is none. Raises AirflowException when it is not a JSON object."""
        return self.get_extra_dejson()

    def get_extra_dejson(self, nested: bool = False) -> dict[str, Any]:
        """As `extra_dejson`; with `nested`, values that are JSON text are parsed as well."""
        if not self.extra:
            return {}
        try:
            found = json.loads(self.extra)
        except json.JSONDecodeError as error:
            raise AirflowException(f"extra of Connection {self.conn_id!r} is not valid JSON: {error}") from error
        if not isinstance(found, dict):
            raise AirflowException(f"extra of Connection {self.conn_id!r} is no JSON object")
        return {key: _parsed(value) for key, value in found.items()} if nested else found

    def get_uri(self) -> str:
        """The connection as a URI that `from_uri` reads again."""
        scheme = (self.conn_type or "").lower().replace("_", "-")
        user = quote(self.login or "", safe="")
        if self.password is not None:
            user += ":" + quote(self.password, safe="")
        place = (user + "@" if user else "") + quote(self.host or "", safe="")
        if self.port is not None:
            place += f":{self.port}"
        uri = f"{scheme}://{place}"
        if self.schema:
            uri += "/" + quote(self.schema, safe="")
        extra = self.extra_dejson
        if extra:
            flat = all(isinstance(value, str) for value in extra.values())
            uri += "?" + urlencode(extra if flat else {_EXTRA_IN_URI: self.extra or ""})
        return uri

    def get_hook(self, *, hook_params: Mapping[str, Any] | None = None) -> Any:
        """The hook of the connection's type, with these further arguments. Raises AirflowException for unknown ones."""
        from dagdeck.provider_packages import hook_for

        return hook_for(self.conn_type, self.conn_id, hook_params)

    def test_connection(self) -> tuple[bool, str]:
        """Whether what it names can be reached, and a sentence about it: asked by its hook, else by connecting."""
        from dagdeck.provider_packages import hooks

        if self.conn_type in hooks():
            try:
                found: tuple[bool, str] = self.get_hook().test_connection()
            except Exception as error:  # noqa: BLE001 - hooks raise what their libraries raise
                return False, str(error)
            return found
        if not self.host or self.port is None:
            return False, f"without host and port a connection of the type {self.conn_type!r} cannot be tested"
        import socket

        try:
            socket.create_connection((self.host, self.port), timeout=10).close()
        except OSError as error:
            return False, f"{self.host}:{self.port} cannot be reached: {error}"
        return True, f"{self.host}:{self.port} accepts connections"

    def to_dict(self) -> dict[str, Any]:
        """Its parts, those that are set."""
        parts = {"conn_id": self.conn_id} | {part: getattr(self, part) for part in _PARTS}
        return {name: value for name, value in parts.items() if value is not None}

    def as_json(self) -> str:
        """Its parts as JSON."""
        return json.dumps(self.to_dict())

    def __repr__(self) -> str:
        return f"Connection({self.conn_id!r}, type {self.conn_type!r})"

    def _read_uri(self, uri: str) -> None:
        if "://" not in uri and not uri.split(":")[0].isidentifier():
            raise invalid(
                f"connection {self.conn_id!r} has no valid URI", remedy="type://login:password@host:port/schema"
            )
        parts = urlsplit(uri)
        conn_type = parts.scheme.replace("-", "_")
        self.conn_type = "postgres" if conn_type == "postgresql" else conn_type
        self.login = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password is not None else None
        self.host = unquote(parts.hostname) if parts.hostname else None
        self.schema = unquote(parts.path[1:]) if len(parts.path) > 1 else None
        try:
            self.port = parts.port
        except ValueError as error:
            raise invalid(f"connection {self.conn_id!r} has an invalid port: {error}") from error
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if query:
            self.extra = query[_EXTRA_IN_URI] if set(query) == {_EXTRA_IN_URI} else json.dumps(query)

    def _mask(self) -> None:
        """Hide what must not stand in the log of the running task."""
        if runtime.current_requests() is None:
            return
        if self.password:
            runtime.mask_secret(self.password)
            runtime.mask_secret(quote(self.password, safe=""))
        if self.extra:
            try:
                _mask_sensitive(json.loads(self.extra))
            except json.JSONDecodeError:
                runtime.mask_secret(self.extra)


def _mask_sensitive(extra: Any) -> None:
    """Hide the values under sensitive names in a connection's extra."""
    if isinstance(extra, dict):
        for key, value in extra.items():
            if isinstance(value, dict):
                _mask_sensitive(value)
            else:
                runtime.mask_secret(value, key)


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _port(port: int | str | None, conn_id: str | None) -> int | None:
    if port is None or port == "":
        return None
    try:
        return int(port)
    except ValueError as error:
        raise invalid(f"connection {conn_id!r} has an invalid port", field="port", value=port) from error
