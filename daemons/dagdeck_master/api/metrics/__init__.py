"""Figures of the whole cluster for Prometheus, made anew for each scrape.

Decides the order of the families and that scrapes which come at once share one reading. Imported when the first scrape
comes, so that an API which nobody scrapes does not hold it. Called by `routes.monitoring`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dagdeck_core.errors import EnvironmentFault
from dagdeck_master.api.context import ApiContext
from dagdeck_master.api.metrics import of_api, of_cluster, of_daemons
from dagdeck_master.api.metrics.exposition import Exposition

SHARED_SECONDS = 1.0
"""For so long an answer is given again instead of reading the database once more."""


class Scrapes:
    """The answers to scrapes of one app."""

    def __init__(self, context: ApiContext, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._lock = threading.Lock()
        self._made_at = float("-inf")
        self._text = b""

    def text(self) -> bytes:
        """Everything in Prometheus' text format; without a database, what is known without it."""
        with self._lock:
            if self._clock() - self._made_at >= SHARED_SECONDS:
                self._text = _collect(self._context).text()
                self._made_at = self._clock()
            return self._text


def _collect(context: ApiContext) -> Exposition:
    begun = time.monotonic()
    out = Exposition()
    of_api.add(out, context)
    try:
        with context.database.reading() as connection:
            of_cluster.add(out, connection)
            of_cluster.add_queues(out, connection, context.live)
            processes = of_daemons.add(out, connection)
        is_up = 1
    except EnvironmentFault:
        is_up, processes = 0, {}
    out.gauge("dagdeck_database_up", "Whether the metadata database answers", is_up)
    of_api.add_processes(out, processes)
    out.gauge("dagdeck_scrape_duration_seconds", "What this answer took to make", time.monotonic() - begun)
    return out
