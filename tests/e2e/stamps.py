"""What tasks themselves recorded: when each dispatch began, lived and ended, by the machine's own monotonic clock.

Decides when two dispatches of one task instance overlap. The stamps are written by the DAG files in `dags/`, a line
each, appended in one write, so a process that was killed or frozen proves by its last line how long it lived.
Called by `promises` and by tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True, kw_only=True)
class Execution:
    """One process that executed one dispatch. Times are seconds of CLOCK_BOOTTIME."""

    run_id: str
    task_id: str
    map_index: int
    dispatch_no: int
    try_number: int
    pid: int
    first: float
    last: float
    ended: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """The task instance."""
        return self.run_id, self.task_id, self.map_index


@dataclass(slots=True)
class StampFile:
    """The file to which all tasks of a cluster append."""

    path: Path
    _empty: list[Execution] = field(default_factory=list)

    def executions(self, run_id: str | None = None) -> list[Execution]:
        """All executions, in the order of their first stamps."""
        if not self.path.exists():
            return []
        found: dict[tuple[int, int], Execution] = {}
        for line in self.path.read_bytes().splitlines():
            run, task_id, map_index, dispatch_no, try_number, pid, event, at = json.loads(line)
            execution = found.get((dispatch_no, pid))
            if execution is None:
                execution = found[dispatch_no, pid] = Execution(
                    run_id=run,
                    task_id=task_id,
                    map_index=map_index,
                    dispatch_no=dispatch_no,
                    try_number=try_number,
                    pid=pid,
                    first=at,
                    last=at,
                )
            execution.last = max(execution.last, at)
            execution.ended = execution.ended or event == "end"
        every = sorted(found.values(), key=lambda execution: execution.first)
        return [execution for execution in every if run_id is None or execution.run_id == run_id]


def overlaps(executions: Iterable[Execution]) -> list[tuple[Execution, Execution]]:
    """Pairs of executions of one task instance that lived at the same time."""
    by_key: dict[tuple[str, str, int], list[Execution]] = {}
    for execution in sorted(executions, key=lambda execution: execution.first):
        by_key.setdefault(execution.key, []).append(execution)
    return [
        (earlier, later)
        for same in by_key.values()
        for number, later in enumerate(same)
        for earlier in same[:number]
        if earlier.last >= later.first
    ]
