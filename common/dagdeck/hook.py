"""BaseHook: the base of classes that talk to an external system through a Connection.

Decides how a hook finds its connection and its logger. Subclassed by hooks, used inside operators.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dagdeck.connection import Connection
from dagdeck.exceptions import unavailable


class BaseHook:
    """Base of hooks."""

    def __init__(self, logger_name: str | None = None) -> None:
        self._logger_name = logger_name

    @property
    def log(self) -> logging.Logger:
        """The hook's logger."""
        cls = type(self)
        return logging.getLogger(getattr(self, "_logger_name", None) or f"{cls.__module__}.{cls.__qualname__}")

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """The connection called `conn_id`. Raises AirflowNotFoundException."""
        connection = Connection.get(conn_id)
        logging.getLogger(__name__).info("Connection %r: type %s", conn_id, connection.conn_type)
        return connection

    @classmethod
    def get_hook(cls, conn_id: str, hook_params: Mapping[str, Any] | None = None) -> Any:
        """A hook of the type of connection `conn_id`. Raises AirflowNotFoundException, AirflowException."""
        return cls.get_connection(conn_id).get_hook(hook_params=hook_params)

    @classmethod
    async def aget_connection(cls, conn_id: str) -> Connection:
        """As `get_connection`, for triggers and other coroutines."""
        import asyncio  # only coroutines need it

        return await asyncio.to_thread(cls.get_connection, conn_id)

    def get_conn(self) -> Any:
        """The open connection; subclasses override it."""
        raise unavailable(f"{type(self).__name__}.get_conn", "Override get_conn(self)")
