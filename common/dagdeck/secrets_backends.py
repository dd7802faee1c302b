"""Secrets backends: where Variables and Connections are looked for before the metadata database.

Decides the order (the backend that the setting secrets.backend names, then environment variables, then the database)
and the names in the environment: `DAGDECK_VAR_<KEY>` and `DAGDECK_CONN_<ID>`, or the same with AIRFLOW_, in upper case.
Backends run where user code does and hold no credentials of DagDeck's. Asked by Variable and Connection; subclassed
by authors.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from dagdeck.configuration import HANDED_OVER, conf, variable_of
from dagdeck.exceptions import AirflowException
from dagdeck.imports import import_string

if TYPE_CHECKING:
    from dagdeck.connection import Connection

_log = logging.getLogger(__name__)
_PREFIXES = ("DAGDECK", "AIRFLOW")
_SETTINGS = (
    variable_of("workers", "secrets_backend"),
    variable_of("workers", "secrets_backend_kwargs"),
    variable_of("secrets", "backend"),
    variable_of("secrets", "backend_kwargs"),
    HANDED_OVER,
)


class BaseSecretsBackend:
    """Subclasses override `get_conn_value` and `get_variable`; None means that the backend does not have it."""

    @staticmethod
    def build_path(path_prefix: str, secret_id: str, sep: str = "/") -> str:
        """The prefix and the id, joined."""
        return f"{path_prefix}{sep}{secret_id}" if path_prefix else secret_id

    def get_conn_value(self, conn_id: str) -> str | None:
        """The connection as a URI or as JSON."""
        return None

    def get_variable(self, key: str) -> str | None:
        """The Variable's text."""
        return None

    def get_config(self, key: str) -> str | None:
        """The value of a setting."""
        return None

    def deserialize_connection(self, conn_id: str, value: str) -> Connection:
        """The connection that a URI or JSON describes. Raises UserError."""
        return connection_of(conn_id, value)

    def get_connection(self, conn_id: str) -> Connection | None:
        """The connection, or None."""
        value = self.get_conn_value(conn_id)
        return None if value is None else self.deserialize_connection(conn_id, value)


class EnvironmentVariablesBackend(BaseSecretsBackend):
    """Environment variables of the process that asks."""

    def get_conn_value(self, conn_id: str) -> str | None:
        """See BaseSecretsBackend."""
        return _from_environment("CONN", conn_id)

    def get_variable(self, key: str) -> str | None:
        """See BaseSecretsBackend."""
        return _from_environment("VAR", key)


class LocalFilesystemBackend(BaseSecretsBackend):
    """Files on the worker: JSON, YAML (.yaml, .yml) or lines `NAME=value` (.env); see `secrets_files`.

    A connection is a URI or an object of its parts.
    """

    def __init__(
        self,
        variables_file_path: str | None = None,
        connections_file_path: str | None = None,
        configs_file_path: str | None = None,
    ) -> None:
        self.variables_file = variables_file_path
        self.connections_file = connections_file_path
        self.configs_file = configs_file_path

    def get_connection(self, conn_id: str) -> Connection | None:
        """See BaseSecretsBackend. Raises AirflowException for a file or a connection that is not understood."""
        from dagdeck import secrets_files

        path = self.connections_file
        found = secrets_files.read_secrets(path).get(conn_id) if path else None
        if path is None or found is None:
            return None
        return secrets_files.connection_from(path, conn_id, secrets_files.single(path, conn_id, found))

    def get_conn_value(self, conn_id: str) -> str | None:
        """See BaseSecretsBackend."""
        found = self.get_connection(conn_id)
        return None if found is None else found.as_json()

    def get_variable(self, key: str) -> str | None:
        """See BaseSecretsBackend."""
        return _from_file(self.variables_file, key)

    def get_config(self, key: str) -> str | None:
        """See BaseSecretsBackend."""
        return _from_file(self.configs_file, key)


def find_variable(key: str) -> str | None:
    """The text of Variable `key` from the first backend that has it; None when none has."""
    for backend in backends():
        found = _asked(backend, "get_variable", key)
        if found is not None:
            return str(found)
    return None


def find_connection(conn_id: str) -> Connection | None:
    """Connection `conn_id` from the first backend that has it; None when none has."""
    for backend in backends():
        found = _asked(backend, "get_connection", conn_id)
        if found is not None:
            connection: Connection = found
            return connection
    return None


def connection_of(conn_id: str, value: str) -> Connection:
    """The connection that a URI or JSON describes. Raises UserError."""
    from dagdeck.connection import Connection

    if value.lstrip().startswith("{"):
        return Connection.from_json(value, conn_id)
    return Connection(conn_id, uri=value)


_ENVIRONMENT = EnvironmentVariablesBackend()
_known: list[Any] = [None, (_ENVIRONMENT,)]


def backends() -> Sequence[BaseSecretsBackend]:
    """The backends in the order in which they are asked. Raises AirflowException for one that cannot be made."""
    settings = tuple(os.environ.get(name) for name in _SETTINGS)
    if settings != _known[0]:
        own = _configured()
        _known[:] = [settings, (_ENVIRONMENT,) if own is None else (own, _ENVIRONMENT)]
    found: Sequence[BaseSecretsBackend] = _known[1]
    return found


def _configured() -> BaseSecretsBackend | None:
    """The backend that the settings name; those for workers come before those for all."""
    for section, prefix in (("workers", "secrets_"), ("secrets", "")):
        path = str(conf.get(section, f"{prefix}backend", fallback="") or "").strip()
        if path:
            arguments = conf.getjson(section, f"{prefix}backend_kwargs", fallback={}) or {}
            try:
                made = import_string(path)(**arguments)
            except Exception as error:
                raise AirflowException(f"the secrets backend {path} cannot be made: {error}") from error
            if not hasattr(made, "get_variable") or not hasattr(made, "get_conn_value"):
                raise AirflowException(f"the secrets backend {path} is no subclass of BaseSecretsBackend")
            return cast(BaseSecretsBackend, made)
    return None


def _asked(backend: BaseSecretsBackend, method: str, name: str) -> Any:
    """A backend that is out of order must not keep anybody from what stands elsewhere."""
    try:
        return getattr(backend, method)(name)
    except Exception:
        if backend is _ENVIRONMENT:
            raise
        _log.exception("the secrets backend %s could not be asked for %r", type(backend).__name__, name)
        return None


def _from_environment(kind: str, name: str) -> str | None:
    for prefix in _PREFIXES:
        found = os.environ.get(f"{prefix}_{kind}_{name.upper()}")
        if found is not None:
            return found
    return None


def _from_file(path: str | None, name: str) -> str | None:
    """The text of `name` in the file; what is no text there (an object, a list, a number) as JSON."""
    from dagdeck import secrets_files

    found = secrets_files.read_secrets(path).get(name) if path else None
    if path is None or found is None:
        return None
    if isinstance(found, list) and path.lower().endswith(".env"):
        found = secrets_files.single(path, name, found)
    return found if isinstance(found, str) else json.dumps(found)
