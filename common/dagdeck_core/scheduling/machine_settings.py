"""The machine's bounds and times.

Decides their names and usual values; the composition root gives them out of the settings. Read by the machine's parts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """Bounds and times of the machine. Seconds unless the name says otherwise."""

    lease_time: float = 20.0
    max_rows: int = 2000
    """Most rows one step may write."""
    reoffer_after: float = 5.0
    """A queued dispatch that nobody claimed is offered again after this, then at doubling intervals."""
    most_runs_per_step: int = 10
    """Most runs one DAG creates in one step (catchup)."""
    most_downstream_keys: int = 1000
    """Most partitions to which one asset event leads, unless its mapper says otherwise."""
    lost_workers_limit: int = 3
    """So many workers lost in a row under one task instance fail it."""
    offered_per_task: int = 64
    """Most instances of one expanded task that compete for slots at a time: they are alike to every limit."""
    most_instances: int = 200_000
    """Most instances of one expanded task in one run."""
    mark_after: float = 0.5
    """A task instance that has waited so long for a slot is written as scheduled (see `World.mark_at`)."""
