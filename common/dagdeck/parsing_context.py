"""Which DAG a file is being loaded for, for files that make many DAGs and want to make only one.

Decides nothing: whoever loads a file for one task says so. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class AirflowParsingContext(NamedTuple):
    """The DAG and the task that the file is loaded for; None while all of its DAGs are wanted."""

    dag_id: str | None
    task_id: str | None


_EVERYTHING = AirflowParsingContext(None, None)
_current = [_EVERYTHING]


def get_parsing_context() -> AirflowParsingContext:
    """What the file is loaded for.

    A worker's process keeps what it has loaded for the next task, which may be another DAG's, so it asks for all.
    """
    return _current[-1]


@contextmanager
def loading_for(dag_id: str | None = None, task_id: str | None = None) -> Iterator[None]:
    """Within the block, files are loaded for one DAG or task."""
    _current.append(AirflowParsingContext(dag_id, task_id))
    try:
        yield
    finally:
        _current.pop()


__all__ = ["AirflowParsingContext", "get_parsing_context", "loading_for"]
