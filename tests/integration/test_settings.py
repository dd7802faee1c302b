"""Settings come from the right source, wrong ones are refused with a message that helps, and no secret shows."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dagdeck_core.errors import Bug, UserError
from dagdeck_io.settings import (
    SETTINGS,
    LogFormat,
    Settings,
    Source,
    describe,
    dump_settings,
    load_settings,
    render_docs,
    render_table,
    render_template,
    restore_settings,
    secret_values,
    with_values,
)
from dagdeck_io.settings.declaration import Derived

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def _load(tmp_path: Path, environ: Mapping[str, str] | None = None, **options: Any) -> Settings:
    return load_settings(environ={"HOME": str(tmp_path), **(environ or {})}, **{"config_files": (), **options})


def _file(tmp_path: Path, text: str, name: str = "dagdeck.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def _refusal(tmp_path: Path, environ: Mapping[str, str] | None = None, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        _load(tmp_path, environ, **options)
    return str(caught.value)


# ---------------------------------------------------------------- sources


def test_defaults_lie_in_the_users_data_folder(tmp_path: Path) -> None:
    settings = _load(tmp_path)
    home = tmp_path / ".local/share/dagdeck"
    assert settings.paths.home == home
    assert settings.paths.dags_folder == home / "dags"
    assert settings.database.url == f"sqlite:///{home}/dagdeck.db"
    assert settings.queue.url == "embedded"
    assert settings.worker.slots == max(4, 2 * (os.cpu_count() or 1))
    assert {origin.source for origin in settings.origins.values()} == {Source.DEFAULT}
    assert _load(tmp_path, {"XDG_DATA_HOME": "/data"}).paths.home == Path("/data/dagdeck")


def test_defaults_follow_a_given_home(tmp_path: Path) -> None:
    settings = _load(tmp_path, {"DAGDECK__PATHS__HOME": "~/here"})
    assert settings.paths.dags_folder == tmp_path / "here/dags"
    assert settings.database.url == f"sqlite:///{tmp_path}/here/dagdeck.db"
    assert settings.paths.secret_key_file == tmp_path / "here/secret.key"


def test_standalone_has_defaults_of_its_own(tmp_path: Path) -> None:
    settings = _load(tmp_path, standalone=True)
    assert (settings.worker.slots, settings.dag_processor.scan_interval) == (8, 1.0)
    assert settings.is_standalone


def test_stronger_sources_win_and_are_named(tmp_path: Path) -> None:
    system = _file(tmp_path, "[worker]\nslots = 1\nqueues = ['a']\nname = 'n'\nterm_grace = 1", "system.toml")
    user = _file(tmp_path, "[worker]\nslots = 2\nqueues = ['b']\nname = 'm'", "user.toml")
    settings = _load(
        tmp_path,
        {"DAGDECK__WORKER__SLOTS": "3", "DAGDECK__WORKER__QUEUES": "c, d"},
        config_files=(system, user, tmp_path / "absent.toml"),
        overrides={"worker.slots": 4, "worker.name": None},
    )
    worker = settings.worker
    assert (worker.slots, worker.queues, worker.name, worker.term_grace) == (4, ("c", "d"), "m", 1.0)
    shown = {name: str(settings.origins[f"worker.{name}"]) for name in ("slots", "queues", "name", "term_grace")}
    assert shown == {
        "slots": "command line",
        "queues": "DAGDECK__WORKER__QUEUES",
        "name": str(user),
        "term_grace": str(system),
    }


def test_a_named_config_file_is_read_instead_of_the_standard_ones(tmp_path: Path) -> None:
    standard = _file(tmp_path, "[worker]\nslots = 1\nname = 'standard'", "standard.toml")
    named = _file(tmp_path, "[worker]\nslots = 2", "named.toml")
    other = _file(tmp_path, "[worker]\nslots = 3", "other.toml")
    by_variable = _load(tmp_path, {"DAGDECK_CONFIG": str(named)}, config_files=(standard,))
    assert (by_variable.worker.slots, by_variable.worker.name == "standard") == (2, False)
    by_option = _load(tmp_path, {"DAGDECK_CONFIG": str(named)}, config_files=(standard,), config=other)
    assert by_option.worker.slots == 3


def test_the_users_config_file_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "dagdeck"
    folder.mkdir(parents=True)
    _file(folder, "[api]\nport = 8181")
    settings = load_settings(environ={"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert settings.api.port == 8181


def test_relative_paths_start_at_the_config_file(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    config = _file(folder, "[paths]\nhome = 'state'\ndags_folder = '../dags'\n[api]\ntls_key = ''")
    settings = _load(tmp_path, config=config)
    assert settings.paths.home == folder / "state"
    assert os.path.normpath(settings.paths.dags_folder) == str(tmp_path / "dags")
    assert settings.api.tls_key is None


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("scheduler.lease_timeout", "500 s", 500.0),
        ("scheduler.lease_timeout", "2 min", 120.0),
        ("scheduler.queue_probe_interval", "250ms", 0.25),
        ("worker.log_ship_bytes", "64 KB", 65_536),
        ("worker.log_ship_bytes", "1_000_000", 1_000_000),
        ("logs.max_bytes_per_try", "1.5 GiB", 3 * 512 * 1024**2),
        ("scheduler.catchup_by_default", "Yes", True),
        ("scheduler.catchup_by_default", "off", False),
        ("logging.format", "JSON", LogFormat.JSON),
        ("worker.queues", "a,b , c", ("a", "b", "c")),
        ("api.port", " 9000 ", 9000),
        ("retention.dag_runs_days", "1.5", 1.5),
    ],
)
def test_values_may_be_spelt_for_people(tmp_path: Path, name: str, raw: str, value: object) -> None:
    assert _load(tmp_path, {SETTINGS[name].variable: raw}).value(name) == value


# ---------------------------------------------------------------- secrets


def test_secrets_come_from_files_and_commands(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("mysql+pymysql://u:p%40ss@h/dagdeck\n")
    key = "k" * 44
    settings = _load(
        tmp_path,
        {
            "DAGDECK__DATABASE__URL": "sqlite:///weaker.db",
            "DAGDECK__DATABASE__URL_FILE": str(secret),
            "DAGDECK__SECURITY__SECRET_KEY_CMD": f"printf '%s\\n' {key}",
        },
    )
    assert settings.database.url == "mysql+pymysql://u:p%40ss@h/dagdeck"
    assert settings.security.secret_key == key
    assert str(settings.origins["database.url"]) == "DAGDECK__DATABASE__URL_FILE"
    config = _file(tmp_path, "[database]\nurl_file = 'url'\n[security]\nsecret_key_cmd = 'echo from-command'")
    settings = _load(tmp_path, config=config)
    assert settings.database.url == "mysql+pymysql://u:p%40ss@h/dagdeck"
    assert settings.security.secret_key == "from-command"


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("URL_FILE", "/nowhere/at/all", "cannot be read"),
        ("URL_FILE", "EMPTY", "is empty"),
        ("URL_FILE", " ", "must be a path"),
        ("URL_CMD", "false", "exit code 1"),
        ("URL_CMD", "no-such-command-at-all", "cannot be run"),
        ("URL_CMD", "echo 'unbalanced", "cannot be run"),
        ("URL_CMD", "true", "is empty"),
        ("LOCK_WAIT_FILE", "/x", "only secrets"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named(tmp_path: Path, variable: str, value: str, complaint: str) -> None:
    (tmp_path / "empty").write_text("\n")
    message = _refusal(tmp_path, {f"DAGDECK__DATABASE__{variable}": value.replace("EMPTY", str(tmp_path / "empty"))})
    assert complaint in message
    assert f"DAGDECK__DATABASE__{variable}" in message


def test_two_forms_of_one_secret_are_refused(tmp_path: Path) -> None:
    both = {"DAGDECK__DATABASE__URL_FILE": "/dev/null", "DAGDECK__DATABASE__URL_CMD": "echo sqlite://"}
    _file(tmp_path, "x", "null")
    with pytest.raises(UserError):
        _load(tmp_path, both)
    config = _file(tmp_path, "[database]\nurl = 'sqlite:///a.db'\nurl_cmd = 'echo sqlite:///b.db'")
    assert "several forms" in _refusal(tmp_path, config=config)


def test_no_secret_shows(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        {
            "DAGDECK__DATABASE__URL": "mysql+pymysql://dagdeck:geh%40im1@h/dagdeck",
            "DAGDECK__QUEUE__URL": "redis://:geheim2@h:6379/0",
            "DAGDECK__SECURITY__SECRET_KEY": "geheim3, geheim4",
        },
    )
    shown = (
        render_table(settings) + repr(settings) + json.dumps([dataclasses.asdict(row) for row in describe(settings)])
    )
    assert not re.search("geh", shown)
    assert "mysql+pymysql://dagdeck:***@h/dagdeck" in shown
    assert set(secret_values(settings)) == {"geh@im1", "geheim2", "geheim3", "geheim4"}


def test_a_refused_secret_is_not_shown(tmp_path: Path) -> None:
    message = _refusal(tmp_path, {"DAGDECK__DATABASE__URL": "oracle://scott:tiger@h/x"})
    assert "tiger" not in message
    assert "'oracle' is not supported" in message
    assert "geheim" not in _refusal(tmp_path, {"DAGDECK__QUEUE__URL": "geheim"})


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("DAGDECK__WORKER__SLOTS", "many", ["worker.slots", "'many'", "not a whole number", "from 1 to 4096"]),
        ("DAGDECK__WORKER__SLOTS", "0", ["less than 1"]),
        ("DAGDECK__API__PORT", "70000", ["more than 65535"]),
        ("DAGDECK__WORKER__SLOT", "1", ["no such setting", "Did you mean DAGDECK__WORKER__SLOTS?"]),
        ("DAGDECK__WORKERS__SLOTS", "1", ["no such setting", "DAGDECK__WORKER__SLOTS"]),
        ("DAGDECK__SLOTS", "1", ["no such setting", "DAGDECK__WORKER__SLOTS"]),
        ("DAGDECK__NOWHERE__FROBNICATE", "1", ["no such setting", "Sections: paths"]),
        ("DAGDECK__WORKER__FROBNICATE_ALL", "1", ["no such setting", "config list"]),
        ("DAGDECK__SCHEDULER__LEASE_TIMEOUT", "5 fortnights", ["'fortnights' is unknown", "ms, s"]),
        ("DAGDECK__SCHEDULER__LEASE_TIMEOUT", "nan", ["not a number"]),
        ("DAGDECK__LOGGING__LEVEL", "loud", ["debug, info, warning, error"]),
        ("DAGDECK__SCHEDULER__CATCHUP_BY_DEFAULT", "maybe", ["neither true nor false"]),
        ("DAGDECK__PATHS__HOME", "", ["path is empty"]),
        ("DAGDECK__WORKER__QUEUES", ",", ["at least one queue"]),
        ("DAGDECK__QUEUE__CLUSTER", "a b", ["cluster's name"]),
        ("DAGDECK__QUEUE__URL", "amqp://h", ["redis://"]),
    ],
)
def test_wrong_variables_are_refused(tmp_path: Path, variable: str, value: str, parts: list[str]) -> None:
    message = _refusal(tmp_path, {variable: value})
    assert variable in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[worker\nslots=1", ["not TOML", "line 1"]),
        ("slots = 1", ["outside a section", "[worker]"]),
        ("[worker]\nslots = '8 cores'", ["worker.slots", "not a whole number"]),
        ("[worker]\nslots = true", ["not a whole number"]),
        ("[worker]\nslots = 1.5", ["not a whole number"]),
        ("[worker]\nqueues = [1]", ["not a list of texts"]),
        ("[worker]\nname = 5", ["text in quotation marks"]),
        ("[worker]\nterm_grace = inf", ["not a finite number"]),
        ("[scheduler]\nlease_timout = 5", ["Did you mean scheduler.lease_timeout?"]),
        ("[worker.deep]\nslots = 1", ["worker.deep", "no such setting"]),
        ("[database]\nurl_file = 5", ["must be a path"]),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, parts: list[str]) -> None:
    config = _file(tmp_path, text)
    message = _refusal(tmp_path, config=config)
    assert str(config) in message
    for part in parts:
        assert part in message


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert "no such config file" in _refusal(tmp_path, config=tmp_path / "absent.toml")
    assert "DAGDECK_CONFIG" in _refusal(tmp_path, {"DAGDECK_CONFIG": str(tmp_path)})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert "not TOML" in _refusal(tmp_path, config=binary)
    if os.geteuid() != 0:
        binary.chmod(stat.S_IWUSR)
        assert "cannot be read" in _refusal(tmp_path, config=binary)


def test_values_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    assert "api.tls_key" in _refusal(tmp_path, {"DAGDECK__API__TLS_CERTIFICATE": "/c.pem"})
    assert "worker.poll_interval" in _refusal(tmp_path, {"DAGDECK__WORKER__POLL_INTERVAL": "5"})


def test_wrong_overrides_are_refused(tmp_path: Path) -> None:
    assert "command line" in _refusal(tmp_path, overrides={"worker.slots": 0})
    assert "no such setting" in _refusal(tmp_path, overrides={"worker.slot": 1})
    assert "config files" in _refusal(tmp_path, overrides={"database.url_file": "/x"})


# ---------------------------------------------------------------- passing on, showing


def test_settings_reach_a_child_process_unchanged(tmp_path: Path) -> None:
    environ = {"DAGDECK__DATABASE__URL": "mysql+pymysql://u:p@h/d", "DAGDECK__WORKER__QUEUES": "a,b"}
    settings = _load(tmp_path, environ, standalone=True)
    assert restore_settings(dump_settings(settings)) == settings
    changed = with_values(settings, {"queue.url": "embedded+unix:///run/q?token_file=/run/t"})
    assert changed.queue.url.startswith("embedded+unix:")
    assert str(changed.origins["queue.url"]) == "command line"
    assert changed.worker == settings.worker
    with pytest.raises(UserError):
        with_values(settings, {"worker.slots": 0})
    for damaged in (b"", b"{}", dump_settings(settings).replace(b'"worker.slots":8', b'"worker.slots":0')):
        with pytest.raises(Bug):
            restore_settings(damaged)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = _load(tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.worker.slots = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.origins["worker.slots"] = settings.origins["api.port"]  # type: ignore[index]


def test_the_table_can_leave_defaults_out(tmp_path: Path) -> None:
    settings = _load(tmp_path, {"DAGDECK__WORKER__LOG_SHIP_BYTES": "1 MB"})
    table = render_table(settings, changed_only=True).splitlines()
    assert len(table) == 2
    assert re.split(r"\s{2,}", table[1]) == ["worker.log_ship_bytes", "1 MB", "DAGDECK__WORKER__LOG_SHIP_BYTES"]


def test_the_template_is_a_config_file_with_every_default(tmp_path: Path) -> None:
    template = render_template()
    assert _load(tmp_path, config=_file(tmp_path, template)) == _load(tmp_path)
    filled = re.sub(r"^# (\w+ = )", r"\1", template, flags=re.MULTILINE)
    settings = _load(tmp_path, config=_file(tmp_path, filled))
    assert {origin.source for origin in settings.origins.values()} == {Source.FILE}
    for name, setting in SETTINGS.items():
        if not isinstance(setting.default, Derived):
            assert settings.value(name) == setting.default, name


def test_the_documentation_is_up_to_date() -> None:
    assert DOCS.read_text("utf-8") == render_docs(), "run: python -m dagdeck_io.settings > docs/settings.md"


def test_every_declaration_is_sound() -> None:
    for name, setting in SETTINGS.items():
        assert setting.text.endswith("."), name
        assert setting.readers, name
        if not isinstance(setting.default, Derived) and isinstance(setting.default, int | float):
            assert setting.low is None or setting.low <= setting.default, name
            assert setting.high is None or setting.default <= setting.high, name
        # `url_file` would be taken for the file form of `url`.
        stem, _, form = setting.key.rpartition("_")
        assert form not in ("file", "cmd") or f"{setting.section}.{stem}" not in SETTINGS, name
