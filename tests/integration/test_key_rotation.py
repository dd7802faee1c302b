"""Changing the key of what is stored encrypted: values, interruptions, workers that do not know, sources of keys."""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import XComWrite
from dagdeck_io.composition import database_of, secret_key_of
from dagdeck_io.db import migrations, rekeying, sealed_xcoms
from dagdeck_io.db import tables as t
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.key_source import COMMAND_AGE, COMMAND_PAUSE, CommandKeys, FileKeys, keys_of
from dagdeck_io.secrets import Vault, generate_key, key_id
from dagdeck_io.settings import Settings, dump_settings, load_settings, restore_settings
from dagdeckd import rotation
from dagdeckd.cli import dagdeckd
from dagdeckd.rotation import KeyFile

SEALED = 2
MANY = rekeying.ROWS_AT_ONCE * 2 + 5


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with its tables."""
    found: str = f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    migrations.upgrade(found)
    return found


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(rekeying, "XCOMS_AT_ONCE", 3)


def _fill(database: Database, count: int = MANY) -> None:
    """Variables, connections and a trigger, as the stores write them."""
    encrypt = database.vault.encrypt
    with database.writing() as connection:
        rows = [{"key": f"v{number:04}", "value": encrypt(f"value {number}")} for number in range(count)]
        connection.execute(t.variable.insert(), rows)
        connection.execute(
            t.connection.insert(),
            [
                {"conn_id": "full", "conn_type": "http", "password": encrypt("pw"), "extra": encrypt('{"a": 1}')},
                {"conn_id": "bare", "conn_type": "http", "password": None, "extra": None},
            ],
        )
        values = {"trigger_id": 1, "classpath": "a.B", "kwargs": encrypt("{}"), "created_at": sa.func.now()}
        if database.kind == "sqlite":
            values["created_at"] = sa.literal_column("0")
        connection.execute(t.trigger.insert().values(values))
        connection.execute(t.xcom.insert(), _xcoms(database.vault))


def _xcoms(vault: Vault) -> list[dict[str, object]]:
    """Many plain ones and some that are sealed, which is how it is."""
    sealed = sealed_xcoms.stored(XComWrite(key="s", value='"pw"', shown='"***"', secrets=("pw",)), vault)
    return [
        {"ti_id": ti_id, "key": key, "run_key": 1, "dispatch_no": ti_id, "value": value, "timestamp": datetime.now(UTC)}
        for ti_id in range(1, 8)
        for key, value in (("a", "1"), ("s", sealed if ti_id % 3 == 0 else '"!"'))
    ]


def _read(database: Database) -> list[str]:
    """Everything encrypted, opened."""
    decrypt = database.vault.decrypt
    with database.reading() as connection:
        variables = connection.execute(sa.select(t.variable.c.value).order_by(t.variable.c.key)).scalars().all()
        passwords = connection.execute(sa.select(t.connection.c.password, t.connection.c.extra)).all()
        kwargs = connection.execute(sa.select(t.trigger.c.kwargs)).scalars().all()
        xcoms = connection.execute(sa.select(t.xcom.c.value).order_by(t.xcom.c.ti_id, t.xcom.c.key)).scalars().all()
    stored = [*variables, *(each for row in passwords for each in row if each is not None), *kwargs]
    opened = [sealed_xcoms.opened(each, database.vault)[0] if each[0] == "!" else each for each in xcoms]
    assert opened.count('"pw"') == SEALED
    return [decrypt(each) for each in stored] + opened


def _worker(database: Database, name: str, keys: str | None) -> None:
    store = database.lease_store()
    worker_id = store.register(name=name, hostname="h", slots=1, queues=["default"], version="1", pid=1)
    store.vault = None if keys is None else Vault(keys)
    store.is_draining(worker_id)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder with a key file."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (folder / "secret.key").write_text(generate_key() + "\n")
    (folder / "secret.key").chmod(0o640)
    return folder


def _settings(url: str, home: Path) -> Settings:
    return load_settings(environ={}, config_files=[], overrides={"database.url": url, "paths.home": str(home)})


def _run(url: str, home: Path, *arguments: str) -> Result:
    (home / "empty.toml").touch()
    options = ["--config", str(home / "empty.toml"), "--set", f"database.url={url}", "--set", f"paths.home={home}"]
    return CliRunner().invoke(dagdeckd, [*options, *arguments])


def test_every_encrypted_column_is_known() -> None:
    found = {(table.name, column.name) for table, columns in rekeying.encrypted_columns() for column in columns}
    assert {("variable", "value"), ("connection", "password"), ("connection", "extra"), ("trigger", "kwargs")} <= found


def test_a_key_file_gets_a_new_key(url: str, home: Path) -> None:
    settings = _settings(url, home)
    before = secret_key_of(settings)
    with closing(database_of(settings)) as running:
        _fill(running)
        expected = _read(running)
        done = _run(url, home, "secrets", "rotate-key")
        assert done.exit_code == 0, done.output
        assert f"{MANY + 3 + SEALED} values are encrypted anew" in done.output
        # A process that has been running all the time.
        assert _read(running) == expected
        running.vault.encrypt("x")
        after = secret_key_of(settings)
        assert before not in after
        assert running.vault.ids == (key_id(after),)
    with closing(open_database(url, key=after)) as restarted:
        assert _read(restarted) == expected
        with restarted.reading() as connection:
            (recorded,) = connection.execute(sa.select(t.audit_log.c.event, t.audit_log.c.extra)).all()
    assert recorded.event == "rotate_key"
    assert after not in json.dumps(recorded.extra)
    assert [each.name for each in home.iterdir() if "key" in each.name] == ["secret.key"]
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o640
    with closing(open_database(url, key=before)) as stale:
        with pytest.raises(EnvironmentFault, match="does not have"):
            _read(stale)
    told = _run(url, home, "secrets", "status").output
    assert f"variable: {MANY} values under the newest key, 0 under others" in told
    assert f"xcom: {SEALED} values under the newest key, 0 under others" in told


@pytest.mark.parametrize("steps", range(12))
def test_a_killed_rotation_goes_on(tmp_path: Path, home: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after any step that leaves something behind; everything stays readable at every moment."""
    url = f"sqlite:///{tmp_path}/d.db"
    migrations.upgrade(url)
    settings = _settings(url, home)
    with closing(database_of(settings)) as running:
        _fill(running)
        expected = _read(running)
        left = [steps]

        def counted(original: object) -> object:
            def call(*arguments: object, **named: object) -> object:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return original(*arguments, **named)  # type: ignore[operator]

            return call

        with monkeypatch.context() as killing:
            killing.setattr(KeyFile, "write", counted(KeyFile.write))
            killing.setattr(rekeying, "_write", counted(rekeying._write))
            killing.setattr(Path, "unlink", counted(Path.unlink))
            killed = _run(url, home, "secrets", "rotate-key")
        assert (killed.exit_code == 0) == (left[0] > 0)
        assert _read(running) == expected
        newest = None if killed.exit_code == 0 else (home / "secret.key.next").read_text().strip()
        assert _run(url, home, "secrets", "rotate-key").exit_code == 0
        assert _read(running) == expected
    keys = (home / "secret.key").read_text().strip()
    assert "," not in keys
    assert newest in (None, keys)


