"""A line as it is shown: readable text whatever the bytes, and its parts with their kinds.

Decides what of a line is time, level, logger or message, and how bytes that are no text appear. Does not decide
colours or positions (`area`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MOST_SHOWN_BYTES = 64 * 1024
"""Of a longer line only the beginning is shown; copying takes all of it."""
_TAB = 8
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
# Characters that change the direction of others would make a line lie about its order.
_CONTROL |= dict.fromkeys((*range(8234, 8239), *range(8294, 8298), 8232, 8233, 133), 65533)
_STAMP = re.compile(r"\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?\s*")
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b:?\s*")
_LEVEL_LATER = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL)\b")
_LOGGER = re.compile(r"([A-Za-z_][\w.]*)  ")
_CONTINUED = re.compile(r"\s|Traceback |Caused by: |During handling of ")


class Level(StrEnum):
    """How grave a line is; NONE for prints, CONTINUED for what belongs to the line above."""

    NONE = "none"
    CONTINUED = "continued"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Part(StrEnum):
    """What a piece of a line is."""

    TIME = "time"
    LEVEL = "level"
    LOGGER = "logger"
    MESSAGE = "message"
    NOTE = "note"


_LEVELS = {
    "DEBUG": Level.DEBUG,
    "INFO": Level.INFO,
    "WARN": Level.WARNING,
    "WARNING": Level.WARNING,
    "ERROR": Level.ERROR,
    "CRITICAL": Level.ERROR,
    "FATAL": Level.ERROR,
}


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line's text, and its parts as (kind, begin, end) in order without gaps."""

    text: str
    level: Level
    parts: tuple[tuple[Part, int, int], ...]


def readable(content: bytes) -> str:
    """Bytes as text: no control characters, no terminal's colours, tabs as blanks; what a carriage return overwrote
    is left out, as on a terminal."""
    text = content.decode("utf-8", "replace").removesuffix("\r")
    if "\r" in text:
        text = text[text.rfind("\r") + 1 :]
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\t" in text:
        text = text.expandtabs(_TAB)
    return text if text.isprintable() else text.translate(_CONTROL)


def shown_line(content: bytes, total: int) -> ShownLine:
    """A line of `total` bytes of which `content` is the beginning."""
    text = readable(content)
    parts: list[tuple[Part, int, int]] = []
    level = Level.NONE
    stamp = _STAMP.match(text)
    if stamp:
        # The day is the same on every line, and said elsewhere.
        text = f"{stamp[2]} {text[stamp.end() :]}"
        parts.append((Part.TIME, 0, 9))
    at = 9 if stamp else 0
    found = _LEVEL.match(text, at)
    if found:
        level = _LEVELS[found[1]]
        word = {"WARNING": "WARN", "CRITICAL": "FATAL"}.get(found[1], found[1]).ljust(5)
        text = f"{text[:at]}{word} {text[found.end() :]}"
        parts.append((Part.LEVEL, at, at + 6))
        at += 6
        logger = _LOGGER.match(text, at)
        if logger and stamp:
            parts.append((Part.LOGGER, at, logger.end()))
            at = logger.end()
    elif stamp and (later := _LEVEL_LATER.search(text, at, at + 60)):
        level = _LEVELS[later[1]]
    elif not stamp and _CONTINUED.match(text):
        level = Level.CONTINUED
    parts.append((Part.MESSAGE, at, len(text)))
    if total > len(content):
        note = f"  … and {total - len(content):,} more bytes"
        parts.append((Part.NOTE, len(text), len(text) + len(note)))
        text += note
    return ShownLine(text, level, tuple(parts))
