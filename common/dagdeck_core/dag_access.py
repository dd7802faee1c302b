"""What access_control of a DAG file means: which roles may see the DAG, and which may steer it.

Decides the meaning of Airflow's permissions (can_read, can_edit and the like) as levels. Does not decide who has a
role. Called when a DAG is published; the control API reads what was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any


class DagLevel(StrEnum):
    """What a grant allows for a DAG."""

    VIEWER = "viewer"
    OPERATOR = "operator"


_STEER = frozenset({"can_edit", "can_create", "can_delete", "can_dag_edit"})
_SEE = frozenset({"can_read", "can_dag_read"})


def access_levels(access_control: Mapping[str, Any]) -> dict[str, DagLevel]:
    """Role → level, given role → permissions, or role → resource → permissions. Unknown words mean nothing."""
    found: dict[str, DagLevel] = {}
    for role, given in access_control.items():
        words = [*_words(given)]
        if any(word in _STEER for word in words):
            found[role] = DagLevel.OPERATOR
        elif any(word in _SEE for word in words):
            found[role] = DagLevel.VIEWER
    return found


def _words(given: Any) -> Iterable[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping):
        for each in given.values():
            yield from _words(each)
    elif isinstance(given, (list, tuple)):
        yield from (each for each in given if isinstance(each, str))
