"""What a check of `dagdeckd doctor` found, and how findings are shown.

Decides the levels and the two forms of output. Called by the checks and by the command.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    WARNING = "warning"
    """It works, and will trouble somebody one day."""
    ERROR = "error"
    """Something does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact about one area; `remedy` says what to do unless it is good."""

    area: str
    level: Level
    text: str
    remedy: str = ""


_MARKS = {Level.GOOD: "ok", Level.WARNING: "warn", Level.ERROR: "FAIL"}


def as_lines(finding: Finding) -> list[str]:
    """The finding for people."""
    lines = [f"{_MARKS[finding.level]:<5} {finding.area:<13} {finding.text}"]
    if finding.remedy:
        lines.append(f"{'':<19} → {finding.remedy}")
    return lines


def as_json(findings: Iterable[Finding]) -> str:
    """All findings for programs."""
    return msgspec.json.encode([asdict(finding) for finding in findings]).decode()


def worst(findings: Iterable[Finding]) -> Level:
    """The highest level among them."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.GOOD)


def good(area: str, text: str) -> Finding:
    """Something as it should be."""
    return Finding(area=area, level=Level.GOOD, text=text)


def warning(area: str, text: str, remedy: str) -> Finding:
    """Something to put right at leisure."""
    return Finding(area=area, level=Level.WARNING, text=text, remedy=remedy)


def failure(area: str, text: str, remedy: str) -> Finding:
    """Something to put right now."""
    return Finding(area=area, level=Level.ERROR, text=text, remedy=remedy)
