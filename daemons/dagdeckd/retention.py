"""`dagdeckd db purge` and `dagdeckd db archive`: deleting what is old by hand, and reading what was archived.

Decides their output. Does not decide what is old or how it is kept (`dagdeck_io`). Called by `administration`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_io.archive import archived_days, archived_rows
from dagdeck_io.composition import database_of, retention_of
from dagdeck_io.db import migrations
from dagdeck_io.settings import Settings


def preview(settings: Settings) -> Iterator[str]:
    """What a pass would delete now, a line each."""
    migrations.check(settings.database.address)
    with contextlib.closing(database_of(settings)) as database:
        found = [each for each in retention_of(database, settings).preview(datetime.now(UTC)) if each[1]]
    if not found:
        yield "nothing is older than it has to be kept"
    for name, count in found:
        yield f"{count:>14,}  {name}"


def purge(settings: Settings, tell: Callable[[str, int], None]) -> dict[str, int]:
    """Delete everything that is old; rows by table. `tell` is called with a table and its rows so far."""
    migrations.check(settings.database.address)
    with contextlib.closing(database_of(settings)) as database:
        retention = retention_of(database, settings)
        before: dict[str, int] = {}
        more = True
        while more:
            more = retention.step(datetime.now(UTC))
            for table, count in retention.deleted.items():
                if count != before.get(table):
                    tell(table, count)
            before = dict(retention.deleted)
        return before


def archive_folder(settings: Settings, given: Path | None) -> Path:
    """The archive that is meant. Raises UserError when there is none."""
    folder = given or settings.retention.archive_folder
    if folder is None:
        raise UserError(
            "no archive is kept", field="retention.archive_folder", value="", remedy="Set it, or name one with --folder"
        )
    return folder


def archive_lines(folder: Path, table: str | None) -> Iterator[str]:
    """The table, day, files and bytes of everything in an archive."""
    for each in archived_days(folder, table):
        yield f"{each.table}\t{each.day}\t{len(each.files)}\t{each.size}"


def archive_content(
    folder: Path, table: str, first: date | None, last: date | None, match: Mapping[str, str]
) -> Iterator[str]:
    """Rows of a table as JSON lines, from the day `first` to `last`, with these values of columns."""
    days = [
        each
        for each in archived_days(folder, table)
        if (first is None or each.day >= first) and (last is None or each.day <= last)
    ]
    if not days:
        known = sorted({each.table for each in archived_days(folder)})
        raise UserError(
            "nothing is archived of this table and time", field="TABLE", value=table, remedy=f"There is {known}"
        )
    for row in archived_rows(days):
        if all(_shown(row.get(name)) == value for name, value in match.items()):
            yield msgspec.json.encode(row).decode()


def _shown(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
