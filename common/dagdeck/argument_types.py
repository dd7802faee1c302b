"""Checks and conversions of the values that DAGs and operators are given.

Decides which types and ranges are right and what a wrong one is told. Does not decide defaults
(`dagdeck.operator_arguments`). Every function takes the subject and the field for its message and
raises UserError.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from dagdeck.exceptions import close_match, invalid
from dagdeck_core.spec import TriggerRule, WeightRule

E = TypeVar("E", bound=StrEnum)

_OLD_TRIGGER_RULES = {
    "dummy": TriggerRule.ALWAYS,
    "none_failed_or_skipped": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
}


def whole_number(value: Any, *, subject: str, field: str, low: int = 0) -> int:
    """An integer not below `low`; text that holds one counts."""
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid("this must be a whole number", subject=subject, field=field, value=value)
    if value < low:
        raise invalid(f"this must be {low} or more", subject=subject, field=field, value=value)
    return value


def duration(value: Any, *, subject: str, field: str) -> timedelta:
    """A timedelta, or a number of seconds as one; not negative."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            value = timedelta(seconds=value)
        except (OverflowError, ValueError) as error:
            raise invalid("this is no duration", subject=subject, field=field, value=value) from error
    if not isinstance(value, timedelta):
        raise invalid(
            "this must be a timedelta or a number of seconds",
            subject=subject,
            field=field,
            value=value,
            remedy="For example timedelta(minutes=5)",
        )
    if value < timedelta(0):
        raise invalid("a duration cannot be negative", subject=subject, field=field, value=value)
    return value


def strict_timedelta(value: Any, *, subject: str, field: str) -> timedelta:
    """A positive timedelta; Airflow takes no bare number here."""
    if not isinstance(value, timedelta):
        raise invalid(
            "this must be a timedelta",
            subject=subject,
            field=field,
            value=value,
            remedy="For example timedelta(minutes=5)",
        )
    if value <= timedelta(0):
        raise invalid("this must be longer than zero", subject=subject, field=field, value=value)
    return value


def moment(value: Any, *, subject: str, field: str) -> datetime:
    """A datetime, aware as it is or else taken as UTC; ISO text counts."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise invalid(
                "this is no date", subject=subject, field=field, value=value, remedy="Write for example 2026-01-31"
            ) from error
    if not isinstance(value, datetime):
        raise invalid(
            "this must be a datetime",
            subject=subject,
            field=field,
            value=value,
            remedy="For example datetime(2026, 1, 31, tzinfo=UTC)",
        )
    return value if value.utcoffset() is not None else value.replace(tzinfo=UTC)


def choice(value: Any, options: type[E], *, subject: str, field: str) -> E:
    """A member of `options`, given as itself or by its value."""
    text = value.value if isinstance(value, StrEnum) else value
    try:
        return options(text)
    except ValueError as error:
        names = [option.value for option in options]
        hint = close_match(text, names) if isinstance(text, str) else ""
        raise invalid(
            f"there is no such value{hint}",
            subject=subject,
            field=field,
            value=text,
            remedy="Use one of " + ", ".join(names),
        ) from error


def trigger_rule(value: Any, *, subject: str, field: str) -> TriggerRule:
    """A trigger rule; names that Airflow 2 had for one are understood."""
    text = value.value if isinstance(value, StrEnum) else value
    if isinstance(text, str) and text in _OLD_TRIGGER_RULES:
        return _OLD_TRIGGER_RULES[text]
    return choice(value, TriggerRule, subject=subject, field=field)


def weight_rule(value: Any, *, subject: str, field: str) -> str:
    """A weight rule, or the import path of a strategy class (also given as class or instance)."""
    text = value.value if isinstance(value, StrEnum) else value
    if isinstance(text, str):
        return text if "." in text else choice(text, WeightRule, subject=subject, field=field).value
    cls = text if isinstance(text, type) else type(text)
    if not hasattr(cls, "get_weight"):
        raise invalid(
            "this is neither a weight rule nor a priority strategy",
            subject=subject,
            field=field,
            value=value,
            remedy="Use one of " + ", ".join(rule.value for rule in WeightRule),
        )
    return f"{cls.__module__}.{cls.__qualname__}"


def text(value: Any, *, subject: str, field: str) -> str:
    """A string that is not empty."""
    if isinstance(value, StrEnum):
        return value.value
    if not isinstance(value, str) or not value:
        raise invalid("this must be text, and not empty", subject=subject, field=field, value=value)
    return value


def strings(value: Any, *, subject: str, field: str) -> tuple[str, ...]:
    """Several strings, given as one or as a collection."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Collection) or not all(isinstance(item, str) for item in value):
        raise invalid("this must be a list of strings", subject=subject, field=field, value=value)
    return tuple(value)
