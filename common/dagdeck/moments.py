"""Moments as operators and sensors compare them: aware, in the DAG's time zone where they come without one.

Decides what a date without a zone means to a task. Does not decide which run's date is meant. Used by operators
and sensors that compare the time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.timetables import load_zone

if TYPE_CHECKING:
    from dagdeck.context import Context
    from dagdeck.operator import BaseOperator


def aware(moment: datetime, zone: str) -> datetime:
    """`moment` as it is when it has a zone, else taken as local time of `zone`."""
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=load_zone(zone))


def at(day: date, time_of_day: time, zone: str) -> datetime:
    """The moment of a day at which clocks in the time's own zone, or else in `zone`, show `time_of_day`."""
    return aware(datetime.combine(day, time_of_day), zone)


def parse_moment(value: Any, zone: str, *, subject: str, field: str) -> datetime:
    """An aware datetime of a datetime or of text. Raises UserError for anything else."""
    if isinstance(value, datetime):
        return aware(value, zone)
    if isinstance(value, str):
        from dateutil import parser

        try:
            return aware(parser.isoparse(value), zone)
        except ValueError:
            pass
        try:
            return aware(parser.parse(value), zone)
        except (ValueError, OverflowError) as error:
            raise invalid(
                "this is no date", subject=subject, field=field, value=value, remedy="Write 2026-01-31T06:00:00+00:00"
            ) from error
    raise invalid("this must be a datetime or text", subject=subject, field=field, value=value, error=InvalidArguments)


def date_of_run(context: Context) -> datetime:
    """The run's logical date; where it has none, the moment after which it could run."""
    found: datetime = context.get("logical_date") or context["dag_run"].run_after
    return found


def now() -> datetime:
    """The time now, aware UTC."""
    return datetime.now(UTC)


def zone_of(operator: BaseOperator) -> str:
    """The zone of the operator's DAG; UTC for one without DAG."""
    return operator.dag.timezone if operator.has_dag() else "UTC"


def plain(moment: datetime) -> datetime:
    """The same moment as a datetime of the standard library, in UTC."""
    return datetime.fromtimestamp(0, UTC) + (moment - datetime.fromtimestamp(0, UTC))
