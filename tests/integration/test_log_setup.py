"""The daemons' log: readable lines, JSON lines, nothing secret, and no flood of the same warning."""

from __future__ import annotations

import errno
import io
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from dagdeck_io.log_setup import TEMPLATE_BURST, configure_logging, log_uncaught_exceptions
from dagdeck_io.masking import Masker, is_sensitive_name, mask_url
from dagdeck_io.settings import LogFormat, LogLevel

_log = logging.getLogger("dagdeck_test.module")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A sink; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks


def _without_pytests_handlers() -> None:
    """They fail the test at a line with wrong arguments."""
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if type(each).__module__ == configure_logging.__module__]


class _Clock:
    """Time that a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        # The handler took time.monotonic as its default when it was defined.
        for handler in logging.getLogger().handlers:
            if hasattr(handler, "_clock"):
                monkeypatch.setattr(handler, "_clock", lambda: self.now)


# ---------------------------------------------------------------- lines


def test_text_lines_are_aligned_utc_and_carry_their_context(stream: io.StringIO) -> None:
    configure_logging("scheduler", stream=stream)
    _log.info("run %s begins", "r 1", extra={"dag_id": "sales", "cause": "a b", "nothing": None})
    _log.warning("two\nlines")
    first, second, third = stream.getvalue().splitlines()
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    scheduler\[\d+\] dagdeck_test\.module: "
    assert re.fullmatch(pattern + r"run r 1 begins  dag_id=sales cause='a b'", first)
    assert "WARNING scheduler[" in second
    assert third == "    lines"


def test_json_lines_hold_the_same_as_fields(stream: io.StringIO) -> None:
    configure_logging("worker", format=LogFormat.JSON, stream=stream)
    _log.error("größe %d", 5, extra={"dag_id": "sales", "ti_id": 7, "odd": {1, 2}})
    line = json.loads(stream.getvalue())
    assert line["message"] == "größe 5"
    assert (line["level"], line["process"], line["logger"]) == ("error", "worker", "dagdeck_test.module")
    assert (line["dag_id"], line["ti_id"], line["odd"]) == ("sales", 7, "{1, 2}")
    assert isinstance(line["pid"], int)
    assert line["time"].endswith("Z")


@pytest.mark.parametrize("format", list(LogFormat))
def test_exceptions_come_with_their_traceback(stream: io.StringIO, format: LogFormat) -> None:
    configure_logging("api", format=format, stream=stream, masker=Masker(["s3cret-value"]))
    try:
        raise ValueError("cannot use s3cret-value")
    except ValueError:
        _log.exception("it failed")
    text = stream.getvalue()
    assert "it failed" in text
    assert "ValueError: cannot use ***" in text
    assert "s3cret" not in text
    if format is LogFormat.JSON:
        assert "Traceback" in json.loads(text)["exception"]


def test_the_level_holds_and_a_second_call_replaces_the_first(stream: io.StringIO) -> None:
    configure_logging("api", level=LogLevel.WARNING, stream=stream)
    _log.info("not this")
    other = io.StringIO()
    configure_logging("api", level=LogLevel.DEBUG, stream=other)
    _log.debug("this")
    assert stream.getvalue() == ""
    assert other.getvalue().count("this") == 1


def test_a_line_with_wrong_arguments_is_not_lost(stream: io.StringIO) -> None:
    configure_logging("api", stream=stream)
    _without_pytests_handlers()
    _log.warning("%d and %s", "x")
    assert "'%d and %s' with arguments ('x',)" in stream.getvalue()


def test_warnings_and_uncaught_exceptions_reach_the_log(stream: io.StringIO) -> None:
    configure_logging("api", stream=stream)
    log_uncaught_exceptions()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old thing", UserWarning, stacklevel=1)
    thread = threading.Thread(target=lambda: [].pop(), name="the thread")
    thread.start()
    thread.join()
    error = RuntimeError("at the end")
    sys.excepthook(RuntimeError, error, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    text = stream.getvalue()
    for part in ("old thing", "ends the thread the thread", "IndexError", "ends this process", "at the end"):
        assert part in text
    assert "KeyboardInterrupt" not in text


def test_a_full_disk_ends_nobody(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    configure_logging("api", stream=Full())
    _log.error("unheard")
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- repetition


def test_the_same_warning_is_written_once_per_interval(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging("api", stream=stream, repeat_interval=10)
    clock = _Clock(monkeypatch)
    for _ in range(50):
        _log.warning("queue %s is down", "a")
        _log.info("progress")
    _log.warning("queue %s is down", "b")
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "queue a is down" in line]) == 1
    assert len([line for line in lines if "queue b is down" in line]) == 1
    assert len([line for line in lines if "progress" in line]) == 50
    clock.now += 11
    _log.warning("queue %s is down", "a")
    assert len(re.findall("queue a is down", stream.getvalue())) == 2
    # 49 of the first flood; those of the line for b were said with it.
    assert "49 more like this were left out" in stream.getvalue()


def test_one_template_with_ever_new_values_is_limited_too(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging("api", stream=stream)
    clock = _Clock(monkeypatch)
    for number in range(1000):
        _log.warning("message %d is odd", number)
    assert len(stream.getvalue().splitlines()) == TEMPLATE_BURST
    clock.now += 11
    _log.warning("message %d is odd", 1000)
    assert f"{1000 - TEMPLATE_BURST} more like this were left out" in stream.getvalue()


def test_critical_lines_and_an_interval_of_zero_are_not_limited(stream: io.StringIO) -> None:
    configure_logging("api", stream=stream)
    for _ in range(3):
        _log.critical("the end")
    configure_logging("api", stream=stream, repeat_interval=0)
    for _ in range(3):
        _log.warning("again")
    assert len(stream.getvalue().splitlines()) == 6


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mysql://u:geheim@h/x", "mysql://u:***@h/x"),
        ("redis://:geheim@h:6379/0?a=b", "redis://:***@h:6379/0?a=b"),
        ("mysql://u:ge@heim@h/x", "mysql://u:***@h/x"),
        ("http://h:8080/path no secret", "http://h:8080/path no secret"),
        ("password=geheim&x=1", "password=***&x=1"),
        ("db_password = 'ge heim' x", "db_password = *** x"),
        ("API-KEY=geheim", "API-KEY=***"),
        ('{"token": "geheim", "n": 1}', '{"token": "***", "n": 1}'),
        ("{'password': 'ge\\'heim', 'a': 2}", "{'password': '***', 'a': 2}"),
        ('{"secret_key":12345}', '{"secret_key":"***"}'),
        ("Authorization: Bearer abc.def-geheim", "Authorization: Bearer ***"),
        ("the token is wrong, password: check it", "the token is wrong, password: check it"),
        ("token_file=/run/token", "token_file=/run/token"),
        ("key=value; tokens=5", "key=value; tokens=5"),
        ("", ""),
    ],
)
def test_secrets_are_recognised_by_their_surroundings(text: str, masked: str) -> None:
    assert Masker().mask(text) == masked


def test_registered_secrets_are_hidden_in_every_spelling() -> None:
    masker = Masker(["p@ss wörd", 'quo"te'])
    masker.add("longer-secret", "longer-secret-still", "abc", "")
    assert masker.mask("p@ss wörd") == "***"
    assert masker.mask("x p%40ss%20w%C3%B6rd p%40ss+w%C3%B6rd y") == "x *** *** y"
    assert masker.mask(json.dumps('quo"te')) == '"***"'
    assert masker.mask("longer-secret-still!") == "***!"
    assert masker.mask("abc") == "abc"


def test_sensitive_names_hide_their_value(stream: io.StringIO) -> None:
    configure_logging("api", stream=stream)
    _log.info("signed in", extra={"password": "geheim", "api_token": 12345, "user": "anna"})
    assert "geheim" not in stream.getvalue()
    assert "12345" not in stream.getvalue()
    assert "user=anna" in stream.getvalue()
    assert is_sensitive_name("Authorization")
    assert not is_sensitive_name("tokens_left")


@pytest.mark.parametrize("format", list(LogFormat))
def test_no_way_into_the_log_shows_a_secret(stream: io.StringIO, format: LogFormat) -> None:
    masker = configure_logging("api", format=format, stream=stream)
    _without_pytests_handlers()
    masker.add("geheim-1")
    _log.warning("in the message geheim-1")
    _log.warning("in an argument %s %r", "geheim-1", {"a": "geheim-1"})
    _log.warning("in the context", extra={"where": "geheim-1", "deep": {"x": ["geheim-1"]}})
    _log.warning("in a url %s", "mysql+pymysql://u:other-secret@h/d")
    _log.warning("in bad arguments %d %d", "geheim-1")
    try:
        raise RuntimeError("geheim-1")
    except RuntimeError as error:
        _log.warning("in a traceback", exc_info=error, stack_info=True)
    assert len(stream.getvalue()) > 500
    assert "geheim" not in stream.getvalue()
    assert "other-secret" not in stream.getvalue()
    if format is LogFormat.JSON:
        for line in stream.getvalue().splitlines():
            json.loads(line)


def test_a_url_can_be_shown() -> None:
    assert mask_url("mysql+pymysql://dagdeck:geheim@db/dagdeck") == "mysql+pymysql://dagdeck:***@db/dagdeck"
    assert mask_url("sqlite:////var/lib/x.db") == "sqlite:////var/lib/x.db"
