"""`Stats`: counters and timers that DAG files and provider packages feed.

Decides that they are taken and go nowhere: a task's process sends no metrics. Used in DAG files.
"""

from __future__ import annotations

import time
from typing import Any


class Timer:
    """Measures the time of a `with` block, in `duration` (milliseconds)."""

    def __init__(self) -> None:
        self.duration: float | None = None
        self._begun = 0.0

    def __enter__(self) -> Timer:
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.duration = (time.perf_counter() - self._begun) * 1000

    def start(self) -> Timer:
        """Begin to measure."""
        return self.__enter__()

    def stop(self, send: bool = True) -> None:
        """Stop measuring."""
        self.__exit__()


class Stats:
    """Takes the calls of a statsd client."""

    @staticmethod
    def incr(stat: str, count: int = 1, rate: float = 1, **_: Any) -> None:
        """Count up."""

    @staticmethod
    def decr(stat: str, count: int = 1, rate: float = 1, **_: Any) -> None:
        """Count down."""

    @staticmethod
    def gauge(stat: str, value: float, rate: float = 1, delta: bool = False, **_: Any) -> None:
        """Set a value."""

    @staticmethod
    def timing(stat: str, dt: Any, **_: Any) -> None:
        """Record a duration."""

    @staticmethod
    def timer(*_: Any, **__: Any) -> Timer:
        """A timer for a `with` block."""
        return Timer()
