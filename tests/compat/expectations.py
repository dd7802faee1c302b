"""What a DAG of a corpus should end like, and whether a run of it did.

Decides which expectations can be compared and what counts as a difference. Does not start anything (`campaign`) and
does not know where DAG files come from (`corpus`). Called by `campaign` and by the tests of this folder.

Where an example chooses at random or by the clock, its tasks are named by `choices`: each choice is a list of
options, and an option lists tasks. Exactly one option's tasks end success, every other task of that choice skipped.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from dagdeck_core.errors import UserError

Instance = tuple[str, int]
"""A task_id and a map_index."""
Options = tuple[tuple[str, ...], ...]


class Kind(StrEnum):
    """How a DAG comes to its run, and what is known of the end."""

    MANUAL = "success_on_manual_trigger"
    ON_ASSET = "success_on_asset_event"
    NEEDS_VENV = "success_needs_pypi_venv"
    FAILS = "fail_by_design"
    NEVER = "never_triggered_by_design"
    NEEDS_PARAMS = "needs_params"
    NEEDS_HUMAN = "needs_human"
    NEEDS_NETWORK = "needs_network"
    NEEDS_EVENT = "needs_external_event"
    OTHER_PROVIDER = "excluded_other_provider"
    BROKEN = "broken_in_reference"
    CONFLICT = "fails_in_reference_asset_conflict"
    SLOW = "slow_1h_and_needs_fs_default_connection"


COMPARABLE = (Kind.MANUAL, Kind.ON_ASSET, Kind.NEEDS_VENV)
"""A success is expected: these make the score."""
BEYOND = (Kind.FAILS, Kind.NEVER, Kind.NEEDS_PARAMS, Kind.NEEDS_HUMAN)
"""Checked as well and told apart from the score."""


class TaskEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One task instance's last state; None for none."""

    task_id: str
    map_index: int
    state: str | None = None


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A run's last state with that of all its task instances."""

    run_state: str | None
    tasks: tuple[TaskEnd, ...]

    def by_instance(self) -> dict[Instance, str]:
        """Each task instance's state."""
        return {(task.task_id, task.map_index): task.state or "none" for task in self.tasks}


class DagExpectation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one DAG."""

    expectation: Kind
    file: str = ""
    deterministic: bool = True
    expected: RunEnd | None = None
    run_state: str = "success"
    states: dict[str, str] = {}
    """The same in short: "task_id" or "task_id[map_index]" → state; used where `expected` is not given."""

    def end(self) -> RunEnd | None:
        """How its run should end, if that is known."""
        if self.expected is not None or not self.states:
            return self.expected
        return RunEnd(run_state=self.run_state, tasks=tuple(map(_task_end, self.states, self.states.values())))


def _task_end(name: str, state: str) -> TaskEnd:
    task_id, _, index = name.partition("[")
    return TaskEnd(task_id=task_id, map_index=int(index.rstrip("]")) if index else -1, state=state)


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a DAG is triggered, where that is not by its defaults."""

    conf: dict[str, Any] | None = None
    logical_date: str | None = None
    partition_key: str | None = None


class AssetEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Events that come from outside: one for each hour of a day, or for each day of a month, as partition key."""

    asset: str
    hours_of: str = ""
    days_of: str = ""

    def partition_keys(self) -> list[str]:
        """The keys, in order of time."""
        if self.hours_of:
            return [f"{self.hours_of}T{hour:02}:00:00" for hour in range(24)]
        year, month = (int(part) for part in self.days_of.split("-"))
        return [f"{self.days_of}-{day:02}" for day in range(1, calendar.monthrange(year, month)[1] + 1)]


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """What has to happen from outside for a corpus to run."""

    triggers: dict[str, Start] = {}
    asset_events: tuple[AssetEvents, ...] = ()
    choices: dict[str, tuple[Options, ...]] = {}
    answers: dict[str, dict[str, Any]] = {}
    """dag_id → task_id → the body of a person's answer."""
    answered: dict[str, RunEnd] = {}
    """How a DAG ends once it was answered."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    dags: dict[str, DagExpectation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """All DAGs of a corpus with what is known of them."""

    dags: Mapping[str, DagExpectation]
    starts: Starts

    def start_of(self, dag_id: str) -> Start:
        """How to trigger a DAG."""
        return self.starts.triggers.get(dag_id, Start())

    def end_of(self, dag_id: str) -> RunEnd | None:
        """How its run should end."""
        return self.starts.answered.get(dag_id) or self.dags[dag_id].end()

    def differences(self, dag_id: str, actual: RunEnd) -> list[str]:
        """What is not as expected, in words; [] when all is."""
        expected = self.end_of(dag_id)
        if expected is None:
            return []
        return differences(expected, actual, self.starts.choices.get(dag_id, ()))


def read(expected: Path, starts: Path | None = None) -> Expectations:
    """The expectations stored as JSON. Raises UserError naming the file when it is not what it should be."""
    return Expectations(
        dags=_decode(expected, _File).dags,
        starts=_decode(starts, Starts) if starts is not None else Starts(),
    )


def _decode(path: Path, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"the expectations cannot be read: {error}", file=str(path)) from error


def differences(expected: RunEnd, actual: RunEnd, choices: Sequence[Options] = ()) -> list[str]:
    """What of `actual` is not as `expected`, line by line."""
    found = []
    if actual.run_state != expected.run_state:
        found.append(f"the run ended {actual.run_state}, not {expected.run_state}")
    chosen = {task_id for options in choices for option in options for task_id in option}
    wanted, got = expected.by_instance(), actual.by_instance()
    for instance in sorted({**wanted, **got}):
        if instance[0] in chosen and instance in wanted and instance in got:
            continue
        have, want = got.get(instance, "missing"), wanted.get(instance, "absent")
        if have != want:
            found.append(f"{_name(instance)} is {have}, not {want}")
    return found + [text for options in choices for text in _wrong_choice(options, got)]


def _wrong_choice(options: Options, got: Mapping[Instance, str]) -> list[str]:
    tasks = sorted({task_id for option in options for task_id in option})
    states = {task_id: got.get((task_id, -1), "missing") for task_id in tasks}
    for option in options:
        if all(states[task_id] == ("success" if task_id in option else "skipped") for task_id in tasks):
            return []
    return [f"no option was followed alone: {', '.join(f'{task}={state}' for task, state in states.items())}"]


def _name(instance: Instance) -> str:
    task_id, map_index = instance
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"
