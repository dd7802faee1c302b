"""Cron expressions: what they mean, when they fire in a zone, and how to say it in words.

Decides everything about cron and nothing about dag runs (`dagdeck_core.timetables` builds on this).
Called by timetables, by the API's validation and by the desktop's schedule editor.
"""

from __future__ import annotations

from dagdeck_core.cron.clock_changes import ClockChange, clock_changes
from dagdeck_core.cron.describe import describe
from dagdeck_core.cron.fires import CronFires
from dagdeck_core.cron.parsing import PRESETS, CronError, CronExpression, parse_cron

__all__ = [
    "PRESETS",
    "ClockChange",
    "CronError",
    "CronExpression",
    "CronFires",
    "clock_changes",
    "describe",
    "parse_cron",
]
