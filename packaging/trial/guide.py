"""The administrator's guide as what it says to do: its marked code blocks, in order.

Decides which blocks count: those whose fence names a language and who runs it, as "sh root". Does not run them
(`package_test`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ACTORS = ("root", "ada", "database", "desktop")
_FENCE = re.compile(r"^```(\S*)[ ]*(\S*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One code block. `section` is the heading above it, `actor` who runs it; `line` is where it begins in the page."""

    section: str
    actor: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """The blocks that somebody runs. Raises ValueError for an unknown actor and for a fence without its end."""
    found: list[Block] = []
    section, actor, begin = "", "", 0
    lines: list[str] | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if lines is None and line.startswith("## "):
            section = line.removeprefix("## ").strip()
        elif lines is None and fence is not None:
            lines, actor, begin = [], fence[2], number
            if actor and actor not in ACTORS:
                raise ValueError(f"{page}:{number}: nobody is called {actor!r}")
        elif lines is not None and line == "```":
            if actor:
                found.append(Block(section=section, actor=actor, text="\n".join(lines) + "\n", line=begin))
            lines = None
        elif lines is not None:
            lines.append(line)
    if lines is not None:
        raise ValueError(f"{page}:{begin}: this block does not end")
    return found
