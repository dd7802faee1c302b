"""What one task may use of a machine: memory, CPU cores, CPU time.

Decides how authors write limits (keys of `executor_config`), which of two limits holds, and what a task that was
ended for one is told. Does not measure or enforce anything (the worker does). Called when a DAG is serialised, and by
workers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from dagdeck_core.errors import UserError

MEMORY_KEY, CORES_KEY, TIME_KEY = "memory_limit", "cpu_limit", "cpu_time_limit"
"""Keys of executor_config."""
LEAST_MEMORY = 64 * 1024**2
"""An idle runner with its libraries takes about half of it."""
LEAST_CORES = 0.01
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class TaskLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes of memory, cores, and seconds of CPU time of a task's process and all that it started. 0: no limit."""

    memory: int = 0
    cores: float = 0.0
    cpu_seconds: float = 0.0

    def or_those_of(self, others: TaskLimits) -> TaskLimits:
        """These limits; where there is none, that of `others`."""
        return TaskLimits(
            memory=self.memory or others.memory,
            cores=self.cores or others.cores,
            cpu_seconds=self.cpu_seconds or others.cpu_seconds,
        )


def limits_of(executor_config: Mapping[str, Any]) -> TaskLimits | None:
    """The limits that `executor_config` asks for; None when it asks for none.

    Sizes are bytes or texts such as "512 MB" or "2Gi" (a K is 1,024), times are seconds, texts such as "5 min", or
    timedeltas. Raises UserError naming the key, the value and what may be written.
    """
    limits = TaskLimits(
        memory=_memory(executor_config.get(MEMORY_KEY)),
        cores=_cores(executor_config.get(CORES_KEY)),
        cpu_seconds=_cpu_seconds(executor_config.get(TIME_KEY)),
    )
    return None if limits == TaskLimits() else limits


def memory_exceeded(used: int, limit: int, *, own: bool) -> str:
    """What a task is told that used `used` bytes; 0 when the system ended it without saying. `own`: its own limit."""
    amount = f"{megabytes(used)} of memory" if used else "more memory"
    than = "" if used else " than it may"
    return f"it used {amount}{than} and was ended: its limit is {megabytes(limit)}, by {_source(MEMORY_KEY, own)}"


def cpu_time_exceeded(used: float, limit: float, *, own: bool) -> str:
    """What a task is told that used so many seconds of CPU time."""
    return f"it used {used:.1f} s of CPU time and was ended: its limit is {limit:g} s, by {_source(TIME_KEY, own)}"


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1024**2:,.0f} MB"


def _source(key: str, own: bool) -> str:
    return f"{key!r} of its executor_config" if own else f"the worker's setting worker.task_{key}"


def _memory(value: Any) -> int:
    if value is None:
        return 0
    size = value if isinstance(value, int) and not isinstance(value, bool) else _amount(value, _byte_unit)
    if size is None or not LEAST_MEMORY <= size < 2**62:
        raise _wrong(MEMORY_KEY, value, f'Write bytes or a text such as "512 MB", from {megabytes(LEAST_MEMORY)}')
    return int(size)


def _cores(value: Any) -> float:
    if value is None:
        return 0.0
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not LEAST_CORES <= value <= 4096:
        raise _wrong(CORES_KEY, value, f"Write a number of cores from {LEAST_CORES}, such as 1.5")
    return float(value)


def _cpu_seconds(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, timedelta):
        seconds: float | None = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        seconds = _amount(value, _SECONDS.get)
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        raise _wrong(TIME_KEY, value, 'Write seconds, a timedelta, or a text such as "5 min"')
    return seconds


def _amount(value: Any, factor_of: Any) -> float | None:
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    factor = factor_of(match[2].lower()) if match is not None else None
    return None if match is None or factor is None else float(match[1]) * factor


def _byte_unit(unit: str) -> int | None:
    """The factor of "m", "mb", "mi" or "mib"."""
    return _UNITS.get(unit) or (_UNITS.get(unit[0]) if unit[1:] in ("b", "i", "ib") and unit[0] != "b" else None)


def _wrong(key: str, value: Any, remedy: str) -> UserError:
    return UserError("this is no limit", field=f"executor_config[{key!r}]", value=value, remedy=remedy)
