"""Functions and modules that templates find under `macros`.

Decides nothing but their names, which are Airflow's: `macros.ds_add(ds, 7)`.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime, timedelta
from random import random
from typing import Any

__all__ = [
    "datetime",
    "datetime_diff_for_humans",
    "ds_add",
    "ds_format",
    "ds_format_locale",
    "json",
    "random",
    "time",
    "timedelta",
    "uuid",
]


def ds_add(ds: str, days: int) -> str:
    """The date `ds` (YYYY-MM-DD) moved by `days`, which may be negative."""
    return (datetime.strptime(str(ds), "%Y-%m-%d") + timedelta(days=days)).strftime("%Y-%m-%d")  # noqa: DTZ007


def ds_format(ds: str, input_format: str, output_format: str) -> str:
    """A date written in one format, written in another; formats as for strftime."""
    return datetime.strptime(str(ds), input_format).strftime(output_format)  # noqa: DTZ007


def ds_format_locale(ds: str, input_format: str, output_format: str, locale: Any = None) -> str:
    """As `ds_format`, in the words of a locale; the output format is babel's, which must be installed."""
    from babel.dates import format_datetime  # type: ignore[import-not-found]

    text: str = format_datetime(
        datetime.strptime(str(ds), input_format),  # noqa: DTZ007
        format=output_format,
        locale=locale,
    )
    return text


def datetime_diff_for_humans(dt: datetime, since: datetime | None = None) -> str:
    """How long ago or ahead `dt` lies, in words, from now or from `since`."""
    import pendulum

    moment = pendulum.instance(dt)
    return moment.diff_for_humans() if since is None else moment.diff_for_humans(pendulum.instance(since))


def __getattr__(name: str) -> Any:
    if name == "dateutil":
        import dateutil.parser
        import dateutil.relativedelta

        return dateutil
    from dagdeck import plugins

    if name in plugins.registered():
        return plugins.macros_of(name)
    raise AttributeError(f"macros has no {name!r}")
