"""Hiding known secrets in what a task writes.

Decides what is replaced in a text. Secrets come from Connections, sensitive Variables and `mask_secret`;
the parent process hides them too, in what reaches it past this process's streams. Used by the log and
for rendered fields; one masker per task.
"""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO

from dagdeck.secrecy import HIDDEN

SHORTEST_SECRET = 5
"""Characters; hiding shorter ones would make a log unreadable without protecting anything."""


class Masker:
    """The secrets of one task. Adding the first one puts masking streams in front of stdout and stderr."""

    def __init__(self, *, wrap_streams: bool = True) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._wrap_streams = wrap_streams
        self._streams: tuple[TextIO, TextIO] | None = None

    def add(self, secret: str) -> bool:
        """Hide `secret` from now on; False when it was known or is too short."""
        if len(secret) < SHORTEST_SECRET or secret in self._secrets:
            return False
        self._secrets.add(secret)
        # The longest first, so that a secret that contains another one is hidden whole.
        ordered = sorted(self._secrets, key=lambda known: (-len(known), known))
        self._pattern = re.compile("|".join(map(re.escape, ordered)))
        if self._wrap_streams and self._streams is None:
            self._streams = (sys.stdout, sys.stderr)
            sys.stdout = MaskedStream(sys.stdout, self)
            sys.stderr = MaskedStream(sys.stderr, self)
        return True

    def mask(self, text: str) -> str:
        """`text` with every known secret replaced."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def close(self) -> None:
        """Put the streams back."""
        if self._streams is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = self._streams
            self._streams = None


class MaskedStream:
    """A text stream that hides secrets in what is written, piece by piece, and is the stream otherwise."""

    def __init__(self, stream: TextIO, masker: Masker) -> None:
        self._stream = stream
        self._masker = masker

    def write(self, text: str) -> int:
        """Write `text` masked; returns its own length, as callers expect."""
        self._stream.write(self._masker.mask(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines` masked."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
