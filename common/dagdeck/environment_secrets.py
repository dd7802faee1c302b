"""Variables and Connections that stand in environment variables.

Decides their names: `DAGDECK_VAR_<KEY>` and `DAGDECK_CONN_<ID>`, or the same with AIRFLOW_, in upper case.
They come before those in the metadata database. Asked by Variable and Connection.
"""

from __future__ import annotations

import os

_PREFIXES = ("DAGDECK", "AIRFLOW")


def variable_from_environment(key: str) -> str | None:
    """The text of Variable `key`, or None when the environment has none."""
    return _find("VAR", key)


def connection_from_environment(conn_id: str) -> str | None:
    """The URI or JSON of Connection `conn_id`, or None when the environment has none."""
    return _find("CONN", conn_id)


def _find(kind: str, name: str) -> str | None:
    for prefix in _PREFIXES:
        found = os.environ.get(f"{prefix}_{kind}_{name.upper()}")
        if found is not None:
            return found
    return None
