"""Which cron expressions are valid, what they name, and what people read about the others."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from dagdeck_core.cron import PRESETS, CronError, CronFires, describe, parse_cron
from dagdeck_core.dst import AIRFLOW_DST, DstElapsed
from dagdeck_core.errors import UserError
from dagdeck_core.zones import zone_offsets

# A Thursday.
START = datetime(2026, 1, 1, tzinfo=UTC)


def fires_of(expression: str, count: int, start: datetime = START) -> list[str]:
    """The first fires at or after `start`, in UTC, as short text."""
    fires = CronFires(parse_cron(expression), zone_offsets(UTC), AIRFLOW_DST)
    found: list[str] = []
    at = fires.at_or_after(start)
    while at is not None and len(found) < count:
        found.append(at.strftime("%m-%d %H:%M" if at.second == 0 else "%m-%d %H:%M:%S"))
        at = fires.next_after(at)
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["01-01 00:00", "01-01 00:01", "01-01 00:02"]),
        ("*/20 * * * *", ["01-01 00:00", "01-01 00:20", "01-01 00:40", "01-01 01:00"]),
        ("5/20 * * * *", ["01-01 00:05", "01-01 00:25", "01-01 00:45", "01-01 01:05"]),
        ("10-30/10 6 * * *", ["01-01 06:10", "01-01 06:20", "01-01 06:30", "01-02 06:10"]),
        ("0 22-2/2 * * *", ["01-01 00:00", "01-01 02:00", "01-01 22:00"]),
        ("0 0,12 1 */2 *", ["01-01 00:00", "01-01 12:00", "03-01 00:00", "03-01 12:00"]),
        ("30 21 * * fri", ["01-02 21:30", "01-09 21:30"]),
        ("0 4 8-14 * *", ["01-08 04:00", "01-09 04:00"]),
        ("0 0 * * 0", ["01-04 00:00", "01-11 00:00"]),
        ("0 0 * * 7", ["01-04 00:00", "01-11 00:00"]),
        ("0 0 * * 6-7", ["01-03 00:00", "01-04 00:00", "01-10 00:00"]),
        ("0 0 * * fri-mon", ["01-02 00:00", "01-03 00:00", "01-04 00:00", "01-05 00:00", "01-09 00:00"]),
        ("0 0 * * 7-2", ["01-04 00:00", "01-05 00:00", "01-06 00:00", "01-11 00:00"]),
        ("0 0 * * MON-FRI/2", ["01-02 00:00", "01-05 00:00", "01-07 00:00"]),
        ("0 0 * NOV-FEB *", ["01-01 00:00", "01-02 00:00"]),
        ("0 0 31 * *", ["01-31 00:00", "03-31 00:00", "05-31 00:00"]),
        ("0 0 L * *", ["01-31 00:00", "02-28 00:00", "03-31 00:00", "04-30 00:00"]),
        ("0 0 1,L * *", ["01-01 00:00", "01-31 00:00", "02-01 00:00", "02-28 00:00"]),
        ("0 0 * * 5L", ["01-30 00:00", "02-27 00:00", "03-27 00:00"]),
        ("0 0 * * L5", ["01-30 00:00", "02-27 00:00", "03-27 00:00"]),
        ("0 0 * * friL", ["01-30 00:00", "02-27 00:00", "03-27 00:00"]),
        ("0 0 * * mon#2", ["01-12 00:00", "02-09 00:00", "03-09 00:00"]),
        ("0 0 * * 0#1,4#5", ["01-04 00:00", "01-29 00:00", "02-01 00:00", "03-01 00:00", "04-05 00:00"]),
        ("0 0 ? * mon", ["01-05 00:00", "01-12 00:00"]),
        ("0 0 15 * ?", ["01-15 00:00", "02-15 00:00"]),
        ("* * * * * */30", ["01-01 00:00", "01-01 00:00:30", "01-01 00:01"]),
        ("0 12 * * * 15,45", ["01-01 12:00:15", "01-01 12:00:45", "01-02 12:00:15"]),
        ("@hourly", ["01-01 00:00", "01-01 01:00"]),
        ("@weekly", ["01-04 00:00", "01-11 00:00"]),
        ("@quarterly", ["01-01 00:00", "04-01 00:00", "07-01 00:00", "10-01 00:00"]),
        ("  @Daily ", ["01-01 00:00", "01-02 00:00"]),
        ("*/60 */24 * * *", ["01-01 00:00", "01-02 00:00"]),
    ],
)
def test_what_an_expression_names(expression: str, expected: list[str]) -> None:
    assert fires_of(expression, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Both fields restricted: one match suffices.
        ("0 0 13 * fri", ["01-02 00:00", "01-09 00:00", "01-13 00:00", "01-16 00:00"]),
        ("0 0 13 * fri#1", ["01-02 00:00", "01-13 00:00", "02-06 00:00", "02-13 00:00"]),
        # A field that starts with a star is not "restricted", though it leaves days out.
        ("0 0 */2 * fri", ["01-09 00:00", "01-23 00:00", "02-13 00:00", "02-27 00:00"]),
        ("0 0 13 * */5", ["02-13 00:00", "03-13 00:00", "09-13 00:00"]),
    ],
)
def test_day_of_month_and_day_of_week_combine_as_in_standard_cron(expression: str, expected: list[str]) -> None:
    assert fires_of(expression, len(expected)) == expected


def test_leap_days_and_century_gaps_are_found_in_both_directions() -> None:
    fires = CronFires(parse_cron("0 0 29 2 *"), zone_offsets(UTC), AIRFLOW_DST)
    assert fires.next_after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)
    assert fires.previous_before(datetime(2104, 2, 29, tzinfo=UTC)) == datetime(2096, 2, 29, tzinfo=UTC)
    # The 29th of February on a Friday, across 2100: the longest wait there is.
    fridays = CronFires(parse_cron("0 0 29 2 */5"), zone_offsets(UTC), AIRFLOW_DST)
    found = list(fridays.between(datetime(2080, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)))
    assert found
    assert all((day.month, day.day, day.isoweekday()) in {(2, 29, 5), (2, 29, 7)} for day in found)
    assert max(later - earlier for earlier, later in itertools.pairwise(found)) > timedelta(days=365 * 11)


def test_the_calendar_ends_without_an_endless_search() -> None:
    fires = CronFires(parse_cron("0 0 1 1 *"), zone_offsets(UTC), AIRFLOW_DST)
    assert fires.next_after(datetime(9998, 6, 1, tzinfo=UTC)) is None
    assert fires.previous_before(datetime(2, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("61 * * * *", ["'minute'", "'61'", "0-59"]),
        ("* 24 * * *", ["'hour'", "'24'", "0-23"]),
        ("* * 0 * *", ["'day of month'", "'0'", "1-31"]),
        ("* * * 13 *", ["'month'", "'13'", "1-12", "jan-dec"]),
        ("* * * * 8", ["'day of week'", "'8'", "0-7", "sun-sat"]),
        ("* * * * * 60", ["'second'", "'60'", "0-59"]),
        ("* * * foo *", ["'month'", "'foo'", "known name"]),
        ("* * * * monday", ["'day of week'", "'monday'"]),
        ("-5 * * * *", ["'minute'", "''"]),
        ("1- * * * *", ["'minute'"]),
        ("1,,2 * * * *", ["'minute'", "empty"]),
        ("*/0 * * * *", ["'minute'", "'*/0'", "step"]),
        ("*/x * * * *", ["'minute'", "'*/x'", "step"]),
        ("*/ * * * *", ["'minute'", "'*/'", "step"]),
        ("99999999999999999999 * * * *", ["'minute'", "out of range"]),
        ("? * * * *", ["'minute'", "?"]),
        ("* * L-3 * *", ["'day of month'", "'l-3'", "L alone"]),
        ("* * 15W * *", ["'day of month'", "'15w'"]),
        ("* * * * L", ["'day of week'", "5L"]),
        ("* * * * mon#6", ["'day of week'", "'mon#6'", "1 to 5"]),
        ("* * * * mon#", ["'day of week'", "'mon#'"]),
        ("²  * * * *", ["'minute'", "number"]),
        ("* * * *", ["5 fields", "this has 4"]),
        ("* * * * * * *", ["5 fields", "this has 7"]),
        ("", ["this has 0"]),
        ("@fortnightly", ["unknown preset", "@fortnightly", "@daily"]),
        ("@once", ["not a cron expression", "schedule='@once'"]),
        ("0 0 30 2 *", ["no such day", "30 2 *", "L"]),
        ("0 0 31 4,6,9,11 *", ["no such day"]),
        ("0 0 30 2 */2", ["no such day"]),
        ("* " * 600, ["1200 characters"]),
    ],
)
def test_a_wrong_expression_is_told_with_its_place_and_a_remedy(expression: str, parts: list[str]) -> None:
    with pytest.raises(CronError) as caught:
        parse_cron(expression)
    assert isinstance(caught.value, UserError)
    assert caught.value.field == "schedule"
    message = str(caught.value)
    for part in parts:
        assert part in message


def test_the_text_of_a_preset_is_its_expression() -> None:
    assert {name: parse_cron(name).text for name in PRESETS} == dict(PRESETS)
    assert parse_cron(" 0  6 * *   MON ").text == "0 6 * * MON"


def test_which_expressions_follow_elapsed_time() -> None:
    rules = (DstElapsed.EVERY_HOUR, DstElapsed.WILDCARD, DstElapsed.NEVER)
    table = {
        "30 * * * *": (True, True, False),
        "30 0-23 * * *": (True, False, False),
        "0 */2 * * *": (False, True, False),
        "*/5 2 * * *": (False, True, False),
        "30 2 * * *": (False, False, False),
    }
    for expression, expected in table.items():
        parsed = parse_cron(expression)
        assert tuple(parsed.follows_elapsed_time(rule) for rule in rules) == expected, expression


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0,15,30,45 * * * *", "Every 15 minutes"),
        ("@hourly", "Every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("1 * * * *", "At 1 minute past the hour"),
        ("30 */2 * * *", "At 30 minutes past the hour, every 2 hours"),
        ("*/10 9-17 * * *", "Every 10 minutes, during hours 9 through 17"),
        ("0 8-17 * * *", "On the hour, during hours 8 through 17"),
        ("* * * * * *", "Every second"),
        ("* * * * * */10", "Every 10 seconds"),
        ("0 12 * * * 30", "At 12:00:30"),
        ("0,30 8 * * *", "At 08:00 and 08:30"),
        ("30 21 * * 5", "At 21:30 on Friday"),
        ("30 6 * * mon-fri", "At 06:30 on Monday through Friday"),
        ("0 6 * * fri-mon", "At 06:00 on Monday and Friday through Sunday"),
        ("0 0 1,15 * mon", "At 00:00 on days 1 and 15 of the month or on Monday"),
        ("0 0 */2 * mon", "At 00:00 on Monday, only if it is also every 2nd day of the month"),
        ("0 0 15,L * *", "At 00:00 on day 15 and the last day of the month"),
        ("0 0 * * 5L,mon#2", "At 00:00 on the second Monday of the month and the last Friday of the month"),
        ("@quarterly", "At 00:00 on day 1 of the month in January, April, July and October"),
        ("0 0 * jun-aug *", "At 00:00 in June through August"),
    ],
)
def test_an_expression_in_words(expression: str, text: str) -> None:
    assert describe(parse_cron(expression)) == text
