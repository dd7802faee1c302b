"""Periods of retention for tests: everything is kept for long, unless a test says otherwise.

Decides only that. Called by the tests that delete old rows.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

from dagdeck_io.db.sweeps import RetentionPeriods

CENTURY = timedelta(days=36_500)


def periods(**given: Any) -> RetentionPeriods:
    """Periods in which only what is `given` is short."""
    ages = [each.name for each in fields(RetentionPeriods) if each.name not in ("rows_per_step", "longest_step")]
    return RetentionPeriods(**{**dict.fromkeys(ages, CENTURY), "longest_step": 60.0, **given})


def months(**given: Any) -> RetentionPeriods:
    """Periods of thirty days each, apart from what is `given`."""
    ages = [each.name for each in fields(RetentionPeriods) if each.name not in ("rows_per_step", "longest_step")]
    return periods(**{**dict.fromkeys(ages, timedelta(days=30)), **given})
