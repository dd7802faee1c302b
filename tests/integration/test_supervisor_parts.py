"""The supervisor's parts without processes: restart policy, output, exit codes, home, ports, samples."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from dagdeck_core.errors import Bug, EnvironmentFault, UserError
from dagdeckd.exit_codes import ExitCode, code_for, describe_exit, is_final
from dagdeckd.home import ensure_secret_key, locked_home, prepare_home
from dagdeckd.output import OutputRelay
from dagdeckd.ports import usable_port
from dagdeckd.restart_policy import RestartLimits, RestartPolicy
from dagdeckd.sample_dags import copy_sample_dags, is_empty


def test_pauses_double_up_to_a_limit_and_a_good_run_forgives() -> None:
    policy = RestartPolicy(limits=RestartLimits(crashes=100, window=1000.0, max_delay=1.0))
    delays = [policy.delay_after_crash(float(now), 1.0) for now in range(5)]
    assert delays == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert policy.delay_after_crash(100.0, 95.0) == 0.2


def test_too_many_crashes_within_the_window_end_it_and_old_ones_do_not_count() -> None:
    policy = RestartPolicy(limits=RestartLimits(crashes=2, window=10.0, max_delay=1.0))
    assert policy.delay_after_crash(0.0, 0.0) is not None
    assert policy.delay_after_crash(5.0, 0.0) is not None
    assert policy.delay_after_crash(11.0, 0.0) is not None
    assert policy.delay_after_crash(12.0, 0.0) is None


def relayed(tmp_path: Path, *pieces: tuple[str, bytes], prefixed: bool = True) -> str:
    path = tmp_path / "out"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    relay = OutputRelay(fd, prefixed=prefixed)
    for name, data in pieces:
        relay.feed(name, data)
    for name in {name for name, _ in pieces}:
        relay.finish(name)
    os.close(fd)
    return path.read_text()


def test_lines_of_several_processes_are_not_mixed(tmp_path: Path) -> None:
    text = relayed(tmp_path, ("api", b"one "), ("worker", b"other\n"), ("api", b"line\nand"), ("api", b" more"))
    assert text == "worker        | other\napi           | one line\napi           | and more\n"


def test_json_lines_pass_as_they_are_and_others_become_json(tmp_path: Path) -> None:
    text = relayed(tmp_path, ("api", b'{"a":1}\nTraceback "x"\n\xff\n'), ("supervisor", b"stopping\n"), prefixed=False)
    first, *others = text.splitlines()
    assert first == '{"a":1}'
    told = [json.loads(line) for line in others]
    assert [(each["process"], each["level"], each["message"]) for each in told] == [
        ("api", "warning", 'Traceback "x"'),
        ("api", "warning", "\ufffd"),
        ("supervisor", "info", "stopping"),
    ]
    assert all(each["time"].endswith("Z") for each in told)


def test_a_line_without_end_is_cut_in_time(tmp_path: Path) -> None:
    text = relayed(tmp_path, *[("api", b"x" * 1000)] * 100)
    assert max(len(line) for line in text.splitlines()) < 70_000


def test_a_closed_output_does_not_stop_the_relay() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    OutputRelay(write_end).feed("api", b"into the void\n")
    os.close(write_end)


@pytest.mark.parametrize(
    ("error", "code", "final"),
    [
        (UserError("x"), 2, True),
        (EnvironmentFault("x", transient=False), 3, True),
        (EnvironmentFault("x"), 75, False),
        (Bug("x"), 1, False),
    ],
)
def test_exit_codes_say_whether_a_restart_helps(error: Bug, code: int, final: bool) -> None:
    assert code_for(error) == code
    assert is_final(code) is final


def test_exits_are_described_in_words() -> None:
    assert describe_exit(ExitCode.BUG) == "ended with exit code 1"
    assert describe_exit(-11) == "was killed by SIGSEGV"


def test_the_home_is_private_and_its_key_is_made_once(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    prepare_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    ensure_secret_key(home / "secret.key")
    key = (home / "secret.key").read_bytes()
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    ensure_secret_key(home / "secret.key")
    assert (home / "secret.key").read_bytes() == key
    from cryptography.fernet import Fernet

    Fernet(key.strip())


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"state folder.*paths\.home"):
        prepare_home(tmp_path / "file" / "home")


def test_one_process_per_home(tmp_path: Path) -> None:
    with locked_home(tmp_path):
        with pytest.raises(EnvironmentFault, match=rf"already running from {tmp_path}, as process {os.getpid()}"):
            with locked_home(tmp_path):
                pass
    with locked_home(tmp_path):
        pass


def test_a_taken_port_names_port_holder_and_setting() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} on 127.0.0.1 is in use.*{os.getpid()}.*api\.port"):
            usable_port("127.0.0.1", port)
    assert usable_port("127.0.0.1", port) == port
    assert usable_port("127.0.0.1", 0) > 0


def test_a_host_that_is_not_ours_names_the_setting() -> None:
    with pytest.raises(UserError, match=r"api\.host"):
        usable_port("192.0.2.1", 0)


def test_samples_are_copied_with_their_data_and_overwrite_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    assert is_empty(folder)
    assert copy_sample_dags(folder) > 3
    assert (folder / "every_minute.py").is_file()
    assert any((folder / "data").iterdir())
    assert not is_empty(folder)
    (folder / "every_minute.py").write_text("mine")
    assert copy_sample_dags(folder) == 0
    assert (folder / "every_minute.py").read_text() == "mine"
