"""What a schedule does when its zone moves the clock: the policy, as data.

Decides the vocabulary of the policy only; `dagdeck_core.cron_fires` applies it. Stored inside
timetable specs and shown to people before they save a schedule.
"""

from __future__ import annotations

import enum

import msgspec


class DstGap(enum.Enum):
    """What happens to a wall time that a forward move of the clock leaves out."""

    SKIP = "skip"
    """It does not run."""

    SHIFT = "shift"
    """It runs as long after the move as it would have stood past the move: 02:30 runs at 03:30."""

    AFTER = "after"
    """It runs at the first instant after the gap, once, however many times fell into the gap."""


class DstOverlap(enum.Enum):
    """Which occurrence counts of a wall time that a backward move of the clock repeats."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


class DstElapsed(enum.Enum):
    """Which expressions follow elapsed time: they run at every real occurrence and never shift."""

    EVERY_HOUR = "every_hour"
    """Those whose hour field names all 24 hours."""

    WILDCARD = "wildcard"
    """Those whose minute or hour field starts with `*`, as in the cron of Debian."""

    NEVER = "never"
    """None: gap and overlap rules apply to every expression."""


class DstPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How one schedule treats the moves of its zone's clock; the default is that of Airflow 3."""

    gap: DstGap = DstGap.SHIFT
    overlap: DstOverlap = DstOverlap.SECOND
    elapsed: DstElapsed = DstElapsed.EVERY_HOUR


AIRFLOW_DST = DstPolicy()
DEBIAN_DST = DstPolicy(gap=DstGap.AFTER, overlap=DstOverlap.FIRST, elapsed=DstElapsed.WILDCARD)
