"""`dagdeckd audit`: what people see of a chain that fits, and of one that does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagdeck_io.audit.seals import sealing_key_of
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import audit_log
from dagdeck_master.scheduler.housekeeping import Housekeeping
from dagdeckd.cli import dagdeckd, run
from dagdeckd.exit_codes import ExitCode


class Shell:
    """Runs the command line against a database whose audit log is chained."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/d.db"
        (folder / "empty.toml").touch()
        migrations.upgrade(self.url)
        self.database = open_database(self.url)
        self.chain = self.database.audit_chain(lambda: sealing_key_of(folder / "home"))
        self.key = sealing_key_of(folder / "home").public_key

    def arguments(self, *own: str, home: str = "home") -> list[str]:
        options = ["--config", str(self.folder / "empty.toml"), "--set", f"database.url={self.url}"]
        return [*options, "--set", f"paths.home={self.folder / home}", *own]

    def run(self, *arguments: str, home: str = "home") -> Result:
        return CliRunner().invoke(dagdeckd, self.arguments(*arguments, home=home))

    def add(self, *events: str, at: datetime | None = None) -> None:
        now = at or datetime.now(UTC)
        with self.database.writing() as connection:
            for event in events:
                values = {"event_log_id": self.database.new_id(), "when": now, "event": event, "owner": "ann"}
                connection.execute(audit_log.insert().values(**values))
        while self.chain.step(datetime.now(UTC)):
            pass

    def forge(self, event: str) -> None:
        with self.database.writing() as connection:
            connection.execute(audit_log.update().where(audit_log.c.event == event).values(owner="bob"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def verdict(result: Result) -> str:
    return result.output.strip().splitlines()[-1]


def test_a_chain_that_fits(shell: Shell) -> None:
    shell.add("one", "two")
    result = shell.run("audit", "verify")
    assert verdict(result) == "The chain fits."
    assert "records   2 (1 to 2), 0 not chained yet" in result.output
    assert f"signed    up to record 2 by {shell.key}" in result.output
    assert "No key was given" not in result.output


def test_one_that_does_not(shell: Shell) -> None:
    shell.add("one", "two", "three")
    shell.forge("two")
    result = shell.run("audit", "verify")
    assert verdict(result) == "The chain does not fit."
    assert result.output.startswith("record 2 (id ")
    assert run(shell.arguments("audit", "verify")) == ExitCode.ENVIRONMENT


def test_an_empty_log_fits(shell: Shell) -> None:
    result = shell.run("audit", "verify")
    assert verdict(result) == "The chain fits."
    assert "records   0 (none), 0 not chained yet" in result.output


def test_a_head_noted_elsewhere(shell: Shell) -> None:
    shell.add("one", "two")
    told = dict(line.split(maxsplit=1) for line in shell.run("audit", "head").output.splitlines())
    assert told["key"] == shell.key
    assert verdict(shell.run("audit", "verify", "--head", told["head"])) == "The chain fits."
    later = "9:" + "0" * 64
    assert "ends with record 2, and record 9 was noted" in shell.run("audit", "verify", "--head", later).output


@pytest.mark.parametrize("head", ["", "1", "one:" + "0" * 64, "1:abc"])
def test_what_is_no_head(shell: Shell, head: str) -> None:
    refused = shell.run("audit", "verify", "--head", head).exception
    assert "this is no head" in str(refused)


def test_without_a_key_it_says_what_signatures_are_worth(shell: Shell) -> None:
    shell.add("one")
    elsewhere = shell.run("audit", "verify", home="elsewhere")
    assert "No key was given" in elsewhere.output
    assert "(none on this machine)" in shell.run("audit", "head", home="elsewhere").output
    assert verdict(shell.run("audit", "verify", "--key", shell.key, home="elsewhere")) == "The chain fits."
    assert "not trusted" in shell.run("audit", "verify", "--key", "x" * 44).output


def test_an_export_and_its_verification(shell: Shell) -> None:
    shell.add("one", "two", "three")
    file = shell.folder / "out.jsonl"
    assert "lines are in" in shell.run("audit", "export", "-o", str(file)).output
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["record"]["event"] for line in lines if line["kind"] == "record"] == ["one", "two", "three"]
    assert verdict(shell.run("audit", "verify", str(file), "--key", shell.key)) == "The chain fits."
    file.write_text(file.read_text().replace('"ann"', '"bob"', 1))
    result = shell.run("audit", "verify", str(file), "--key", shell.key)
    assert verdict(result) == "The chain does not fit."


def test_a_time_range(shell: Shell) -> None:
    shell.add("one")
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    within = shell.run("audit", "export", "--since", today, "--until", tomorrow).output
    assert [json.loads(line)["kind"] for line in within.splitlines()] == ["chain", "record", "seal", "end"]
    after = shell.run("audit", "export", "--since", tomorrow).output
    assert [json.loads(line)["kind"] for line in after.splitlines()] == ["chain", "end"]


def test_a_file_that_is_no_export(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("hello\n")
    refused = shell.run("audit", "verify", str(tmp_path / "other")).exception
    assert "line 1 is no line of an export" in str(refused)


def test_a_target_that_cannot_be_written(shell: Shell) -> None:
    refused = shell.run("audit", "export", "-o", str(shell.folder / "none" / "x")).exception
    assert "cannot be written" in str(refused)


def test_a_thread_of_the_scheduler_chains_what_comes(shell: Shell) -> None:
    shell.add("one")
    chore = Housekeeping(shell.chain.step, 0.05, name="audit chain", failed="not chained yet")
    chore.begin()
    try:
        with shell.database.writing() as connection:
            values = {"event_log_id": shell.database.new_id(), "when": datetime.now(UTC), "event": "two"}
            connection.execute(audit_log.insert().values(**values))
        deadline = datetime.now(UTC) + timedelta(seconds=10)
        while "records   2" not in shell.run("audit", "verify").output:
            assert datetime.now(UTC) < deadline
    finally:
        chore.end()
    assert verdict(shell.run("audit", "verify")) == "The chain fits."