def test_a_value_that_is_set_meanwhile_stays(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = rekeying._change
    settings = _settings(url, home)
    with closing(database_of(settings)) as running:
        _fill(running, 3)
        done: list[bool] = []

        def change(*arguments: object) -> object:
            found = original(*arguments)  # type: ignore[arg-type]
            if not done:
                done.append(True)
                with running.writing() as connection:
                    connection.execute(
                        t.variable.update()
                        .where(t.variable.c.key == "v0001")
                        .values(value=running.vault.encrypt("new"))
                    )
            return found

        monkeypatch.setattr(rekeying, "_change", change)
        assert _run(url, home, "secrets", "rotate-key").exit_code == 0
        assert "new" in _read(running)
        assert "value 1" not in _read(running)


def test_workers_that_do_not_know_the_key_stop_it(url: str, home: Path) -> None:
    settings = _settings(url, home)
    old = secret_key_of(settings)
    with closing(database_of(settings)) as running:
        _fill(running, 3)
        _worker(running, "stale", old)
        _worker(running, "silent", None)
        refused = _run(url, home, "secrets", "rotate-key", "--wait", "0.1")
        assert isinstance(refused.exception, EnvironmentFault), refused.output
        assert "silent, stale" in str(refused.exception)
        assert "secret.key.next" in str(refused.exception)
        # Nothing is under a key that they lack.
        assert _read(running) == _read_with(url, old)
        new = (home / "secret.key.next").read_text().strip()
        for name in ("stale", "silent"):
            _worker(running, name, f"{old},{new}")
        assert _run(url, home, "secrets", "rotate-key", "--wait", "0.1").exit_code == 0
        assert secret_key_of(settings) == new
        _worker(running, "stale", old)
        assert "workers without the newest key: stale" in _run(url, home, "secrets", "status").output
        assert _run(url, home, "secrets", "rotate-key", "--wait", "0.1", "--force").exit_code == 0


def _read_with(url: str, key: str) -> list[str]:
    with closing(open_database(url, key=key)) as database:
        return _read(database)


def test_keys_that_come_from_elsewhere(url: str, home: Path) -> None:
    old, new = generate_key(), generate_key()
    with closing(open_database(url, key=old)) as database:
        _fill(database, 3)
        expected = _read(database)
    alone = _run(url, home, "--set", f"security.secret_key={old}", "secrets", "rotate-key")
    assert isinstance(alone.exception, UserError)
    assert "config key" in str(alone.exception)
    both = _run(url, home, "--set", f"security.secret_key={new},{old}", "secrets", "rotate-key")
    assert both.exit_code == 0, both.output
    assert "take the old key out" in both.output
    assert _read_with(url, new) == expected


def test_values_that_no_key_opens_are_named(url: str, home: Path) -> None:
    settings = _settings(url, home)
    with closing(database_of(settings)) as running:
        _fill(running, 3)
        with running.writing() as connection:
            lost = Vault(generate_key()).encrypt("x")
            connection.execute(t.variable.update().where(t.variable.c.key == "v0001").values(value=lost))
    told = _run(url, home, "secrets", "rotate-key")
    assert isinstance(told.exception, EnvironmentFault)
    assert "1 values cannot be read with any key: variable v0001: value" in str(told.exception)
    assert "," in (home / "secret.key").read_text()


# ---------------------------------------------------------------- where keys come from


def test_a_running_process_takes_keys_from_a_config_file(tmp_path: Path) -> None:
    old, new = generate_key(), generate_key()
    path = tmp_path / "dagdeck.toml"
    path.write_text(f'[security]\nsecret_key = "{old}"\n')
    settings = load_settings(config=path, environ={"HOME": str(tmp_path)})
    # As a supervisor hands them to its children.
    vault = Vault(keys_of(restore_settings(dump_settings(settings))))
    stored = Vault(new).encrypt("x")
    with pytest.raises(EnvironmentFault):
        vault.decrypt(stored)
    path.write_text(f'[security]\nsecret_key = "{new},{old}"\n')
    assert vault.decrypt(stored) == "x"
    assert vault.ids == (key_id(new), key_id(old))


def test_a_restarted_child_takes_what_the_file_says_by_now(tmp_path: Path) -> None:
    old, new = generate_key(), generate_key()
    (tmp_path / "key").write_text(old)
    environ = {"DAGDECK__SECURITY__SECRET_KEY_FILE": str(tmp_path / "key"), "HOME": str(tmp_path)}
    dumped = dump_settings(load_settings(environ=environ, config_files=[]))
    (tmp_path / "key").write_text(new)
    assert secret_key_of(restore_settings(dumped)) == new
    (tmp_path / "key").unlink()
    assert secret_key_of(restore_settings(dumped)) == old


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, home: Path) -> None:
    (home / "secret.key").chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        database_of(_settings(f"sqlite:///{tmp_path}/d.db", home))


