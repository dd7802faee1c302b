"""Which runs the scheduler reads again to find what no report told, and which of them differ from memory.

Decides when a run is looked at: after an interval without news of it, and now and then while news flow, because one
lost report among many leaves no silence. Reading a run of thousands of task instances is the costliest thing that a
scheduler under load can do, so it is not done for what is being told anyhow. Does not read rows itself (`rounds`, its
only caller, does) and changes nothing.

A run of which news flow is ahead of memory by what is still under way: it is only taken in when a second look, a
moment later, finds the same difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dagdeck_core.records import DagVersionRecord, RunRecord, TaskRecord
from dagdeck_core.scheduling.events import Event, RunLoaded, VersionLoaded
from dagdeck_core.scheduling.machine import Difference, Machine
from dagdeck_core.wire import Report

SECOND_LOOK = 1.0
"""Seconds until a difference in a run of which news flow is looked at again."""
BUSY_INTERVALS = 6
"""A run of which news flow is looked at after so many intervals all the same."""

Loaded = tuple[Sequence[DagVersionRecord], Sequence[tuple[RunRecord, tuple[TaskRecord, ...]]]]


class Reconciler:
    """One leader's memory of what it heard of runs and when it looked at them. Times are monotonic seconds."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._heard: dict[int, float] = {}
        self._looked: dict[int, float] = {}
        self._suspects: dict[int, dict[Difference, None]] = {}
        """Runs whose rows were ahead while news flowed, and in what."""
        self._second_look = float("inf")

    @property
    def second_look(self) -> float:
        """When the suspects are due; infinite when there are none."""
        return self._second_look

    def hear(self, reports: Iterable[Report], mono: float) -> None:
        """Note of which runs these reports tell."""
        for report in reports:
            for item in report.finished:
                self._heard[item.run_key] = mono
            for run_key, _, _ in report.claimed:
                self._heard[run_key] = mono

    def forget(self) -> None:
        """Reports may have been lost: silence and news prove nothing any more."""
        self._heard = {}
        self._looked = {}

    def to_look_at(self, mono: float, interval: float) -> list[int]:
        """The runs with live dispatches whose turn it is; they count as looked at."""
        live = self._machine.run_keys(only_live=True)
        never = float("-inf")
        # A run that is new here was read, or made, by this very scheduler.
        looked = {key: self._looked.get(key, self._heard.get(key, never)) for key in live}
        quiet = [
            key
            for key in live
            if mono - self._heard.get(key, never) >= interval or mono - looked[key] >= interval * BUSY_INTERVALS
        ]
        looked.update(dict.fromkeys(quiet, mono))
        self._looked = looked
        self._heard = {key: at for key, at in self._heard.items() if key in looked}
        return quiet

    def suspects(self, mono: float) -> list[int]:
        """The runs that are due for their second look."""
        if mono < self._second_look:
            return []
        self._second_look = float("inf")
        self._suspects = {key: found for key, found in self._suspects.items() if self._machine.knows_run(key)}
        return list(self._suspects)

    def differing(self, loaded: Loaded, mono: float, interval: float, *, second: bool) -> list[Event]:
        """Events that take in the runs among those read whose rows say what memory does not know."""
        versions, runs = loaded
        events: list[Event] = []
        for run, rows in runs:
            ahead = self._machine.differences(run, rows)
            if second:
                known = self._suspects.pop(run.run_key, {})
                ahead = [each for each in ahead if each in known]
            elif ahead and mono - self._heard.get(run.run_key, float("-inf")) < interval:
                self._suspects[run.run_key] = dict.fromkeys(ahead)
                self._second_look = min(self._second_look, mono + SECOND_LOOK)
                continue
            if ahead:
                events.append(RunLoaded(run=run, tasks=rows))
        return [*(VersionLoaded(version=version) for version in versions), *events] if events else []
