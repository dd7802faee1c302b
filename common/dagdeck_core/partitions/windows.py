"""Windows and wait policies: which upstream items make up one downstream period, and when there are enough.

Decides the members of every built-in window and the counting of wait policies. Does not read or write keys: the
mapper beside a window does. Called by the mappers of this package; DAG authors subclass `Window`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_core.partitions import specs
from dagdeck_core.partitions.specs import (
    CustomWaitSpec,
    CustomWindowSpec,
    MinimumCountSpec,
    Period,
    PeriodWindowSpec,
    SegmentWindowSpec,
    WaitForAllSpec,
    WaitSpec,
    WindowSpec,
)

Step = Callable[[datetime, int], datetime]


def is_authors_own(cls: type, methods: Iterable[str]) -> bool:
    """Whether a class that is not ours does one of these in a way of its own, so that only its code can."""
    is_ours = cls.__module__.partition(".")[0] in ("dagdeck", "dagdeck_core")
    return not is_ours and any(name in vars(cls) for name in methods)


class Window(ABC):
    """The upstream items of one downstream period, in the form to which the paired mapper decodes keys."""

    Direction = specs.Direction
    expected_decoded_type: ClassVar[type] = str
    """What `to_upstream` takes; a mapper that decodes to something else cannot be paired with the window."""

    def __init__(self, *, direction: specs.Direction | str = specs.Direction.FORWARD) -> None:
        self.direction = specs.Direction(direction)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if is_authors_own(cls, ("to_upstream", "step")):
            cls.spec = Window.spec  # type: ignore[method-assign]

    @abstractmethod
    def to_upstream(self, decoded_downstream: Any) -> Iterable[Any]:
        """The items, in order."""

    def spec(self) -> WindowSpec:
        """The window as stored."""
        return CustomWindowSpec(class_path=f"{type(self).__module__}.{type(self).__qualname__}")


class _PeriodWindow(Window):
    """A fixed number of steps."""

    expected_decoded_type = datetime
    period: ClassVar[Period]
    count: ClassVar[int]
    from_day_one: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def step(moment: datetime, steps: int) -> datetime:
        """`moment`, so many steps later."""

    def to_upstream(self, decoded_downstream: datetime) -> Iterable[datetime]:
        """The starts of the smaller periods."""
        if self.from_day_one:
            require_day_one(decoded_downstream, type(self).__name__)
        first = decoded_downstream
        if self.direction is specs.Direction.BACKWARD:
            first = self.step(first, 1 - self.count)
        return [self.step(first, number) for number in range(self.count)]

    def spec(self) -> WindowSpec:
        """See Window."""
        return PeriodWindowSpec(period=self.period, direction=self.direction)


def require_day_one(moment: datetime, window: str) -> None:
    """Raise UserError unless `moment` is the first of a month: months are added to it."""
    if moment.day != 1:
        raise UserError(
            f"{window} counts from the first day of a month",
            field="window",
            value=moment.isoformat(),
            remedy="Pair it with a mapper whose decode_downstream gives such a day",
        )


def months_later(moment: datetime, steps: int) -> datetime:
    """The first of a month, so many months later."""
    years, month = divmod(moment.month - 1 + steps, 12)
    return moment.replace(year=moment.year + years, month=month + 1)


class HourWindow(_PeriodWindow):
    """The sixty minutes of an hour."""

    period, count = Period.HOUR, 60

    @staticmethod
    def step(moment: datetime, steps: int) -> datetime:
        """Minutes."""
        return moment + timedelta(minutes=steps)


class DayWindow(_PeriodWindow):
    """Twenty-four hours, whatever a change of clocks does to the day: pair it with keys in UTC."""

    period, count = Period.DAY, 24

    @staticmethod
    def step(moment: datetime, steps: int) -> datetime:
        """Hours."""
        return moment + timedelta(hours=steps)


class WeekWindow(_PeriodWindow):
    """Seven days."""

    period, count = Period.WEEK, 7

    @staticmethod
    def step(moment: datetime, steps: int) -> datetime:
        """Days."""
        return moment + timedelta(days=steps)


class QuarterWindow(_PeriodWindow):
    """The three months of a quarter."""

    period, count, from_day_one = Period.QUARTER, 3, True
    step = staticmethod(months_later)


class YearWindow(_PeriodWindow):
    """The twelve months of a year."""

    period, count, from_day_one = Period.YEAR, 12, True
    step = staticmethod(months_later)


class MonthWindow(Window):
    """The days of a calendar month; backward, those after the first of the month before, up to the anchor."""

    expected_decoded_type = datetime

    def to_upstream(self, decoded_downstream: datetime) -> Iterable[datetime]:
        """The days."""
        require_day_one(decoded_downstream, "MonthWindow")
        if self.direction is specs.Direction.BACKWARD:
            start = months_later(decoded_downstream, -1) + timedelta(days=1)
            end = decoded_downstream + timedelta(days=1)
        else:
            start, end = decoded_downstream, months_later(decoded_downstream, 1)
        return [start + timedelta(days=number) for number in range((end - start).days)]

    def spec(self) -> WindowSpec:
        """See Window."""
        return PeriodWindowSpec(period=Period.MONTH, direction=self.direction)


class SegmentWindow(Window):
    """A fixed set of keys, whatever the downstream key. Raises UserError unless they are non-empty texts."""

    def __init__(self, segments: Iterable[str]) -> None:
        super().__init__()
        found = list(segments)
        for number, segment in enumerate(found):
            if not isinstance(segment, str) or not segment:
                raise UserError(
                    f"SegmentWindow takes non-empty texts; number {number} is none", field="segments", value=segment
                )
        if not found:
            raise UserError("SegmentWindow needs at least one segment", field="segments", value=found)
        self.segments = tuple(sorted(dict.fromkeys(found)))

    def to_upstream(self, decoded_downstream: Any) -> Iterable[str]:
        """All segments."""
        return self.segments

    def spec(self) -> WindowSpec:
        """See Window."""
        return SegmentWindowSpec(segments=self.segments)


PERIOD_WINDOWS: dict[Period, type[Window]] = {
    Period.HOUR: HourWindow,
    Period.DAY: DayWindow,
    Period.WEEK: WeekWindow,
    Period.MONTH: MonthWindow,
    Period.QUARTER: QuarterWindow,
    Period.YEAR: YearWindow,
}


class PartitionSatisfaction(msgspec.Struct, frozen=True):
    """What a wait policy says of a partition. The reason is there if, and only if, it is `unreachable`."""

    satisfied: bool
    unreachable: bool
    unreachable_reason: str | None

    def __post_init__(self) -> None:
        if self.unreachable is (self.unreachable_reason is None):
            raise ValueError("unreachable_reason is given if, and only if, unreachable is True")


class WaitPolicy:
    """How many of the expected upstream keys a downstream run waits for.

    A policy of one's own overrides `is_satisfied`, which counts, or `is_satisfied_by_keys`, which looks at the keys.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if is_authors_own(cls, ("is_satisfied", "is_unreachable", "is_satisfied_by_keys")):
            cls.spec = WaitPolicy.spec  # type: ignore[method-assign]

    def is_satisfied(self, matched: int, expected: int) -> bool:
        """Whether `matched` of `expected` keys are enough."""
        raise NotImplementedError(f"{type(self).__name__} must override is_satisfied or is_satisfied_by_keys")

    def is_unreachable(self, expected: int) -> bool:
        """Whether even all `expected` keys would not be enough."""
        return False

    def is_satisfied_by_keys(self, *, matched: AbstractSet[str], expected: AbstractSet[str]) -> PartitionSatisfaction:
        """The same for the keys themselves: `matched` are those that have come, expected or not."""
        size = len(expected)
        unreachable = self.is_unreachable(size)
        return PartitionSatisfaction(
            self.is_satisfied(len(matched & expected), size),
            unreachable,
            f"{self!r} cannot be satisfied by a window of {size} keys" if unreachable else None,
        )

    def serialize(self) -> dict[str, Any]:
        """What of a policy of one's own is shown to people (JSON)."""
        return {}

    def spec(self) -> WaitSpec:
        """The policy as stored."""
        return CustomWaitSpec(class_path=f"{type(self).__module__}.{type(self).__qualname__}", data=self.serialize())


