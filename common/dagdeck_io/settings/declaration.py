"""How one setting is declared: its type, default, unit, bounds, text and readers, all as data.

Decides the vocabulary of a declaration. Does not decide which settings exist (the `…_sections` modules), where
values come from (`load`) or how they are shown (`render`). A setting is one field of a section's dataclass, so
the declaration and the type that readers see cannot drift apart. Called by these modules and by `convert`.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

OPTION_KEY = "dagdeck.option"


class Unit(enum.Enum):
    """What a number counts. `SECONDS` and `BYTES` may be written with a suffix, as in "5 min" or "64 MB"."""

    NONE = ""
    SECONDS = "s"
    BYTES = "bytes"
    HOURS = "h"
    DAYS = "days"
    ROWS = "rows"
    COUNT = "count"


class Reader(enum.Enum):
    """The process that acts on a setting."""

    SUPERVISOR = "supervisor"
    SCHEDULER = "scheduler"
    DAG_PROCESSOR = "DAG processor"
    API = "control API"
    WORKER = "worker"


EVERY_READER = tuple(Reader)


class Kind(enum.Enum):
    """What values a setting takes, in words for people."""

    TEXT = "text"
    INTEGER = "whole number"
    NUMBER = "number"
    DURATION = "duration"
    SIZE = "size"
    SWITCH = "true or false"
    PATH = "path"
    CHOICE = "choice"
    LIST = "list of texts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What defaults may depend on. `home` is the state folder after `paths.home` has been settled."""

    home: Path
    hostname: str
    cores: int
    standalone: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that depends on the machine; `text` says how, `example` stands for it in documents."""

    text: str
    compute: Callable[[Surroundings], Any]
    example: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What a section's field says beside its type. `option` makes it."""

    text: str
    default: Any
    unit: Unit
    low: float | None
    high: float | None
    secret: bool
    readers: tuple[Reader, ...] | None
    """None: the readers of the section, READERS, or every process."""
    check: Callable[[Any], str | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One declared setting.

    `name` is "section.key"; `choices` are the words of a CHOICE; `low` and `high` are inclusive; `check`
    returns a complaint about a value of the right type, or None.
    """

    name: str
    kind: Kind
    type: Any
    optional: bool
    choices: tuple[str, ...]
    text: str
    default: Any
    unit: Unit
    low: float | None
    high: float | None
    secret: bool
    readers: tuple[Reader, ...]
    check: Callable[[Any], str | None] | None

    @property
    def section(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    @property
    def key(self) -> str:
        """The part of the name after the dot."""
        return self.name.partition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"DAGDECK__{self.section}__{self.key}".upper()

    def default_for(self, surroundings: Surroundings) -> Any:
        """The value when nobody gives one."""
        return self.default.compute(surroundings) if isinstance(self.default, Derived) else self.default


def option(
    text: str,
    *,
    default: Any,
    unit: Unit = Unit.NONE,
    low: float | None = None,
    high: float | None = None,
    secret: bool = False,
    readers: tuple[Reader, ...] | None = None,
    check: Callable[[Any], str | None] | None = None,
) -> Any:
    """A dataclass field that declares a setting. Secrets are left out of the section's repr."""
    declared = Option(
        text=text, default=default, unit=unit, low=low, high=high, secret=secret, readers=readers, check=check
    )
    return field(repr=not secret, metadata={OPTION_KEY: declared})


def settings_of(section: str, record: type) -> tuple[Setting, ...]:
    """The settings that the dataclass `record` declares for `section`, in their written order."""
    hints = typing.get_type_hints(record)
    readers = getattr(record, "READERS", EVERY_READER)
    return tuple(
        _setting(f"{section}.{each.name}", hints[each.name], each.metadata[OPTION_KEY], readers)
        for each in fields(record)
    )


def _setting(name: str, hint: Any, declared: Option, section_readers: tuple[Reader, ...]) -> Setting:
    plain, optional = _without_none(hint)
    choices = tuple(str(member.value) for member in plain) if _is_enum(plain) else ()
    return Setting(
        name=name,
        kind=_kind(plain, declared.unit),
        type=plain,
        optional=optional,
        choices=choices,
        text=declared.text,
        default=declared.default,
        unit=declared.unit,
        low=declared.low,
        high=declared.high,
        secret=declared.secret,
        readers=declared.readers or section_readers,
        check=declared.check,
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        arguments = typing.get_args(hint)
        (plain,) = (each for each in arguments if each is not type(None))
        return plain, True
    return hint, False


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _kind(hint: Any, unit: Unit) -> Kind:
    if _is_enum(hint):
        return Kind.CHOICE
    if hint is float:
        return Kind.DURATION if unit is Unit.SECONDS else Kind.NUMBER
    if hint is int:
        return Kind.SIZE if unit is Unit.BYTES else Kind.INTEGER
    return {str: Kind.TEXT, bool: Kind.SWITCH, Path: Kind.PATH, tuple[str, ...]: Kind.LIST}[hint]