def test_a_broken_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = generate_key()
    path = tmp_path / "key"
    path.write_text(key)
    vault = Vault(FileKeys(path, path.read_text))
    path.write_text("no key at all")
    assert Vault(key).decrypt(vault.encrypt("x")) == "x"
    assert "stay as they are" in caplog.text
    assert "no key at all" not in caplog.text


@pytest.fixture
def clock() -> list[float]:
    """Seconds that a test moves on."""
    return [0.0]


def test_a_command_is_asked_now_and_then(clock: list[float]) -> None:
    printed = [generate_key()]
    asked: list[float] = []

    def read() -> str:
        asked.append(clock[0])
        return printed[0]

    keys = CommandKeys(read, printed[0], lambda: clock[0])
    vault = Vault(keys)
    vault.encrypt("x")
    assert asked == []
    old = printed[0]
    printed[0] = f"{generate_key()},{old}"
    stored = Vault(printed[0]).encrypt("x")
    clock[0] = COMMAND_PAUSE
    assert vault.decrypt(stored) == "x"
    for _ in range(3):
        with pytest.raises(EnvironmentFault):
            vault.decrypt(Vault(generate_key()).encrypt("x"))
    assert asked == [COMMAND_PAUSE]
    clock[0] += COMMAND_AGE
    vault.encrypt("x")
    deadline = time.monotonic() + 10
    while len(asked) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert asked == [COMMAND_PAUSE, COMMAND_PAUSE + COMMAND_AGE]


def test_a_key_by_a_command_of_the_settings(tmp_path: Path) -> None:
    key = generate_key()
    environ = {"DAGDECK__SECURITY__SECRET_KEY_CMD": f"echo {key}", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    found = keys_of(load_settings(environ=environ, config_files=[]))
    assert isinstance(found, CommandKeys)
    assert found.current() == found.again() == key
