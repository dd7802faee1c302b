"""Old rows as files: compressed JSON lines, one folder per table, one file per day and writer.

Decides what a row looks like in a file, which tables are kept at all, and that rows are on the disk (written and
synced, the folder too) before anybody deletes them. A row's day is that on which it was made. Does not decide which
rows are old (`dagdeck_io.db`). Written by the leading scheduler's housekeeping and `dagdeckd db purge`, read by
`dagdeckd db archive`.

A file is a series of gzip members, each with the rows of one transaction. Whatever went wrong, a row is in it at
least once if it was deleted; a row that could not be deleted after all may be in it twice, so readers leave out what
they have seen. Only the end of a file can be torn, by a power failure, and what was in it had not been deleted.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import secrets
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.errors import DiskFull, EnvironmentFault, UserError
from dagdeck_core.ids import id_time_ms
from dagdeck_io.db.tables import metadata
from dagdeck_io.db.types import JsonText, SpecBlob, UtcDateTime, from_micros

ARCHIVED = (
    "action",
    "asset_event",
    "audit_log",
    "backfill",
    "dag_run",
    "dag_version",
    "hitl_detail",
    "log_chunk",
    "rendered_fields",
    "task_instance",
    "task_instance_history",
    "task_state_store",
    "transition",
    "work",
    "worker",
    "xcom",
)
"""The tables whose rows are kept. Tokens, triggers (encrypted arguments) and counters are not."""
SUFFIX = ".jsonl.gz"
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.[0-9a-f]+\.jsonl\.gz")
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(slots=True, kw_only=True)
class ArchiveWriter:
    """Keeps rows below `folder`; used by one thread. `keep` is how long files are kept, None for ever."""

    folder: Path
    keep: timedelta | None = None
    _writer: str = field(default_factory=lambda: secrets.token_hex(4), init=False)
    _noted: dict[tuple[str, date], list[bytes]] = field(default_factory=dict, init=False)
    _written: list[tuple[Path, int]] = field(default_factory=list, init=False)

    def columns(self, table: str) -> Sequence[str]:
        """The columns that are kept of this table's rows; none: they are not kept."""
        return [column.name for column in metadata.tables[table].columns] if table in ARCHIVED else ()

    def add(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Note rows with the values of `columns`, as the driver gave them."""
        columns = list(metadata.tables[table].columns)
        for row in rows:
            line = _encode(_readable({c.name: _value(c, v) for c, v in zip(columns, row, strict=True)}))
            # A negative id is that of work whose log this is.
            day = datetime.fromtimestamp(id_time_ms(abs(row[0])) / 1000, UTC).date()
            self._noted.setdefault((table, day), []).append(line + b"\n")

    def store(self) -> None:
        """Write and sync what was noted. Raises EnvironmentFault, and then the files are as before."""
        self._written = []
        noted, self._noted = self._noted, {}
        grown: dict[Path, None] = {}
        try:
            for (table, day), lines in noted.items():
                path = self.folder / table / f"{day}.{self._writer}{SUFFIX}"
                if self._append(path, gzip.compress(b"".join(lines), 6)):
                    grown |= {path.parent: None, self.folder: None}
            for folder in grown:
                _sync_folder(folder)
        except OSError as error:
            self.undo()
            kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else EnvironmentFault
            raise kind(
                f"old rows cannot be archived in {self.folder}: {error.strerror or error}",
                remedy="Make room there, or change retention.archive_folder; until then nothing old is deleted",
            ) from error

    def undo(self) -> None:
        """What `store` wrote is not to be kept: its rows were not deleted."""
        written, self._written = self._written, []
        for path, size in written:
            try:
                os.truncate(path, size)
            except OSError:
                # It may end in the middle of something: others are not to be written behind that.
                self._writer = secrets.token_hex(4)

    def forget(self) -> None:
        """Drop what was noted and not stored."""
        self._noted = {}

    def prune(self, now: datetime) -> int:
        """Remove files that were last written longer ago than they are kept; how many."""
        if self.keep is None:
            return 0
        oldest, removed = (now - self.keep).timestamp(), 0
        for path in sorted(self.folder.glob(f"*/*{SUFFIX}")):
            with contextlib.suppress(OSError):
                if _NAME.fullmatch(path.name) and path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
        return removed

    def _append(self, path: Path, data: bytes) -> bool:
        """Append and sync; whether the file is new."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._written.append((path, os.fstat(descriptor).st_size))
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return is_new


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedDay:
    """The files of one table and day, and their bytes together."""

    table: str
    day: date
    files: tuple[Path, ...]
    size: int


def archived_days(folder: Path, table: str | None = None) -> list[ArchivedDay]:
    """What an archive holds, by table and day. Raises UserError for a folder that is none."""
    if not folder.is_dir():
        raise UserError("there is no archive here", field="retention.archive_folder", value=str(folder))
    found: dict[tuple[str, date], list[Path]] = {}
    for path in sorted(folder.glob(f"{table or '*'}/*{SUFFIX}")):
        name = _NAME.fullmatch(path.name)
        if name is not None:
            found.setdefault((path.parent.name, date.fromisoformat(name[1])), []).append(path)
    return [
        ArchivedDay(table=key[0], day=key[1], files=tuple(files), size=sum(path.stat().st_size for path in files))
        for key, files in sorted(found.items())
    ]


def archived_rows(days: Sequence[ArchivedDay]) -> Iterator[dict[str, Any]]:
    """The rows of these days, each once."""
    for each in days:
        table = metadata.tables.get(each.table)
        keys = [column.name for column in table.primary_key.columns] if table is not None else []
        seen: set[tuple[Any, ...]] = set()
        for path in each.files:
            for line in _lines(path):
                row = msgspec.json.decode(line)
                key = tuple(row.get(name) for name in keys)
                if not keys or key not in seen:
                    seen.add(key)
                    yield row


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, up to where it is torn."""
    with gzip.open(path) as stream:
        try:
            for line in stream:
                if line.endswith(b"\n"):
                    yield line
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return


def _value(column: sa.Column[Any], value: Any) -> Any:
    """A value as the driver gave it, as people and programs read it."""
    kind = column.type
    if value is None:
        return None
    if isinstance(kind, UtcDateTime):
        return from_micros(value) if isinstance(value, int) else value.replace(tzinfo=UTC)
    if isinstance(kind, JsonText):
        return msgspec.json.decode(value)
    if isinstance(kind, SpecBlob):
        return msgspec.json.decode(zlib.decompress(value))
    return bool(value) if isinstance(kind, sa.Boolean) else value


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """A log's data as text where it is text, else as base64 under another name."""
    if "encoding" in row and isinstance(row.get("data"), bytes):
        data = zlib.decompress(row["data"]) if row["encoding"] == "zlib" else row["data"]
        del row["encoding"], row["data"]
        try:
            row["data"] = data.decode()
        except UnicodeDecodeError:
            row["data_base64"] = data
    return row


def _sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
