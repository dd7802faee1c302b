"""Times, lengths, sizes and counts in the words that people use.

Decides formats only. Used by view models and views.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

_KILO = 1024.0


def duration_text(seconds: float | None) -> str:
    """A length of time: "42 s", "12 m 41 s", "3 h 05 m"; "–" for none."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{max(0, round(seconds * 1000))} ms" if seconds > 0 else "0 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def clock_text(seconds: float) -> str:
    """How long something runs already, counting: "3:07"."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3_600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def time_text(at: datetime | None, now: datetime | None = None, zone: tzinfo | None = None) -> str:
    """A time in the computer's zone: only the clock for today, with the date for other days; "–" for none."""
    if at is None:
        return "–"
    local = at.astimezone(zone)
    today = (now or datetime.now(UTC)).astimezone(zone)
    return local.strftime("%H:%M:%S") if local.date() == today.date() else local.strftime("%Y-%m-%d %H:%M")


def full_time_text(at: datetime | None, zone: tzinfo | None = None) -> str:
    """A time with its date and zone, for tool tips and details; "–" for none."""
    return "–" if at is None else at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z").strip()


def distance_text(at: datetime | None, now: datetime | None = None) -> str:
    """How far a time is from now: "in 3 m", "2 h ago"; "–" for none."""
    if at is None:
        return "–"
    seconds = (at - (now or datetime.now(UTC))).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = _coarse(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def bytes_text(count: float | None) -> str:
    """A size in memory: "812 MB"; "–" for none."""
    if count is None:
        return "–"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if abs(count) < _KILO or unit == "TB":
            digits = 1 if unit != "B" and (abs(count) < 10 or (unit in ("GB", "TB") and abs(count) < 100)) else 0
            return f"{count:.{digits}f} {unit}"
        count /= _KILO
    return "–"


def percent_text(share: float | None) -> str:
    """A share of one: "83.3 %"; "–" for none."""
    if share is None:
        return "–"
    text = f"{share * 100:.1f}"
    return f"{text.removesuffix('.0')} %"


def count_text(count: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 task", "1,204 tasks"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _coarse(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
