"""Nothing grows without end: every table has a limit that somebody has thought of."""

from __future__ import annotations

from collections import Counter

from dagdeck_io.db.limits import FOLDER_LIMITS, TABLE_LIMITS
from dagdeck_io.db.tables import metadata
from dagdeck_io.settings.model import SETTINGS


def test_every_table_has_a_limit() -> None:
    named = Counter(table for limit in TABLE_LIMITS for table in limit.of)
    assert sorted(set(metadata.tables) - set(named)) == [], "say in dagdeck_io.db.limits what bounds it"
    assert sorted(set(named) - set(metadata.tables)) == []
    assert [table for table, count in named.items() if count > 1] == []


def test_every_limit_is_a_setting_or_has_a_reason() -> None:
    for limit in (*TABLE_LIMITS, *FOLDER_LIMITS):
        assert limit.settings or limit.how, limit.of
        assert [name for name in limit.settings if name not in SETTINGS] == []


def test_every_setting_of_retention_bounds_something() -> None:
    used = {name for limit in (*TABLE_LIMITS, *FOLDER_LIMITS) for name in limit.settings}
    ages = {name for name in SETTINGS if name.startswith("retention.") and name.endswith("_days")}
    assert ages - used == set()
