"""Which names denote secrets.

Decides that from the name alone, as Airflow does. Asked before values are logged, rendered or shown.
"""

from __future__ import annotations

from typing import Any

SENSITIVE_WORDS = (
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "token",
    "keyfile_dict",
    "service_account",
)
HIDDEN = "***"


def is_sensitive_name(name: object) -> bool:
    """Whether a value under this name is a secret."""
    if not isinstance(name, str):
        return False
    lowered = name.strip().lower()
    return any(word in lowered for word in SENSITIVE_WORDS)


def redact(value: Any, name: str | None = None, max_depth: int | None = None) -> Any:
    """`value` with what stands under telling names replaced by ***; containers are searched to `max_depth`."""
    if max_depth is not None and max_depth < 0:
        return value
    depth = 5 if max_depth is None else max_depth
    if name is not None and is_sensitive_name(name) and value:
        return HIDDEN if not isinstance(value, (dict, list, tuple)) else _hidden(value)
    if isinstance(value, dict):
        return {key: redact(item, key if isinstance(key, str) else None, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(redact(item, None, depth - 1) for item in value)
    return value


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_hidden(item) for item in value)
    return HIDDEN
