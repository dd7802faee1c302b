"""FSHook: the folder that a connection of type `fs` names.

Decides where that path stands in the connection. Used by FileSensor and in tasks.
"""

from __future__ import annotations

from pathlib import Path

from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowNotFoundException
from dagdeck.hook import BaseHook

DEFAULT_CONN_ID = "fs_default"


class FSHook(BaseHook):
    """The folder of connection `fs_conn_id`: `path` in its extra.

    `fs_default` need not exist: then paths are taken as they are. Raises AirflowNotFoundException for others.
    """

    conn_name_attr = "fs_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "fs"
    hook_name = "File (path)"

    def __init__(self, fs_conn_id: str = DEFAULT_CONN_ID, **kwargs: str | None) -> None:
        super().__init__(**kwargs)
        self.conn = self._connection(fs_conn_id)
        self.basepath = str(self.conn.extra_dejson.get("path", ""))

    def get_conn(self) -> None:
        """Nothing: a folder needs no connection."""

    def get_path(self) -> str:
        """The folder; empty when the connection names none."""
        return self.basepath

    def test_connection(self) -> tuple[bool, str]:
        """Whether the folder exists, and a sentence about it."""
        if not self.basepath:
            return False, "File Path is undefined."
        if not Path(self.basepath).exists():
            return False, f"Path {self.basepath} does not exist."
        return True, f"Path {self.basepath} is existing."

    @classmethod
    def _connection(cls, conn_id: str) -> Connection:
        try:
            return cls.get_connection(conn_id)
        except AirflowNotFoundException:
            if conn_id != DEFAULT_CONN_ID:
                raise
            return Connection(conn_id, conn_type=cls.conn_type)
