"""Turns what a file, a variable or a command line says into a setting's value, and back into text.

Decides which spellings a value may have and whether it is within its bounds. Does not decide which source
wins. Called by `load` for values and by `render` for texts.
"""

from __future__ import annotations

import enum
import math
import re
from pathlib import Path
from typing import Any

from dagdeck_core.errors import UserError
from dagdeck_io.settings.declaration import Kind, Setting, Unit

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_AMOUNT = re.compile(r"\s*([+-]?[0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"": 1, "b": 1, "kb": 1024, "kib": 1024, "mb": 1024**2, "mib": 1024**2, "gb": 1024**3, "gib": 1024**3}
_EXAMPLES = {
    Kind.TEXT: "a text",
    Kind.INTEGER: "a whole number such as 8",
    Kind.NUMBER: "a number such as 0.5",
    Kind.DURATION: 'seconds such as 20, or "500 ms", "20 s", "5 min", "2 h"',
    Kind.SIZE: 'bytes such as 4096, or "256 KB", "64 MB", "1 GB"',
    Kind.SWITCH: "true or false",
    Kind.PATH: "a path",
    Kind.LIST: 'a list such as ["default", "gpu"], or "default,gpu"',
}


class Unfit(Exception):
    """A value that its setting does not take; the text says what is wrong with it."""


def convert(setting: Setting, raw: Any, *, place: str, base: Path, user_home: Path) -> Any:
    """The value that `raw` spells.

    `place` names the source for the message; relative paths start at `base`, "~" means `user_home`. Raises
    UserError, which never shows a secret.
    """
    shown = None if setting.secret else raw
    try:
        value = _typed(setting, raw, base, user_home)
        _check_bounds(setting, value)
    except Unfit as unfit:
        remedy = f"Write {expectation(setting)}"
        raise UserError(str(unfit), file=place, field=setting.name, value=shown, remedy=remedy) from None
    complaint = setting.check(value) if setting.check is not None and value is not None else None
    if complaint:
        raise UserError(complaint, file=place, field=setting.name, value=shown)
    return value


def expectation(setting: Setting) -> str:
    """What a right value looks like, for people: 'a whole number such as 8, from 1 to 100'."""
    if setting.kind is Kind.CHOICE:
        return "one of " + ", ".join(setting.choices)
    text = _EXAMPLES[setting.kind]
    if setting.low is not None and setting.high is not None:
        return f"{text}, from {bound(setting, setting.low)} to {bound(setting, setting.high)}"
    if setting.low is not None:
        return f"{text}, at least {bound(setting, setting.low)}"
    return text


def bound(setting: Setting, limit: float) -> str:
    """A bound with its unit."""
    unit = setting.unit.value if setting.unit not in (Unit.NONE, Unit.COUNT) else ""
    return f"{limit:.12g} {unit}".strip()


def as_plain(value: Any) -> Any:
    """`value` in TOML's and JSON's own types."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [as_plain(each) for each in value]
    return "" if value is None else value


def _typed(setting: Setting, raw: Any, base: Path, user_home: Path) -> Any:
    if isinstance(raw, enum.Enum | Path | tuple):
        raw = as_plain(raw)
    if setting.optional and (raw is None or raw == ""):
        return None
    match setting.kind:
        case Kind.TEXT:
            return _text(raw)
        case Kind.SWITCH:
            return _switch(raw)
        case Kind.INTEGER:
            return _integer(raw)
        case Kind.NUMBER:
            return _amount(raw, {"": 1.0})
        case Kind.DURATION:
            return _amount(raw, _SECONDS)
        case Kind.SIZE:
            return round(_amount(raw, {unit: float(factor) for unit, factor in _BYTES.items()}))
        case Kind.PATH:
            return _path(raw, base, user_home)
        case Kind.CHOICE:
            return _choice(setting, raw)
        case Kind.LIST:
            return _list(raw)


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise Unfit("this must be a text in quotation marks")
    if "\x00" in raw:
        raise Unfit("this contains a NUL character")
    return raw.strip()


def _switch(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Unfit("this is neither true nor false")


def _integer(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        try:
            return int(raw.strip())
        except ValueError:
            pass
    raise Unfit("this is not a whole number")


def _amount(raw: Any, factors: dict[str, float]) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        if not math.isfinite(raw):
            raise Unfit("this is not a finite number")
        return float(raw)
    match = _AMOUNT.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise Unfit("this is not a number" + (" with a unit" if len(factors) > 1 else ""))
    factor = factors.get(match[2].lower())
    if factor is None:
        known = ", ".join(unit for unit in factors if unit)
        raise Unfit(f"the unit {match[2]!r} is unknown" + (f" (known: {known})" if known else ""))
    return float(match[1].replace("_", "")) * factor


def _path(raw: Any, base: Path, user_home: Path) -> Path:
    text = _text(raw)
    if not text:
        raise Unfit("this path is empty")
    if text == "~" or text.startswith("~/"):
        return user_home / text[2:]
    return Path(text) if Path(text).is_absolute() else base / text


def _choice(setting: Setting, raw: Any) -> Any:
    word = raw.strip().lower() if isinstance(raw, str) else raw
    for member in setting.type:
        if str(member.value).lower() == word:
            return member
    raise Unfit("this is not one of the choices")


def _list(raw: Any) -> tuple[str, ...]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise Unfit("this is not a list of texts")
    return tuple(item.strip() for item in items if item.strip())


def _check_bounds(setting: Setting, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if setting.low is not None and value < setting.low:
        raise Unfit(f"this is less than {bound(setting, setting.low)}")
    if setting.high is not None and value > setting.high:
        raise Unfit(f"this is more than {bound(setting, setting.high)}")
