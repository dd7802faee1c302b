"""The online copy of an embedded database: whole while others write, private, and nothing is overwritten."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.db import backup, migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.inspection import inspect_database
from dagdeck_io.db.tables import pool


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_copy_is_whole_while_somebody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PAGES_AT_ONCE", 5)
    url = url_of(tmp_path / "dagdeck.db")
    migrations.upgrade(url)
    stop = threading.Event()

    def write() -> None:
        """Two rows per transaction: a torn copy would hold one without the other."""
        with contextlib.closing(open_database(url)) as database:
            number = 0
            while not stop.is_set():
                number += 1
                rows = [{"name": f"{side} {number}", "slots": 1, "include_deferred": False} for side in ("a", "b")]
                with database.writing() as connection:
                    for row in rows:
                        connection.execute(pool.insert(), [row])

    writer = threading.Thread(target=write)
    writer.start()
    target = tmp_path / "copy.db"
    size = backup.back_up(url, target)
    stop.set()
    writer.join()
    assert size == target.stat().st_size > 100_000
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"]
    with contextlib.closing(open_database(url_of(target))) as copy, copy.reading() as connection:
        names = {row.name for row in connection.execute(pool.select())} - {"default_pool"}
    assert {name[2:] for name in names if name[0] == "a"} == {name[2:] for name in names if name[0] == "b"}
    assert list(inspect_database(url_of(target))) == []


def test_nothing_is_overwritten_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    url = url_of(tmp_path / "dagdeck.db")
    with pytest.raises(EnvironmentFault, match="there is no database"):
        backup.back_up(url, tmp_path / "copy.db")
    migrations.upgrade(url)
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(UserError, match="the file exists"):
        backup.back_up(url, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        backup.back_up(url, tmp_path / "missing" / "copy.db")
    with pytest.raises(UserError, match="mariadb-dump --single-transaction"):
        backup.back_up("mysql://u:pw@127.0.0.1/d", tmp_path / "other.db")


def test_a_file_that_is_no_database_leaves_no_copy(tmp_path: Path) -> None:
    (tmp_path / "dagdeck.db").write_bytes(b"this is text, not a database\n" * 100)
    with pytest.raises(EnvironmentFault):
        backup.back_up(url_of(tmp_path / "dagdeck.db"), tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["dagdeck.db"]
