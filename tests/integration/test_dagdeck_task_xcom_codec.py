"""XCom values: written as JSON and read back as what they were."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pendulum
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck import Asset
from dagdeck.xcom_codec import TAG, XComError, decode, encode


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


class Level(enum.IntEnum):
    """An enum that is also a number."""

    HIGH = 3


@dataclass(frozen=True)
class Point:
    """A dataclass with nested values."""

    x: int
    when: datetime
    tags: tuple[str, ...] = ()
    derived: int = field(init=False, default=9)


class Pair(NamedTuple):
    """A named tuple."""

    left: Any
    right: Any


class Model(pydantic.BaseModel):
    """A pydantic model in a model."""

    name: str
    at: datetime
    inner: Model | None = None


BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 10, 25, 1, 30, 0, 123456, tzinfo=UTC)
Loose = namedtuple("Loose", "a b")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        2**70,
        1.5,
        "text \u20ac \U0001f600",
        [1, [2, {"a": None}]],
        {"a": {"b": []}},
        (1, ("a", [2])),
        {1, 2, 3},
        frozenset({"a"}),
        {1: "a", ("b", 2): [3]},
        {TAG: "mine"},
        float("inf"),
        float("-inf"),
        NOW,
        NOW.astimezone(BERLIN),
        datetime(2026, 1, 1),  # noqa: DTZ001
        pendulum.datetime(2026, 3, 29, 3, 30, tz="Europe/Berlin"),
        date(2026, 1, 31),
        time(5, 30, 1, 5),
        timedelta(days=-3, microseconds=7),
        timedelta(days=999_999_999, microseconds=1),
        Decimal("1.10"),
        UUID(int=5),
        Path("/a/b"),
        b"\x00\xff",
        Colour.RED,
        Level.HIGH,
        Point(1, NOW, ("a",)),
        Pair([1], NOW),
        Model(name="n", at=NOW, inner=Model(name="i", at=NOW)),
        Asset("a", extra={"x": 1}),
    ],
    ids=repr,
)
def test_values_come_back_as_they_were(value: Any) -> None:
    text = encode(value)
    found = decode(text)
    assert found == value
    assert type(found) is type(value)
    assert encode(found) == text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    if isinstance(value, datetime) and value.tzinfo is not None:
        assert found.utcoffset() == value.utcoffset()


def test_nan_and_subclasses_become_plain() -> None:
    assert math.isnan(decode(encode(float("nan"))))
    assert decode(encode(OrderedDict(a=1))) == {"a": 1}

    class Text(str):
        """Text with something more."""

    class Number(float):
        """A number as numpy's are."""

    assert decode(encode([Text("x"), Number(1.5)])) == ["x", 1.5]


def test_plain_values_are_plain_json() -> None:
    assert encode({"a": [1, 2.5, None, True, "x"]}) == '{"a":[1,2.5,null,true,"x"]}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.just(TAG) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_nesting_comes_back(value: Any) -> None:
    found = decode(encode(value))
    assert found == value
    assert repr(found) == repr(value)


class Local:
    """No data."""


def _circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _local_class() -> Any:
    @dataclass
    class Inside:
        """Defined where nobody finds it."""

        a: int = 1

    return Inside()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Local(), r"the value is a .*Local, which cannot be passed between tasks"),
        ({"a": [0, (Local(),)]}, r"the value\['a'\]\[1\]\[0\] is a .*Local"),
        (Point(1, NOW, (Local(),)), r"the value\.tags\[0\] is a .*Local"),  # type: ignore[arg-type]
        (lambda: 1, "the value is a builtins.function"),
        (_circular(), "nested more than 100 levels deep, or contains itself"),
        (_local_class(), "a class defined inside a function"),
        ("\ud800", "no valid Unicode"),
    ],
)
def test_what_cannot_travel_is_named_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(XComError, match=message):
        encode(value)


def test_size_limit_counts_bytes() -> None:
    assert encode("\u20ac" * 10, limit=32) == '"' + "\u20ac" * 10 + '"'
    with pytest.raises(XComError, match=r"the return value is 35 bytes as JSON; the limit of an XCom is 32 bytes"):
        encode("\u20ac" * 11, limit=32, what="the return value")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"__dagdeck__": "quantum", "value": 1}', "unknown kind 'quantum'; a newer DagDeck"),
        ('{"__dagdeck__": "decimal"}', "kind 'decimal' cannot be read"),
        ('{"__dagdeck__": "date", "value": "x"}', "kind 'date' cannot be read"),
        (
            '{"__dagdeck__": "dataclass", "class": "no.such:Thing", "value": {}}',
            "no.such.Thing, which cannot be imported",
        ),
        ('{"__dagdeck__": "dataclass", "class": "json:Thing", "value": {}}', "json.Thing, which cannot be imported"),
    ],
)
def test_damaged_values_are_refused(text: str, message: str) -> None:
    with pytest.raises(XComError, match=message):
        decode(text)
