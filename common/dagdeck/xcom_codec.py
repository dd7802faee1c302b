"""XCom values as JSON text and back.

Decides which Python values may pass between tasks and how each is written. Plain JSON values are written as
they are; every other value as an object with the key `__dagdeck__`, which names its kind:

| kind | value | written as |
|---|---|---|
| `tuple`, `set`, `frozenset` | the items | list |
| `dict` | a dict whose keys are not all strings, or that has the key `__dagdeck__` | list of pairs |
| `float` | NaN and infinities | `nan`, `inf`, `-inf` |
| `datetime` | a datetime; `zone` is its time zone's name, if any; `pendulum` marks pendulum's | ISO text |
| `date`, `time`, `timedelta` | | ISO text, ISO text, whole microseconds |
| `decimal`, `uuid`, `path`, `bytes` | | text, text, text, base64 |
| `enum` | a member of an Enum; `class` is its import path | its value |
| `dataclass`, `namedtuple`, `pydantic`, `attrs` | the fields; `class` is the import path | object |
| `asset` | an Asset | object with name, uri, group, extra |
| `custom` | an object with `serialize()` and a class method `deserialize(data, version)` | what `serialize` gives |
| `ndarray` | a numpy array, not of objects | numpy's file format, base64 |
| `dataframe`, `series`, `index` | pandas' | columns as arrays, else item by item |

Used by `ti.xcom_push`, `ti.xcom_pull` and the return value of every task, and by XCom backends (`dagdeck.xcom`).
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from dagdeck.exceptions import AirflowException

TAG = "__dagdeck__"
MAX_DEPTH = 100


class XComError(AirflowException):
    """A value cannot be passed between tasks, or a stored one cannot be read."""


def encode(value: Any, *, limit: int = 0, what: str = "the value") -> str:
    """`value` as JSON text of at most `limit` UTF-8 bytes (0: no limit).

    Raises XComError naming `what`, the type that cannot be written and where it stands, or both sizes.
    """
    try:
        text = json.dumps(to_json(value, what), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise XComError(f"{what} holds text that is no valid Unicode: {error}") from error
    if limit and size > limit:
        raise XComError(
            f"{what} is {size:,} bytes as JSON; the limit of an XCom is {limit:,} bytes. "
            "Write it to a file or an object store and return where it is"
        )
    return text


def decode(text: str) -> Any:
    """The value that `encode` wrote. Raises XComError for text that is not JSON or names an unknown class."""
    try:
        return from_json(json.loads(text))
    except json.JSONDecodeError as error:
        raise XComError(f"a stored XCom is not valid JSON: {error}") from error


def to_json(value: Any, path: str, depth: int = 0) -> Any:
    """`value` as plain JSON; `path` says where in the whole it stands."""
    if value is None or value is True or value is False or type(value) in (str, int):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else _tagged("float", str(value))
    if depth > MAX_DEPTH:
        raise XComError(f"{path[:200]} is nested more than {MAX_DEPTH} levels deep, or contains itself")
    depth += 1
    if type(value) is list:
        return [to_json(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _dict_to_json(value, path, depth)
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value, path, depth)
    return _other_to_json(value, path, depth)


def _dict_to_json(value: dict[Any, Any], path: str, depth: int) -> Any:
    if TAG not in value and all(type(key) is str for key in value):
        return {key: to_json(item, f"{path}[{key!r}]", depth) for key, item in value.items()}
    pairs = [
        [to_json(key, f"{path} key {key!r}", depth), to_json(item, f"{path}[{key!r}]", depth)]
        for key, item in value.items()
    ]
    return _tagged("dict", pairs)


def _tagged(kind: str, value: Any, **extra: Any) -> dict[str, Any]:
    return {TAG: kind, "value": value, **extra}


def _items(kind: str) -> Callable[[Any, str, int], Any]:
    def write(value: Any, path: str, depth: int) -> Any:
        items = [to_json(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]
        # Sets have no order; the same set must give the same text.
        return _tagged(kind, items if kind == "tuple" else sorted(items, key=json.dumps))

    return write


def _tuple(value: tuple[Any, ...], path: str, depth: int) -> Any:
    fields = getattr(type(value), "_fields", None)
    if fields is None:
        return _items("tuple")(value, path, depth)
    return _object("namedtuple", value, dict(zip(fields, value, strict=True)), path, depth)


def _datetime(value: datetime, path: str, depth: int) -> Any:
    extra: dict[str, Any] = {}
    zone = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "name", None)
    if isinstance(zone, str):
        extra["zone"] = zone
    if type(value).__module__.startswith("pendulum"):
        extra["pendulum"] = True
    return _tagged("datetime", datetime.isoformat(value), **extra)


def _enum(value: Enum, path: str, depth: int) -> Any:
    return _tagged("enum", to_json(value.value, path, depth), **{"class": _class_path(type(value), path)})


def _number_or_text(value: Any, path: str, depth: int) -> Any:
    """Subclasses of int, float and str: the plain value (numpy's float64 is such a float)."""
    if isinstance(value, str):
        return str.__str__(value)
    return to_json(int(value) if isinstance(value, int) else float(value), path, depth)


_WRITERS: tuple[tuple[Any, Callable[[Any, str, int], Any]], ...] = (
    (Enum, _enum),
    (tuple, _tuple),
    ((int, float, str), _number_or_text),
    (list, lambda value, path, depth: to_json(list(value), path, depth)),
    (frozenset, _items("frozenset")),
    (set, _items("set")),
    (datetime, _datetime),
    (date, lambda value, path, depth: _tagged("date", date.isoformat(value))),
    (time, lambda value, path, depth: _tagged("time", value.isoformat())),
    (timedelta, lambda value, path, depth: _tagged("timedelta", value // timedelta(microseconds=1))),
    (Decimal, lambda value, path, depth: _tagged("decimal", str(value))),
    (UUID, lambda value, path, depth: _tagged("uuid", str(value))),
    (PurePath, lambda value, path, depth: _tagged("path", str(value))),
    ((bytes, bytearray), lambda value, path, depth: _tagged("bytes", base64.b64encode(value).decode())),
)


def _other_to_json(value: Any, path: str, depth: int) -> Any:
    cls = type(value)
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return _object("dataclass", value, fields, path, depth)
    if hasattr(cls, "model_fields") and hasattr(cls, "model_validate"):
        return _object("pydantic", value, value.model_dump(), path, depth)
    if hasattr(cls, "__attrs_attrs__"):
        names = [attribute.name for attribute in cls.__attrs_attrs__ if attribute.init]
        return _object("attrs", value, {name.lstrip("_"): getattr(value, name) for name in names}, path, depth)
    if cls.__module__ == "dagdeck.assets" and cls.__name__ == "Asset":
        parts = {"name": value.name, "uri": value.uri, "group": value.group, "extra": value.extra}
        return _tagged("asset", to_json(parts, path, depth))
    if callable(getattr(cls, "serialize", None)) and callable(getattr(cls, "deserialize", None)):
        return _custom_to_json(value, path, depth)
    if isinstance(value, Mapping):
        return _dict_to_json(dict(value), path, depth)
    if cls.__module__.startswith(("numpy", "pandas")):
        from dagdeck import xcom_frames

        kind = xcom_frames.kind_of(value)
        if kind is not None:
            return _tagged(kind, xcom_frames.write(kind, value, path, lambda item, at: to_json(item, at, depth)))
    if cls.__module__.startswith("dagdeck.mapping."):
        # What another expanded task gave, or its items transformed: the next one sees a list.
        return to_json(list(value), path, depth)
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return to_json(value.item(), path, depth)
    hint = "Return its .tolist() or write it to a file" if hasattr(value, "dtype") else "Return plain data instead"
    raise XComError(f"{path} is a {cls.__module__}.{cls.__qualname__}, which cannot be passed between tasks. {hint}")


def _custom_to_json(value: Any, path: str, depth: int) -> Any:
    """An object that says itself what is stored of it, as Airflow's serializable classes do."""
    cls = type(value)
    written = to_json(value.serialize(), f"{path}.serialize()", depth)
    version = int(getattr(cls, "__version__", 0))
    return _tagged("custom", written, version=version, **{"class": _class_path(cls, path)})


def _object(kind: str, value: Any, fields: dict[str, Any], path: str, depth: int) -> Any:
    written = {name: to_json(item, f"{path}.{name}", depth) for name, item in fields.items()}
    return _tagged(kind, written, **{"class": _class_path(type(value), path)})


def _class_path(cls: type, path: str) -> str:
    if "<locals>" in cls.__qualname__:
        raise XComError(
            f"{path} is a {cls.__qualname__}, a class defined inside a function, which no other task can find. "
            "Define it at the top of a module"
        )
    return f"{cls.__module__}:{cls.__qualname__}"


# ---------------------------------------------------------------- reading


def from_json(value: Any) -> Any:
    """The value that plain JSON stands for. Raises XComError for an unknown kind or class."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(TAG)
    if kind is None:
        return {key: from_json(item) for key, item in value.items()}
    read = _READERS.get(kind)
    if read is None:
        raise XComError(f"a stored XCom has the unknown kind {kind!r}; a newer DagDeck may have written it")
    try:
        return read(value)
    except (KeyError, TypeError, ValueError) as error:
        raise XComError(f"a stored XCom of kind {kind!r} cannot be read: {error}") from error


def _read_datetime(stored: dict[str, Any]) -> datetime:
    moment = datetime.fromisoformat(stored["value"])
    zone = stored.get("zone")
    if zone is not None and moment.tzinfo is not None:
        from dagdeck.timetables import load_zone

        moment = moment.astimezone(load_zone(zone))
    if stored.get("pendulum"):
        import pendulum

        return pendulum.instance(moment)
    return moment


def _read_object(stored: dict[str, Any]) -> Any:
    cls = _find_class(stored["class"])
    fields = {name: from_json(item) for name, item in stored["value"].items()}
    return cls.model_validate(fields) if stored[TAG] == "pydantic" else cls(**fields)


def _read_custom(stored: dict[str, Any]) -> Any:
    return _find_class(stored["class"]).deserialize(from_json(stored["value"]), stored["version"])


def _read_frame(stored: dict[str, Any]) -> Any:
    from dagdeck import xcom_frames

    try:
        return xcom_frames.read(stored[TAG], stored["value"], from_json)
    except ImportError as error:
        raise XComError(f"a stored XCom is a {stored[TAG]}, and {error.name} is not installed here") from error


def _read_asset(stored: dict[str, Any]) -> Any:
    from dagdeck.assets import Asset

    return Asset(**from_json(stored["value"]))


def _find_class(path: str) -> Any:
    module, _, qualname = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise XComError(
            f"a stored XCom is a {path.replace(':', '.')}, which cannot be imported here: {error}. "
            "Put the class in a module beside the DAG files"
        ) from error
    return found


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "tuple": lambda stored: tuple(from_json(stored["value"])),
    "set": lambda stored: set(from_json(stored["value"])),
    "frozenset": lambda stored: frozenset(from_json(stored["value"])),
    "dict": lambda stored: {from_json(key): from_json(item) for key, item in stored["value"]},
    "float": lambda stored: float(stored["value"]),
    "datetime": _read_datetime,
    "date": lambda stored: date.fromisoformat(stored["value"]),
    "time": lambda stored: time.fromisoformat(stored["value"]),
    "timedelta": lambda stored: timedelta(microseconds=stored["value"]),
    "decimal": lambda stored: Decimal(stored["value"]),
    "uuid": lambda stored: UUID(stored["value"]),
    "path": lambda stored: _path(stored["value"]),
    "bytes": lambda stored: base64.b64decode(stored["value"]),
    "enum": lambda stored: _find_class(stored["class"])(from_json(stored["value"])),
    "dataclass": _read_object,
    "namedtuple": _read_object,
    "pydantic": _read_object,
    "attrs": _read_object,
    "asset": _read_asset,
    "custom": _read_custom,
    "ndarray": _read_frame,
    "dataframe": _read_frame,
    "series": _read_frame,
    "index": _read_frame,
}


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)
