"""Settings of workers, and of what tasks write.

Decides these settings' types, defaults, units and bounds. Does not decide where a value comes from (`load`).
Gathered by `model`.
"""

# ruff: noqa: RUF009 - a field of these dataclasses is a declaration, made by option().
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dagdeck_core.limits import LEAST_MEMORY
from dagdeck_io.settings.declaration import Derived, Reader, Unit, option

KB, MB, GB = 1024, 1024**2, 1024**3


def _plain_slots(cores: int) -> int:
    return max(4, 2 * cores)


def _check_queues(names: tuple[str, ...]) -> str | None:
    if not names:
        return "a worker needs at least one queue"
    too_long = [name for name in names if len(name) > 250]
    return "a queue's name has at most 250 characters" if too_long else None


def _check_memory_limit(size: int) -> str | None:
    return f"a limit is 0 or at least {LEAST_MEMORY} bytes" if 0 < size < LEAST_MEMORY else None


def _check_cgroup(text: str) -> str | None:
    return None if text in ("auto", "off") or text.startswith("/") else "this is neither auto, off nor a whole path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Workers: they take work from queues and run it."""

    READERS: ClassVar = (Reader.WORKER,)

    name: str = option(
        "Name that stays the same over restarts; unique in a cluster.",
        default=Derived("the host's name", lambda at: at.hostname, "worker-1"),
    )
    queues: tuple[str, ...] = option(
        "Queues to take work from; earlier ones first.", default=("default",), check=_check_queues
    )
    slots: int = option(
        "Tasks that run at the same time.",
        default=Derived(
            "two per core, at least 4; standalone 8", lambda at: 8 if at.standalone else _plain_slots(at.cores), 8
        ),
        unit=Unit.COUNT,
        low=1,
        high=4096,
    )
    recycle_after_tasks: int = option(
        "Tasks after which a runner process is replaced.", default=500, unit=Unit.COUNT, low=1, high=1_000_000
    )
    memory_growth_limit: int = option(
        "Growth of a runner process's memory after which it is replaced.",
        default=256 * MB,
        unit=Unit.BYTES,
        low=MB,
        high=1024 * GB,
    )
    term_grace: float = option(
        "Time that a cancelled task has between SIGTERM and SIGKILL.", default=5.0, unit=Unit.SECONDS, low=0, high=3600
    )
    drain_timeout: float = option(
        "How long a stopping worker lets its tasks run on.",
        default=10 * 60.0,
        unit=Unit.SECONDS,
        low=0,
        high=7 * 86_400,
    )
    prefetch_below: float = option(
        "Only tasks that were measured shorter than this are claimed ahead of a free slot.",
        default=0.05,
        unit=Unit.SECONDS,
        low=0,
        high=10,
    )
    prefetch_limit: int = option(
        "Most tasks claimed ahead of a free slot.", default=128, unit=Unit.COUNT, low=0, high=10_000
    )
    poll_interval: float = option(
        "How often a busy worker looks for work in the database while the queue is off or down.",
        default=0.2,
        unit=Unit.SECONDS,
        low=0.01,
        high=60,
    )
    poll_idle_interval: float = option(
        "How often an idle worker does.", default=1.0, unit=Unit.SECONDS, low=0.01, high=60
    )
    log_ship_interval: float = option(
        "How often the output of a running task is stored.", default=2.0, unit=Unit.SECONDS, low=0.1, high=300
    )
    log_ship_bytes: int = option(
        "Output after which it is stored at once.", default=256 * KB, unit=Unit.BYTES, low=KB, high=64 * MB
    )
    metrics_interval: float = option(
        "How often CPU, memory and network are measured.", default=1.0, unit=Unit.SECONDS, low=0.1, high=300
    )
    bundle_cache_bytes: int = option(
        "Disk space for cached DAG code; what was not used for longest goes first.",
        default=2 * GB,
        unit=Unit.BYTES,
        low=16 * MB,
        high=1024 * GB,
    )
    bundle_cache: Path = option(
        "Folder where DAG code is unpacked. Users whom tasks run as (run_as_user) must be able to enter it.",
        default=Derived("<paths.home>/bundles", lambda at: at.home / "bundles", "/var/cache/dagdeck"),
    )
    task_memory_limit: int = option(
        "Memory that a task and all its processes may use whose executor_config names no memory_limit; 0: any.",
        default=0,
        unit=Unit.BYTES,
        low=0,
        high=1024 * 1024 * GB,
        check=_check_memory_limit,
    )
    task_cpu_limit: float = option(
        "CPU cores that a task gets at most whose executor_config names no cpu_limit; 0: any. Kept by control groups.",
        default=0.0,
        low=0,
        high=4096,
    )
    task_cpu_time_limit: float = option(
        "CPU time that a task may use whose executor_config names no cpu_time_limit; 0: any.",
        default=0.0,
        unit=Unit.SECONDS,
        low=0,
        high=365 * 86_400,
    )
    cgroup: str = option(
        "Control group (Linux, version 2) that the worker may divide, so that the kernel keeps the limits of tasks: a "
        "folder; auto for the worker's own group if systemd has delegated it; or off.",
        default="auto",
        check=_check_cgroup,
    )
    run_as_users: tuple[str, ...] = option(
        "Users that tasks may name as their run_as_user on a worker that runs as root; * is everybody but root.",
        default=("*",),
    )
    triggerer: bool = option("Run the triggers of deferred tasks too.", default=True)
    trigger_capacity: int = option(
        "Most triggers at the same time.", default=5_000, unit=Unit.COUNT, low=1, high=1_000_000
    )
    trigger_poll_interval: float = option(
        "How often it looks for triggers that nobody runs, and for cancelled ones.",
        default=2.0,
        unit=Unit.SECONDS,
        low=0.1,
        high=300,
    )
    trigger_block_limit: float = option(
        "A trigger that holds up all others for longer is named in its task's log.",
        default=0.5,
        unit=Unit.SECONDS,
        low=0.05,
        high=300,
    )
    portable_processes: bool = option(
        "Run tasks without the Linux process features, as on other systems.", default=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What tasks write."""

    READERS: ClassVar = (Reader.WORKER,)

    max_bytes_per_try: int = option(
        "Output kept of one try: its head and its last lines.",
        default=64 * MB,
        unit=Unit.BYTES,
        low=64 * KB,
        high=16 * GB,
    )
    retention_days: float = option(
        "How long tasks' logs are kept.",
        default=30.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
        readers=(Reader.SCHEDULER,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class XCom:
    """Values that tasks pass on."""

    READERS: ClassVar = (Reader.WORKER,)

    max_bytes: int = option("Largest value, as JSON.", default=4 * MB, unit=Unit.BYTES, low=KB, high=256 * MB)
    backend: str = option(
        "Class that writes and reads values in the tasks' processes, as package.module.Class; empty for DagDeck's own.",
        default="",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStore:
    """Values that tasks keep in their state store."""

    READERS: ClassVar = (Reader.WORKER, Reader.API)

    default_retention_days: int = option(
        "How long a task's state is kept that does not say; 0 keeps it as long as its run.",
        default=30,
        unit=Unit.DAYS,
        low=0,
        high=36_500,
    )
