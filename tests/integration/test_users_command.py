"""`dagdeckd users`: accounts made, changed and ended without any daemon, and what the API then says to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dagdeck_io.composition import database_of
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import load_settings
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.users import Lockout, SignInRefused, sign_in
from dagdeckd.cli import dagdeckd

LOCKOUT = Lockout(attempts=3, duration=timedelta(minutes=1))
PASSWORD = "a long enough one"


class Shell:
    """Runs the command line against one database."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/d.db"
        self.key = generate_key()
        self.config = folder / "empty.toml"
        self.config.touch()
        migrations.upgrade(self.url)

    def run(self, *arguments: str, given: str = "") -> Result:
        options = ["--config", str(self.config), "--set", f"database.url={self.url}"]
        options += ["--set", f"security.secret_key={self.key}"]
        return CliRunner().invoke(dagdeckd, [*options, *arguments], input=given)

    def database(self) -> Database:
        overrides = {"database.url": self.url, "security.secret_key": self.key}
        return database_of(load_settings(config=self.config, environ={}, overrides=overrides))

    def may_sign_in(self, name: str, password: str) -> bool:
        database = self.database()
        try:
            sign_in(database, name, password, now=datetime.now(UTC), lockout=LOCKOUT, sender=Sender(username=name))
        except SignInRefused:
            return False
        finally:
            database.close()
        return True


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def add(shell: Shell, name: str = "ada", role: str = "operator") -> Result:
    return shell.run("users", "add", name, "--role", role, "--password-stdin", given=PASSWORD + "\n")


def test_an_added_user_may_sign_in(shell: Shell) -> None:
    assert add(shell).exit_code == 0
    assert shell.may_sign_in("ada", PASSWORD)
    assert not shell.may_sign_in("ada", "another one")
    assert shell.run("users", "list").output == "ada\toperator\tactive\n"


def test_a_name_is_taken_once(shell: Shell) -> None:
    add(shell)
    again = add(shell)
    assert again.exit_code != 0
    assert "exists already" in str(again.exception)


def test_a_short_password_is_refused(shell: Shell) -> None:
    result = shell.run("users", "add", "ada", "--role", "admin", "--password-stdin", given="short\n")
    assert "at least 10 characters" in str(result.exception)
    assert shell.run("users", "list").output == ""


def test_a_new_password_replaces_the_old_one(shell: Shell) -> None:
    add(shell)
    assert shell.run("users", "set-password", "ada", "--password-stdin", given="quite another one\n").exit_code == 0
    assert not shell.may_sign_in("ada", PASSWORD)
    assert shell.may_sign_in("ada", "quite another one")


def test_a_deactivated_user_may_do_nothing(shell: Shell) -> None:
    add(shell)
    shell.run("users", "set-role", "ada", "viewer")
    shell.run("users", "deactivate", "ada")
    assert shell.run("users", "list").output == "ada\tviewer\tinactive\n"
    assert not shell.may_sign_in("ada", PASSWORD)


def test_an_unknown_user_is_named(shell: Shell) -> None:
    result = shell.run("users", "set-role", "nobody", "viewer")
    assert "there is no such user" in str(result.exception)
    assert "nobody" in str(result.exception)
