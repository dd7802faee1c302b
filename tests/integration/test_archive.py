"""Old rows are in files before they go, whatever fails, and can be read."""

from __future__ import annotations

import errno
import gzip
import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.archive import ArchiveWriter, archived_days, archived_rows
from dagdeck_io.db import tables
from dagdeck_io.db.engine import Database
from dagdeckd.cli import dagdeckd, run
from tests.integration.test_retention import OLD, add_run, database, keys, months, run_to_end

__all__ = ["database"]


@pytest.fixture
def writer(tmp_path: Path) -> ArchiveWriter:
    return ArchiveWriter(folder=tmp_path / "archive")


def transition(number: int) -> tuple[Any, ...]:
    """A row as SQLite's driver gives it."""
    return (number << 20, 5, None, 0, "none", "queued", 1_700_000_000_000_000, "scheduler", "why", "")


def read(writer: ArchiveWriter, table: str = "transition") -> list[dict[str, Any]]:
    return list(archived_rows(archived_days(writer.folder, table)))


def test_rows_are_synced_with_their_folders_before_they_count_as_stored(
    writer: ArchiveWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).split(".")[0])
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    writer.add("transition", [transition(1), transition(2)])
    writer.store()
    assert synced == ["2024-01-01", "transition", "archive"]
    writer.add("transition", [transition(3)])
    writer.store()
    assert synced[3:] == ["2024-01-01"], "no new name"
    assert [row["transition_id"] >> 20 for row in read(writer)] == [1, 2, 3]
    assert read(writer)[0]["at"] == "2023-11-14T22:13:20Z"
    (file,) = writer.folder.glob("*/*")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_full_disk_leaves_the_files_as_they_were(writer: ArchiveWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.add("transition", [transition(1)])
    writer.store()
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) > 20:
            return write(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    writer.add("transition", [transition(2)])
    with pytest.raises(EnvironmentFault, match="No space left") as told:
        writer.store()
    assert "retention.archive_folder" in str(told.value)
    monkeypatch.undo()
    writer.add("transition", [transition(3)])
    writer.store()
    assert [row["transition_id"] >> 20 for row in read(writer)] == [1, 3]


def test_a_torn_end_and_repeated_rows_do_not_disturb_readers(writer: ArchiveWriter) -> None:
    for numbers in ((1, 2), (2, 3)):
        writer.add("transition", [transition(number) for number in numbers])
        writer.store()
    (file,) = writer.folder.glob("*/*")
    with file.open("ab") as stream:
        stream.write(gzip.compress(b'{"transition_id":9}\n')[:-20])
    (file.parent / "notes.txt").write_text("not of the archive")
    assert [row["transition_id"] >> 20 for row in read(writer)] == [1, 2, 3]


def test_what_could_not_be_cut_off_is_not_written_behind(
    writer: ArchiveWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.add("transition", [transition(1)])
    writer.store()

    def broken(path: Any, length: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "truncate", broken)
    writer.undo()
    writer.add("transition", [transition(2)])
    writer.store()
    assert len(list(writer.folder.glob("*/*"))) == 2


def test_logs_are_text_where_they_are_text(writer: ArchiveWriter) -> None:
    columns = writer.columns("log_chunk")
    for number, data in enumerate((b"all good\n", b"\xff\xfe")):
        row = {"ti_id": 1 << 20, "dispatch_no": number, "offset": 0, "encoding": "raw", "data": data}
        writer.add("log_chunk", [tuple(row.get(name) for name in columns)])
    writer.store()
    first, second = read(writer, "log_chunk")
    assert first["data"] == "all good\n"
    assert second["data_base64"] == "//4="


def test_what_is_secret_or_of_no_use_is_not_kept(writer: ArchiveWriter) -> None:
    for table in ("token", "trigger", "user", "connection", "variable", "bundle_content"):
        assert writer.columns(table) == (), table


def test_files_go_when_they_were_kept_for_long_enough(writer: ArchiveWriter, tmp_path: Path) -> None:
    writer.add("transition", [transition(1)])
    writer.store()
    assert writer.prune(datetime.now(UTC) + timedelta(days=999)) == 0, "for ever"
    pruning = ArchiveWriter(folder=writer.folder, keep=timedelta(days=30))
    assert pruning.prune(datetime.now(UTC) + timedelta(days=29)) == 0
    assert pruning.prune(datetime.now(UTC) + timedelta(days=31)) == 1
    assert archived_days(writer.folder) == []
    with pytest.raises(UserError, match="no archive here"):
        archived_days(tmp_path / "elsewhere")


# ------------------------------------------------------------------ with a database


def test_nothing_goes_that_could_not_be_archived_and_everything_does_later(database: Database, tmp_path: Path) -> None:
    run_key = add_run(database, OLD, 1)
    blocker = tmp_path / "archive"
    blocker.write_text("a file where the folder has to be")
    tool = database.retention(months(), ArchiveWriter(folder=blocker))
    for _ in range(3):
        with pytest.raises(EnvironmentFault, match="cannot be archived"):
            run_to_end(tool)
    assert keys(database, tables.dag_run.c.run_key) == [run_key]
    blocker.unlink()
    run_to_end(tool)
    assert keys(database, tables.dag_run.c.run_key) == []
    assert [row["run_key"] for row in archived_rows(archived_days(blocker, "dag_run"))] == [run_key]
    assert len(list(archived_rows(archived_days(blocker, "task_instance")))) == 3


def test_rows_that_could_not_be_deleted_are_not_in_the_archive(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(database, OLD, 1)
    archive = ArchiveWriter(folder=tmp_path / "archive")
    tool = database.retention(months(), archive)
    commit = tool.connection.run

    def failing(script: Any, *, begin: bool = True, commit: bool = True) -> Any:
        if begin and commit:
            raise EnvironmentFault("the database is away")
        return reading(script, begin=begin, commit=commit)

    reading = commit
    monkeypatch.setattr(tool.connection, "run", failing)
    with pytest.raises(EnvironmentFault, match="away"):
        run_to_end(tool)
    assert list(archived_rows(archived_days(archive.folder))) == []


def test_what_a_person_deletes_is_not_archived(database: Database, tmp_path: Path) -> None:
    run_key = add_run(database, OLD, 1)
    with database.writing() as connection:
        connection.execute(tables.dag_run.delete())
        connection.execute(tables.removal.insert().values(kind="deleted_run", subject_id=run_key))
    (tmp_path / "archive").mkdir()
    tool = database.retention(months(transitions=timedelta(days=999)), ArchiveWriter(folder=tmp_path / "archive"))
    run_to_end(tool)
    assert tool.deleted["task_instance"] == 3
    assert archived_days(tmp_path / "archive") == []


# ------------------------------------------------------------------ the command


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    url = f"sqlite:///{tmp_path}/d.db"
    return [
        f"--set=paths.home={tmp_path}",
        f"--set=database.url={url}",
        f"--set=security.secret_key={'A' * 43}=",
        f"--set=retention.archive_folder={tmp_path / 'archive'}",
    ]


def test_the_commands(settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dagdeck_io.db import migrations
    from dagdeck_io.db.engine import open_database

    url = f"sqlite:///{tmp_path}/d.db"
    migrations.upgrade(url)
    old = datetime.now(UTC) - timedelta(days=500)
    opened = open_database(url)
    run_key = add_run(opened, old, 1)
    opened.close()

    def call(*arguments: str) -> list[str]:
        assert run([*settings, *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    assert [line.split("  ")[-1] for line in call("db", "purge", "--dry-run")] == [
        "dag runs",
        "task instances of these runs",
        "transitions",
    ]
    assert call("db", "purge") == ["7 rows are deleted"]
    assert call("db", "purge", "--dry-run") == ["nothing is older than it has to be kept"]
    listed = [line.split("\t")[:3] for line in call("db", "archive", "list")]
    day = old.date().isoformat()
    assert listed == [["dag_run", day, "1"], ["task_instance", day, "1"], ["transition", day, "1"]]
    (shown,) = call("db", "archive", "show", "dag_run", "--from", day, "--to", day, "--match", "dag_id=d")
    assert json.loads(shown)["run_key"] == run_key
    assert call("db", "archive", "show", "dag_run", "--match", f"run_key={run_key + 1}") == []
    assert run([*settings, "db", "archive", "show", "xcom"]) == 2
    assert "nothing is archived of this table" in capsys.readouterr().err
    tomorrow = date.fromisoformat(day) + timedelta(days=1)
    assert run([*settings, "db", "archive", "show", "dag_run", "--from", tomorrow.isoformat()]) == 2


def test_without_an_archive_the_command_says_so(settings: list[str]) -> None:
    result = CliRunner().invoke(dagdeckd, [*settings[:3], "db", "archive", "list"])
    assert isinstance(result.exception, UserError)
    assert "retention.archive_folder" in str(result.exception)
