"""Functions about time zones, under the names of `airflow.sdk.timezone`.

Decides that naive times are UTC and that times are pendulum's. Used in DAG files and custom operators.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pendulum
from pendulum import DateTime
from pendulum.tz import fixed_timezone
from pendulum.tz import local_timezone as zone_of_this_machine
from pendulum.tz.timezone import FixedTimezone, Timezone

utc = pendulum.UTC
TIMEZONE = utc
"""The zone of naive times."""


def is_localized(value: dt.datetime) -> bool:
    """Whether the time has a zone."""
    return value.utcoffset() is not None


def is_naive(value: dt.datetime) -> bool:
    """Whether the time lacks a zone."""
    return value.utcoffset() is None


def utcnow() -> DateTime:
    """Now, in UTC."""
    return pendulum.now(utc)


def utc_epoch() -> DateTime:
    """The first moment of 1970 in UTC."""
    return pendulum.datetime(1970, 1, 1, tz=utc)


def datetime(*args: Any, **kwargs: Any) -> DateTime:
    """A time of the given parts, in UTC unless `tzinfo` says otherwise."""
    kwargs.setdefault("tzinfo", utc)
    return pendulum.instance(dt.datetime(*args, **kwargs))  # noqa: DTZ001 - it has one


def parse(string: str, timezone: dt.tzinfo | None = None, *, strict: bool = False) -> DateTime:
    """The time that a text writes; one without offset is in `timezone`, else UTC. Raises ValueError."""
    found = pendulum.parse(string, tz=timezone or TIMEZONE, strict=strict)
    if not isinstance(found, DateTime):
        raise ValueError(f"{string!r} writes no moment")
    return found


def convert_to_utc(value: dt.datetime | None) -> DateTime | None:
    """The same moment in UTC; a naive time is UTC already."""
    if value is None:
        return None
    return pendulum.instance(value if is_localized(value) else value.replace(tzinfo=utc)).astimezone(utc)


def make_aware(value: dt.datetime | None, timezone: dt.tzinfo | None = None) -> dt.datetime | None:
    """A naive time with a zone, UTC unless given. Raises ValueError for a time that has one already."""
    if value is None:
        return None
    if is_localized(value):
        raise ValueError(f"this time has a zone already: {value!r}")
    aware = value.replace(tzinfo=timezone or TIMEZONE)
    return pendulum.instance(aware) if isinstance(value, DateTime) else aware


def make_naive(value: dt.datetime, timezone: dt.tzinfo | None = None) -> dt.datetime:
    """What a clock in `timezone` (UTC unless given) shows at this time, without a zone.

    Raises ValueError for a naive time.
    """
    if is_naive(value):
        raise ValueError(f"this time has no zone: {value!r}")
    shown = value.astimezone(timezone or TIMEZONE)
    return shown.replace(tzinfo=None)


def coerce_datetime(v: dt.datetime | None, tz: dt.tzinfo | None = None) -> DateTime | None:
    """An aware pendulum time: a naive one is in `tz`, else UTC; an aware one moves to `tz` if that is given."""
    if v is None:
        return None
    if is_naive(v):
        return pendulum.instance(v.replace(tzinfo=tz or TIMEZONE))
    found = pendulum.instance(v)
    return found if tz is None else found.astimezone(tz)


def parse_timezone(name: str | int) -> FixedTimezone | Timezone:
    """The zone of a name, or of an offset in seconds. Raises pendulum's InvalidTimezone."""
    if isinstance(name, int):
        return fixed_timezone(name)
    return utc if name.lower() == "utc" else Timezone(name)


def local_timezone() -> FixedTimezone | Timezone:
    """The zone of this machine."""
    return zone_of_this_machine()


def from_timestamp(timestamp: int | float, tz: str | FixedTimezone | Timezone = utc) -> DateTime:
    """The moment so many seconds after 1970; `tz` may be "local"."""
    zone = local_timezone() if tz == "local" else parse_timezone(tz) if isinstance(tz, str) else tz
    return pendulum.from_timestamp(timestamp).astimezone(zone)


def td_format(td_object: dt.timedelta | float | int | None) -> str | None:
    """A duration in short words such as `1h:2M:32s` (months have 30 days); None for none at all."""
    if not td_object:
        return None
    seconds = int(td_object.total_seconds() if isinstance(td_object, dt.timedelta) else td_object)
    parts = []
    for unit, length in (("y", 360 * 86_400), ("m", 30 * 86_400), ("d", 86_400), ("h", 3600), ("M", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return ":".join(parts) or "<1s"


__all__ = [
    "TIMEZONE",
    "coerce_datetime",
    "convert_to_utc",
    "datetime",
    "from_timestamp",
    "is_localized",
    "is_naive",
    "local_timezone",
    "make_aware",
    "make_naive",
    "parse",
    "parse_timezone",
    "td_format",
    "utc",
    "utc_epoch",
    "utcnow",
]
