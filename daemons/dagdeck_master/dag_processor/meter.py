"""What the DAG processor counts of its own work, and when that is published.

Decides the figures. Called by `processor` after each round, each file and each publication.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dagdeck_core.measures import LONG, SHORT, Histogram, ProcessorFigures

Publish = Callable[[ProcessorFigures], None]


class Meter:
    """Counts of one process. `publish` gets all figures every `interval` seconds; None: nobody wants them."""

    def __init__(self, publish: Publish | None = None, interval: float = 10.0) -> None:
        self._publish = publish
        self._interval = interval
        self._due_at = 0.0
        self._rounds: dict[str, int] = {}
        self._parses = Histogram.over(SHORT)
        self._publishing = Histogram.over(LONG)
        self._failed_parses = 0
        self._files = self._files_with_errors = 0
        self._last_published: float | None = None

    def parsed(self, seconds: float, *, failed: bool) -> None:
        """A file was parsed."""
        self._parses.observe(seconds)
        self._failed_parses += failed

    def published(self, seconds: float, *, files: int, files_with_errors: int) -> None:
        """The catalog was stored, which took so many seconds."""
        self._publishing.observe(seconds)
        self._files, self._files_with_errors = files, files_with_errors
        self._last_published = time.time()

    def round_done(self, result: str, *, leads: bool) -> None:
        """A round came to `result`; while another process `leads`, nothing is published."""
        self._rounds[result] = self._rounds.get(result, 0) + 1
        now = time.monotonic()
        if self._publish is None or not leads or now < self._due_at:
            return
        self._due_at = now + self._interval
        self._publish(
            ProcessorFigures(
                rounds=self._rounds,
                parses=self._parses,
                failed_parses=self._failed_parses,
                files=self._files,
                files_with_errors=self._files_with_errors,
                publishing=self._publishing,
                last_published=self._last_published,
            )
        )
