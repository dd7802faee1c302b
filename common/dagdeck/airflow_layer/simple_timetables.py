"""Timetables that DAG files name only by importing them: never, once, always.

Decides which stored spec each means. Found by DAG files through the table.
"""

from __future__ import annotations

from dagdeck.timetables import Timetable
from dagdeck_core.timetables import ContinuousSpec, NullSpec, OnceSpec


class NullTimetable(Timetable):
    """No runs by themselves: what schedule=None means."""

    def __init__(self) -> None:
        super().__init__(NullSpec())


class OnceTimetable(Timetable):
    """One run: what "@once" means."""

    def __init__(self) -> None:
        super().__init__(OnceSpec())


class ContinuousTimetable(Timetable):
    """The next run as soon as one has ended: what "@continuous" means."""

    def __init__(self) -> None:
        super().__init__(ContinuousSpec())
