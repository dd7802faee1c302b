"""A copy of an embedded database while it is used: what `cp` would give may be torn.

Decides that the copy is whole or is not there, and that only its owner may read it. A server's database has better
tools, which docs/operations.md names. Called by `dagdeckd db backup`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.db.faults import translated
from dagdeck_io.db.url import parse_url

PAGES_AT_ONCE = 1_000
PAUSE = 0.005
"""Seconds between two pieces, in which writers have their turn."""


def back_up(url: str, target: Path) -> int:
    """Copy the database to the new file `target`; its size in bytes.

    Raises UserError for a server's database or a file that exists, EnvironmentFault when either cannot be used.
    """
    source = parse_url(url)
    if source.path is None:
        raise UserError(
            "the database is on a server",
            field="database.url",
            value=source.shown,
            remedy="Use the server's own tool: mariadb-dump --single-transaction, as docs/operations.md says",
        )
    if target.exists():
        raise UserError("the file exists", field="FILE", value=str(target), remedy="Name another, or remove it first")
    if not source.path.exists():
        raise EnvironmentFault(f"there is no database {source.path}", transient=False, remedy="Check paths.home")
    try:
        fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise EnvironmentFault(f"{target} cannot be written: {error.strerror}", transient=False) from error
    try:
        with translated(source.shown):
            _copy(source.path, Path(name))
        os.fsync(fd)
        os.link(name, target)  # fails if somebody was faster
    except OSError as error:
        raise EnvironmentFault(f"{target} cannot be written: {error.strerror}", transient=False) from error
    finally:
        os.close(fd)
        os.unlink(name)
    return target.stat().st_size


def _copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as reading:
        with contextlib.closing(sqlite3.connect(target)) as writing:
            reading.backup(writing, pages=PAGES_AT_ONCE, sleep=PAUSE)
            # One file, whatever the source's mode is.
            writing.execute("PRAGMA journal_mode = DELETE")
