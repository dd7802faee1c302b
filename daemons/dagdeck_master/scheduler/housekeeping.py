"""Housekeeping: a thread of the leading scheduler that deletes what is older than it has to be kept.

Decides when a pass begins (now and then, and at once when something was removed), how much of the time it may take,
and what happens when the database or the archive's disk fails: it tries again later and says so. Does not decide what
is old (`dagdeck_io.db`). It has a connection of its own, so the loop waits for it at most as long as one of its
small transactions holds a row. Begun and ended by `loop`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from dagdeck_core.errors import DagDeckError

log = logging.getLogger(__name__)

REST = 3.0
"""After each transaction it rests so many times as long as that took: others have the database most of the time."""
SHORTEST_REST = 0.002
FIRST_WAIT = 60.0
"""Seconds from the start to the first pass, when the interval is longer: a process may not live for an interval."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds between attempts while something fails."""


class Housekeeping:
    """See the module. `step` does one transaction and says whether there is more; `interval` is in seconds.

    `tell` gets in words what keeps old rows from going, and None when nothing does any more.
    """

    def __init__(
        self,
        step: Callable[[datetime], bool],
        interval: float,
        *,
        tell: Callable[[str | None], None] = lambda message: None,
        name: str = "housekeeping",
        failed: str = "old rows stay for now",
    ) -> None:
        """`name` is the thread's; `failed` says for the log what it means when a step fails."""
        self._name = name
        self._failed = failed
        self._step = step
        self._interval = interval
        self._tell = tell
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start, when this process leads. Harmless while it runs."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Stop after the transaction that is under way."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._wanted.set()
            thread.join()

    def wake(self) -> None:
        """There is something to do: do not wait for the interval's end."""
        self._wanted.set()

    def _run(self) -> None:
        wait, pause = min(self._interval, FIRST_WAIT), FIRST_PAUSE
        while True:
            self._wanted.wait(wait)
            self._wanted.clear()
            if self._stopping.is_set():
                return
            try:
                self._pass()
                self._tell(None)
                wait, pause = self._interval, FIRST_PAUSE
            except DagDeckError as fault:
                log.warning("%s, next attempt in %.0f s: %s", self._failed, pause, fault)
                self._tell(str(fault))
                wait, pause = pause, min(pause * 2, LONGEST_PAUSE)
            except Exception:
                log.exception("%s failed; it is tried again", self._name)
                wait, pause = LONGEST_PAUSE, LONGEST_PAUSE

    def _pass(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            if not self._step(datetime.now(UTC)):
                return
            self._stopping.wait(max((time.monotonic() - began) * REST, SHORTEST_REST))
