"""Partition mappers: which partitions of a consumer an asset event with a partition key belongs to.

Decides the keys that every built-in mapper makes, which upstream keys a rollup expects, and the date that a key
stands for. Pure: time zones come in as tzinfo objects. Compiled from specs by `compile_mapper` for the scheduler;
the authoring package offers the same classes to DAG files, where people subclass `PartitionMapper`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any, ClassVar

from dagdeck_core.errors import UserError
from dagdeck_core.partitions.formats import key_pattern
from dagdeck_core.partitions.specs import (
    AllowedKeySpec,
    ChainSpec,
    CustomMapperSpec,
    FanOutSpec,
    FixedKeySpec,
    IdentitySpec,
    MapperSpec,
    Period,
    ProductSpec,
    RollupSpec,
    StartOfSpec,
)
from dagdeck_core.partitions.windows import WaitForAll, WaitPolicy, Window, is_authors_own

KEY_LENGTH = 250
"""Most characters of a partition key."""
DEFAULT_INPUT_FORMAT = "%Y-%m-%dT%H:%M:%S"
OUTPUT_FORMATS: dict[Period, str] = {
    Period.HOUR: "%Y-%m-%dT%H",
    Period.DAY: "%Y-%m-%d",
    Period.WEEK: "%Y-%m-%d (W%V)",
    Period.MONTH: "%Y-%m",
    Period.QUARTER: "%Y-Q{quarter}",
    Period.YEAR: "%Y",
}
_MAPS = (
    "to_downstream",
    "to_upstream",
    "decode_downstream",
    "encode_upstream",
    "format",
    "normalize",
    "to_partition_date",
    "carry_partition_date",
)


class PartitionMapper(ABC):
    """Maps an event's partition key to the keys of the consumer's runs.

    `decode_downstream` and `encode_upstream` are overridden together or not at all: a rollup reads its window
    through one and writes the expected keys through the other.
    """

    is_rollup: ClassVar[bool] = False
    expected_decoded_type: ClassVar[type] = str
    max_downstream_keys: int | None = None

    def __init__(self, *, max_downstream_keys: int | None = None) -> None:
        if max_downstream_keys is not None and (not isinstance(max_downstream_keys, int) or max_downstream_keys < 1):
            raise UserError(
                "this is a whole number of at least 1, or None", field="max_downstream_keys", value=max_downstream_keys
            )
        self.max_downstream_keys = max_downstream_keys

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        reads = cls.decode_downstream is not PartitionMapper.decode_downstream
        writes = cls.encode_upstream is not PartitionMapper.encode_upstream
        if reads is not writes:
            raise UserError(
                f"{cls.__qualname__} overrides one of decode_downstream and encode_upstream",
                remedy="Override both or neither: a rollup needs one to undo the other",
            )
        if is_authors_own(cls, _MAPS):
            # What it inherits says how the built-in mapper is stored, which maps in another way.
            cls.spec = PartitionMapper.spec  # type: ignore[method-assign]

    @abstractmethod
    def to_downstream(self, key: str) -> str | Iterable[str]:
        """The consumer's key, or keys, for an event with `key`."""

    def decode_downstream(self, downstream_key: str) -> Any:
        """What a window of the mapper's kind understands of a key; the key itself unless overridden."""
        return downstream_key

    def encode_upstream(self, decoded: Any) -> str:
        """The upstream key of one member of a window."""
        return str(decoded)

    def format(self, decoded: Any) -> str:
        """The downstream key of one member of a window that is fanned out to."""
        return decoded.isoformat() if isinstance(decoded, datetime) else str(decoded)

    def to_partition_date(self, downstream_key: str) -> datetime | None:
        """The instant that a key stands for; None for keys that are no dates."""
        return None

    def carry_partition_date(self, source_partition_date: datetime | None) -> datetime | None:
        """The date that a consumer's run takes over from the producing run; none unless the key stays the same."""
        return None

    def serialize(self) -> dict[str, Any]:
        """What of a mapper of one's own is shown to people (JSON)."""
        return {}

    def spec(self) -> MapperSpec:
        """The mapper as stored."""
        return CustomMapperSpec(
            class_path=f"{type(self).__module__}.{type(self).__qualname__}",
            data=self.serialize(),
            max_downstream_keys=self.max_downstream_keys,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class IdentityMapper(PartitionMapper):
    """The key stays as it is."""

    def to_downstream(self, key: str) -> str:
        """See PartitionMapper."""
        return key

    def carry_partition_date(self, source_partition_date: datetime | None) -> datetime | None:
        """The same key stands for the same date."""
        return source_partition_date

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return IdentitySpec(max_downstream_keys=self.max_downstream_keys)


class AllowedKeyMapper(PartitionMapper):
    """The key stays as it is, and must be one of `allowed_keys`."""

    def __init__(self, allowed_keys: Sequence[str], *, max_downstream_keys: int | None = None) -> None:
        super().__init__(max_downstream_keys=max_downstream_keys)
        self.allowed_keys = list(allowed_keys)

    def to_downstream(self, key: str) -> str:
        """See PartitionMapper. Raises UserError for other keys."""
        if key not in self.allowed_keys:
            raise UserError(f"the partition key {key!r} is not one of the allowed keys {self.allowed_keys}")
        return key

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return AllowedKeySpec(allowed_keys=tuple(self.allowed_keys), max_downstream_keys=self.max_downstream_keys)


class FixedKeyMapper(PartitionMapper):
    """Every key becomes `downstream_key`."""

    def __init__(self, downstream_key: str, *, max_downstream_keys: int | None = None) -> None:
        if not isinstance(downstream_key, str) or not downstream_key:
            raise UserError("FixedKeyMapper takes a non-empty text", field="downstream_key", value=downstream_key)
        super().__init__(max_downstream_keys=max_downstream_keys)
        self.downstream_key = downstream_key

    def to_downstream(self, key: str) -> str:
        """See PartitionMapper."""
        return self.downstream_key

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return FixedKeySpec(downstream_key=self.downstream_key, max_downstream_keys=self.max_downstream_keys)


class StartOfMapper(PartitionMapper):
    """A key that is a date in `input_format` becomes the key of the period that holds it.

    A key without zone is local time of `zone`. Raises UserError for an output format that cannot be read back
    where the period needs more than strptime knows (weeks, quarters).
    """

    expected_decoded_type = datetime

    def __init__(
        self,
        period: Period,
        zone: tzinfo,
        *,
        timezone: str = "UTC",
        input_format: str = DEFAULT_INPUT_FORMAT,
        output_format: str | None = None,
        max_downstream_keys: int | None = None,
    ) -> None:
        super().__init__(max_downstream_keys=max_downstream_keys)
        self.period = period
        self.timezone = timezone
        self.input_format = input_format
        self.output_format = output_format or OUTPUT_FORMATS[period]
        self._zone = zone
        self._pattern = None
        if period in (Period.WEEK, Period.QUARTER):
            placeholders = {"quarter": "[1-4]"} if period is Period.QUARTER else {}
            self._pattern = key_pattern(self.output_format, placeholders)

    def to_downstream(self, key: str) -> str:
        """See PartitionMapper. Raises UserError for a key in another format."""
        moment = self._parsed(key, self.input_format)
        local = moment.astimezone(self._zone) if moment.tzinfo is not None else local_time(moment, self._zone)
        return self.format(self.normalize(local))

    @staticmethod
    def _parsed(key: str, form: str) -> datetime:
        try:
            return datetime.strptime(key, form)  # noqa: DTZ007 - a key is a wall clock's time
        except ValueError as error:
            raise UserError(
                f"the partition key {key!r} is no date in the format {form!r}: {error}", field="input_format"
            ) from error

    def normalize(self, dt: datetime) -> datetime:
        """Where the period begins that holds `dt`."""
        start = dt.replace(minute=0, second=0, microsecond=0)
        if self.period is Period.HOUR:
            return start
        start = start.replace(hour=0)
        match self.period:
            case Period.DAY:
                return start
            case Period.WEEK:
                return start - timedelta(days=start.weekday())
            case Period.MONTH:
                return start.replace(day=1)
            case Period.QUARTER:
                return start.replace(day=1, month=start.month - (start.month - 1) % 3)
            case _:
                return start.replace(day=1, month=1)

    def format(self, decoded: datetime) -> str:
        """The key of the period that begins at `decoded`."""
        text = decoded.strftime(self.output_format)
        if self.period is not Period.QUARTER:
            return text
        return text.replace("{quarter}", str((decoded.month - 1) // 3 + 1))

    def decode_downstream(self, downstream_key: str) -> datetime:
        """Where the period of a key begins, as local time. Raises UserError for a key in another format."""
        if self._pattern is None:
            return self._parsed(downstream_key, self.output_format)
        found = self._pattern.fullmatch(downstream_key)
        parts = found.groupdict() if found is not None else {}
        needed = ("Y", "quarter") if self.period is Period.QUARTER else ("Y", "m", "d")
        missing = [f"{{{name}}}" if len(name) > 1 else f"%{name}" for name in needed if name not in parts]
        if missing:
            raise UserError(
                f"the partition key {downstream_key!r} cannot be read back with {self.output_format!r}",
                field="output_format",
                remedy=f"The format must hold {', '.join(missing)}",
            )
        if self.period is Period.QUARTER:
            return datetime(int(parts["Y"]), int(parts["quarter"]) * 3 - 2, 1)  # noqa: DTZ001 - as above
        return datetime(int(parts["Y"]), int(parts["m"]), int(parts["d"]))  # noqa: DTZ001 - as above

    def encode_upstream(self, decoded: datetime) -> str:
        """A period's start as a key in the input format."""
        if decoded.tzinfo is not None:
            decoded = decoded.astimezone(self._zone).replace(tzinfo=None)
        return local_time(decoded, self._zone).strftime(self.input_format)

    def to_partition_date(self, downstream_key: str) -> datetime | None:
        """Where the period begins, in UTC."""
        start = self.normalize(self.decode_downstream(downstream_key))
        return (start if start.tzinfo is not None else local_time(start, self._zone)).astimezone(UTC)

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return StartOfSpec(
            period=self.period,
            output_format=self.output_format,
            timezone=self.timezone,
            input_format=self.input_format,
            max_downstream_keys=self.max_downstream_keys,
        )


def local_time(naive: datetime, zone: tzinfo) -> datetime:
    """Local time made aware: the later of two equal times; one that the clocks skip moves on by the gap."""
    later = naive.replace(tzinfo=zone, fold=1)
    if later.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) == naive.replace(fold=0):
        return later
    return naive.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)


class ChainMapper(PartitionMapper):
    """One mapper after another; where one gives several keys, the next maps each of them."""

    def __init__(
        self,
        mapper0: PartitionMapper,
        mapper1: PartitionMapper,
        /,
        *mappers: PartitionMapper,
        max_downstream_keys: int | None = None,
    ) -> None:
        super().__init__(max_downstream_keys=max_downstream_keys)
        self.mappers = [mapper0, mapper1, *mappers]

    def to_downstream(self, key: str) -> str | Iterable[str]:
        """See PartitionMapper."""
        keys: Sequence[str] = (key,)
        for mapper in self.mappers:
            keys = [mapped for each in keys for mapped in downstream_keys(mapper, each)]
        return keys[0] if len(keys) == 1 else list(keys)

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return ChainSpec(
            mappers=tuple(mapper.spec() for mapper in self.mappers), max_downstream_keys=self.max_downstream_keys
        )


class ProductMapper(PartitionMapper):
    """A key of several parts with a delimiter between them; each part has its own mapper."""

    def __init__(
        self,
        mapper0: PartitionMapper,
        mapper1: PartitionMapper,
        /,
        *mappers: PartitionMapper,
        delimiter: str = "|",
        max_downstream_keys: int | None = None,
    ) -> None:
        super().__init__(max_downstream_keys=max_downstream_keys)
        self.mappers = [mapper0, mapper1, *mappers]
        self.delimiter = delimiter

    def to_downstream(self, key: str) -> str:
        """See PartitionMapper. Raises UserError for another number of parts, or several keys of one part."""
        parts = key.split(self.delimiter)
        if len(parts) != len(self.mappers):
            raise UserError(f"the partition key {key!r} has {len(parts)} parts instead of {len(self.mappers)}")
        found = []
        for mapper, part in zip(self.mappers, parts, strict=True):
            mapped = mapper.to_downstream(part)
            if not isinstance(mapped, str):
                raise UserError(f"a part of a ProductMapper gives one key; {type(mapper).__name__} gave several")
            found.append(mapped)
        return self.delimiter.join(found)

    def to_partition_date(self, downstream_key: str) -> datetime | None:
        """The date of the one part that is a date; None when there are none or several."""
        parts = downstream_key.split(self.delimiter)
        if len(parts) != len(self.mappers):
            return None
        dates = [mapper.to_partition_date(part) for mapper, part in zip(self.mappers, parts, strict=True)]
        known = [date for date in dates if date is not None]
        return known[0] if len(known) == 1 else None

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return ProductSpec(
            mappers=tuple(mapper.spec() for mapper in self.mappers),
            delimiter=self.delimiter,
            max_downstream_keys=self.max_downstream_keys,
        )


class RollupMapper(PartitionMapper):
    """Many upstream keys make one downstream key, whose run waits until its window is full enough."""

    is_rollup = True

    def __init__(
        self,
        *,
        upstream_mapper: PartitionMapper,
        window: Window,
        wait_policy: WaitPolicy | None = None,
        max_downstream_keys: int | None = None,
    ) -> None:
        super().__init__(max_downstream_keys=max_downstream_keys)
        if upstream_mapper.expected_decoded_type is not window.expected_decoded_type:
            raise UserError(
                f"{type(window).__name__} reads {window.expected_decoded_type.__name__}, but "
                f"{type(upstream_mapper).__name__} gives {upstream_mapper.expected_decoded_type.__name__}",
                field="window",
                remedy="Pair a window and a mapper whose expected_decoded_type is the same",
            )
        self.upstream_mapper = upstream_mapper
        self.window = window
        self.wait_policy = wait_policy or WaitForAll()

    def to_downstream(self, key: str) -> str | Iterable[str]:
        """See PartitionMapper."""
        return self.upstream_mapper.to_downstream(key)

    def to_upstream(self, downstream_key: str) -> frozenset[str]:
        """All upstream keys that `downstream_key` is made of."""
        anchor = self.upstream_mapper.decode_downstream(downstream_key)
        return frozenset(self.upstream_mapper.encode_upstream(item) for item in self.window.to_upstream(anchor))

    def to_partition_date(self, downstream_key: str) -> datetime | None:
        """See PartitionMapper."""
        return self.upstream_mapper.to_partition_date(downstream_key)

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return RollupSpec(
            upstream_mapper=self.upstream_mapper.spec(),
            window=self.window.spec(),
            wait_policy=self.wait_policy.spec(),
            max_downstream_keys=self.max_downstream_keys,
        )


class FanOutMapper(PartitionMapper):
    """One upstream key leads to one downstream key for each member of its window."""

    def __init__(
        self,
        *,
        upstream_mapper: PartitionMapper,
        window: Window,
        downstream_mapper: PartitionMapper,
        max_downstream_keys: int | None = None,
    ) -> None:
        super().__init__(max_downstream_keys=max_downstream_keys)
        self.upstream_mapper = upstream_mapper
        self.window = window
        self.downstream_mapper = downstream_mapper

    def to_downstream(self, key: str) -> Iterable[str]:
        """See PartitionMapper."""
        anchor = self.upstream_mapper.to_downstream(key)
        if not isinstance(anchor, str):
            raise UserError("the upstream_mapper of a FanOutMapper must give one key", field="upstream_mapper")
        items = self.window.to_upstream(self.upstream_mapper.decode_downstream(anchor))
        return [self.downstream_mapper.format(item) for item in items]

    def to_partition_date(self, downstream_key: str) -> datetime | None:
        """See PartitionMapper."""
        return self.downstream_mapper.to_partition_date(downstream_key)

    def spec(self) -> MapperSpec:
        """See PartitionMapper."""
        return FanOutSpec(
            upstream_mapper=self.upstream_mapper.spec(),
            window=self.window.spec(),
            downstream_mapper=self.downstream_mapper.spec(),
            max_downstream_keys=self.max_downstream_keys,
        )


def downstream_keys(mapper: PartitionMapper, key: str, *, most: int | None = None) -> list[str]:
    """The keys that `key` leads to, each once, in order.

    Raises UserError, or whatever a mapper of the author's raises; also for what is no text of 1 to 250 characters,
    and for more than `most` keys.
    """
    found = mapper.to_downstream(key)
    keys = [found] if isinstance(found, str) else list(found if most is None else islice(found, most + 1))
    if most is not None and len(keys) > most:
        raise UserError(f"{type(mapper).__name__} gave more than {most} keys")
    for each in keys:
        if not isinstance(each, str) or not each.strip() or len(each) > KEY_LENGTH:
            raise UserError(f"{type(mapper).__name__} gave {each!r}; a key is text of 1 to {KEY_LENGTH} characters")
    return list(dict.fromkeys(keys))


__all__ = [
    "KEY_LENGTH",
    "AllowedKeyMapper",
    "ChainMapper",
    "FanOutMapper",
    "FixedKeyMapper",
    "IdentityMapper",
    "PartitionMapper",
    "ProductMapper",
    "RollupMapper",
    "StartOfMapper",
    "downstream_keys",
    "local_time",
]
