"""Time zones by name, from the pinned tzdata package and never from the machine's own files.

Decides what a zone name means, so that every machine of a cluster means the same. Composition roots
pass `load_zone` to whatever compiles timetables.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from dagdeck_core.errors import UserError

_UTC_NAMES = frozenset({"utc", "z", "etc/utc"})
_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")


@functools.cache
def zone_names() -> frozenset[str]:
    """Every zone name that `load_zone` knows, besides fixed offsets such as `+02:00`."""
    listed = importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(listed.split())


@functools.lru_cache(maxsize=1024)
def load_zone(name: str) -> tzinfo:
    """The zone of an IANA name, of `UTC`, or of a fixed offset (`+02:00`, `UTC-5`).

    Equal names give the same object. Raises UserError for an unknown name, with names like it.
    """
    if name.strip().lower() in _UTC_NAMES:
        return UTC
    fixed = _FIXED.fullmatch(name.strip())
    if fixed is not None:
        return _fixed_offset(name, fixed)
    if name not in zone_names():
        raise UserError("unknown time zone", field="timezone", value=name, remedy=_suggest(name))
    path = importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with path.open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def _fixed_offset(name: str, match: re.Match[str]) -> tzinfo:
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    if offset >= timedelta(hours=24) or int(minutes or 0) > 59:
        raise UserError(
            "a fixed offset lies between -23:59 and +23:59", field="timezone", value=name, remedy="Use +02:00"
        )
    return timezone(-offset if sign == "-" else offset)


def _suggest(name: str) -> str:
    """What to write instead: the same name in its right case, names of the same city, or examples."""
    wanted = name.strip().lower().replace(" ", "_")
    exact = [known for known in sorted(zone_names()) if known.lower() == wanted]
    city = wanted.rpartition("/")[2]
    alike = exact or [known for known in sorted(zone_names()) if known.lower().rpartition("/")[2] == city]
    if alike:
        return f"Did you mean {', '.join(alike[:3])}?"
    return "Use an IANA name such as UTC, Europe/Berlin or America/New_York"