class WaitForAll(WaitPolicy):
    """Every expected key."""

    def is_satisfied(self, matched: int, expected: int) -> bool:
        """See WaitPolicy."""
        return matched >= expected

    def is_unreachable(self, expected: int) -> bool:
        """Never."""
        return False

    def spec(self) -> WaitSpec:
        """See WaitPolicy."""
        return WaitForAllSpec()

    def __repr__(self) -> str:
        return "WaitForAll()"


class MinimumCount(WaitPolicy):
    """At least `n` keys; with a negative `n`, all but at most so many. Raises UserError for 0."""

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or isinstance(n, bool) or n == 0:
            raise UserError(
                "MinimumCount takes a whole number other than 0",
                field="n",
                value=n,
                remedy="Use WaitForAll() to wait for every key",
            )
        self.n = n

    def is_satisfied(self, matched: int, expected: int) -> bool:
        """See WaitPolicy."""
        return matched >= (self.n if self.n > 0 else max(0, expected + self.n))

    def is_unreachable(self, expected: int) -> bool:
        """See WaitPolicy."""
        return self.n > expected

    def spec(self) -> WaitSpec:
        """See WaitPolicy."""
        return MinimumCountSpec(n=self.n)

    def __repr__(self) -> str:
        return f"MinimumCount({self.n})"


def compile_window(spec: WindowSpec) -> Window:
    """The window of a spec. Raises UserError for one that is the author's code."""
    match spec:
        case PeriodWindowSpec():
            return PERIOD_WINDOWS[spec.period](direction=spec.direction)
        case SegmentWindowSpec():
            return SegmentWindow(spec.segments)
        case CustomWindowSpec():
            raise UserError("a window of the author's is asked only where user code runs", value=spec.class_path)


def compile_wait(spec: WaitSpec) -> WaitPolicy:
    """The wait policy of a spec. Raises UserError for one that is the author's code."""
    if isinstance(spec, CustomWaitSpec):
        raise UserError("a wait policy of the author's is asked only where user code runs", value=spec.class_path)
    return MinimumCount(spec.n) if isinstance(spec, MinimumCountSpec) else WaitForAll()
