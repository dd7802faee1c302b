"""Template filters for dates: `{{ logical_date | ds }}`.

Decides how a datetime is written by each filter. Used by `dagdeck.templating` and the context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime


def ds(value: datetime) -> str:
    """2026-01-31"""
    return value.strftime("%Y-%m-%d")


def ds_nodash(value: datetime) -> str:
    """20260131"""
    return value.strftime("%Y%m%d")


def ts(value: datetime) -> str:
    """2026-01-31T00:00:00+00:00"""
    return value.isoformat()


def ts_nodash(value: datetime) -> str:
    """20260131T000000"""
    return value.strftime("%Y%m%dT%H%M%S")


def ts_nodash_with_tz(value: datetime) -> str:
    """20260131T000000+0000"""
    return value.strftime("%Y%m%dT%H%M%S%z")


FILTERS: Mapping[str, Callable[[datetime], str]] = {
    "ds": ds,
    "ds_nodash": ds_nodash,
    "ts": ts,
    "ts_nodash": ts_nodash,
    "ts_nodash_with_tz": ts_nodash_with_tz,
}
