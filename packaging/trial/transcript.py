"""What a trial did, as a page for people: each step with what it printed, how long it took, and what was checked.

Decides how it reads, that long outputs are shortened, and that a failed check ends the trial. Written by
`package_test`.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from clean_system import Done

MOST_LINES = 30
_LONG_HEX = re.compile(r"\b(?:[0-9a-fA-F]{2}:){15,}[0-9a-fA-F]{2}\b|\b[0-9a-f]{64}\b")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class TrialFailed(Exception):
    """Something was not as it should be; the transcript up to there says what."""


class Transcript:
    """Collects the page. Everything is also said on standard error as it happens."""

    def __init__(self, title: str) -> None:
        self._parts = [f"# {title}\n"]
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """A paragraph, or a heading."""
        print(text, file=sys.stderr, flush=True)
        self._parts.append(text + "\n")

    def step(self, prompt: str, text: str, done: Done, seconds: float) -> None:
        """A command with its output. Raises TrialFailed when it did not end well."""
        print(f"+ {text.splitlines()[0]}  ({seconds:.1f} s, exit code {done.code})", file=sys.stderr, flush=True)
        command = "\n".join(f"{prompt} {line}" if at == 0 else f"  {line}" for at, line in enumerate(text.splitlines()))
        output = shortened(done.output)
        self._parts.append(f"```console\n{command}\n{output}```\n\n<sub>{seconds:.1f} s</sub>\n")
        if done.code != 0:
            raise TrialFailed(f"exit code {done.code} of:\n{text}\n{done.output[-3000:]}")

    def check(self, what: str, is_so: bool, found: object = "") -> None:
        """Something that must be so. Raises TrialFailed when it is not."""
        if not is_so:
            raise TrialFailed(f"not so: {what}" + (f"; found: {found}" if found != "" else ""))
        print(f"  ok: {what}", file=sys.stderr, flush=True)
        self._parts.append(f"- [x] {what}\n")

    def write(self, page: Path) -> None:
        """Write the page."""
        minutes = (time.monotonic() - self._began) / 60
        text = "\n".join([*self._parts, f"All of it took {minutes:.1f} minutes.\n"])
        # Checks after one another are one list.
        page.write_text(re.sub(r"(- \[x\] [^\n]*\n)\n(?=- \[x\])", r"\1", text), encoding="utf-8")


def shortened(output: str) -> str:
    """An output for the page: no control characters, no long fingerprints, only the first and last of many lines."""
    lines = [_LONG_HEX.sub("…", line).rstrip() for line in _CONTROL.sub("", output).splitlines()]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]
    return "".join(f"{line}\n" for line in lines)
