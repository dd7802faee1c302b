"""Files with Variables and Connections, for the local file system backend: JSON, YAML, or lines `NAME=value` (.env).

Decides what such files may look like, and that complaints name file and line but never what stands there. Does not
decide when they are asked (`secrets_backends`, its only caller). Files are read anew each time, so they may change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagdeck.exceptions import AirflowException, ConnectionNotUnique

if TYPE_CHECKING:
    from dagdeck.connection import Connection

_KEYS = frozenset(
    {"conn_id", "conn_type", "description", "host", "login", "password", "schema", "port", "extra", "uri"}
)


def read_secrets(path: str) -> Mapping[str, Any]:
    """Names with what stands for them. In .env files a name that stands there twice has a list.

    Raises AirflowException for a file that cannot be read or understood, with its line.
    """
    suffix = Path(path).suffix.lower()
    parse = _PARSERS.get(suffix)
    if parse is None:
        raise AirflowException(
            f"the secrets file {path} must end in one of {', '.join(sorted(_PARSERS))}, not in {suffix or 'nothing'!r}"
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise AirflowException(f"the secrets file {path} cannot be read: {reason}") from None
    found = parse(path, text)
    if not isinstance(found, dict):
        raise _wrong(path, 1, "it must hold names with their values")
    return found


def single(path: str, name: str, found: Any) -> Any:
    """The one value of `name`: lists of one are taken for it. Raises ConnectionNotUnique for several."""
    if not isinstance(found, list):
        return found
    if len(found) != 1:
        raise ConnectionNotUnique(f"the secrets file {path} has {len(found)} values for {name!r}")
    return found[0]


def connection_from(path: str, conn_id: str, value: Any) -> Connection:
    """The connection that a URI, JSON text or an object of its parts describes. Raises AirflowException."""
    from dagdeck.connection import Connection

    if isinstance(value, str):
        return (
            Connection.from_json(value, conn_id) if value.lstrip().startswith("{") else Connection(conn_id, uri=value)
        )
    if not isinstance(value, dict):
        raise AirflowException(
            f"connection {conn_id!r} in {path} must be a URI or an object of its parts, not {type(value).__name__}"
        )
    parts = dict(value)
    if "extra_dejson" in parts:
        if "extra" in parts:
            raise AirflowException(f"connection {conn_id!r} in {path} has both extra and extra_dejson: keep one")
        parts["extra"] = json.dumps(parts.pop("extra_dejson"))
    unknown = sorted(set(parts) - _KEYS)
    if unknown:
        raise AirflowException(f"connection {conn_id!r} in {path} has unknown parts: {', '.join(map(str, unknown))}")
    if parts.pop("conn_id", conn_id) != conn_id:
        raise AirflowException(f"connection {conn_id!r} in {path} calls itself by another conn_id")
    return Connection(conn_id, **parts)


def _wrong(path: str, line: int, complaint: str) -> AirflowException:
    return AirflowException(f"the secrets file {path}, line {line}: {complaint}")


def _json(path: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(path, error.lineno, f"this is no JSON: {error.msg}") from None


def _yaml(path: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        # Its own text repeats the line, which may hold a secret.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _wrong(path, line, f"this is no YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise _wrong(path, 1, "this is no YAML") from None


def _env(path: str, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name or not value:
            lacking = "an equals sign" if not equals else "a name" if not name else "a value"
            raise _wrong(path, number, f"NAME=value is expected, and {lacking} is missing")
        if name in found:
            before = found[name]
            found[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            found[name] = value
    return found


_PARSERS: dict[str, Callable[[str, str], Any]] = {".json": _json, ".yaml": _yaml, ".yml": _yaml, ".env": _env}
