"""When a process that crashed is started again, and when the supervisor gives up.

Decides by the times of its last crashes. Pure: the caller passes the time. Called by `supervisor`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_FIRST_DELAY = 0.2
_GOOD_RUN = 30.0
"""Seconds of running after which a crash counts as the first again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartLimits:
    """Seconds, except `crashes`: the most within `window` after which nothing is tried any more."""

    crashes: int = 10
    window: float = 300.0
    max_delay: float = 30.0


@dataclass(slots=True, kw_only=True)
class RestartPolicy:
    """The crashes of one process."""

    limits: RestartLimits
    _crashes: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0

    def delay_after_crash(self, now: float, ran_for: float) -> float | None:
        """Seconds to wait before the next start; None when the process has crashed too often.

        `now` is monotonic seconds, `ran_for` how long the process had run.
        """
        self._crashes.append(now)
        while self._crashes[0] < now - self.limits.window:
            self._crashes.popleft()
        if len(self._crashes) > self.limits.crashes:
            return None
        self._in_a_row = 1 if ran_for >= _GOOD_RUN else self._in_a_row + 1
        return min(_FIRST_DELAY * 2 ** (self._in_a_row - 1), self.limits.max_delay)
