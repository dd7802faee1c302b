"""Any value as bounded JSON for people to look at: template fields, default_args, params.

Decides how what is not JSON is shown, how much of it, and that secrets are not. Nothing reads the
result back. Used by the serialiser and for rendered fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any

from dagdeck.secrecy import HIDDEN, is_sensitive_name

TEXT_LIMIT = 4_096
"""Characters of one string that are shown."""
ITEM_LIMIT = 200
"""Items of one container that are shown."""
DEPTH_LIMIT = 8


def viewed(
    value: Any, *, name: object = None, mask: Callable[[str], str] | None = None, depth: int = DEPTH_LIMIT
) -> Any:
    """`value` as JSON; `name` is the key it stands under, `mask` hides known secrets inside strings."""
    if is_sensitive_name(name) and value:
        return HIDDEN
    if value is None or (isinstance(value, (bool, int)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        # JSON has no NaN and no infinity.
        return value if value - value == 0 else str(value)
    if isinstance(value, Enum):
        return viewed(value.value, mask=mask, depth=depth)
    if isinstance(value, str):
        return _text(str(value), mask)
    if depth > 0 and isinstance(value, Mapping):
        pairs = list(value.items())
        shown = {str(key): viewed(item, name=key, mask=mask, depth=depth - 1) for key, item in pairs[:ITEM_LIMIT]}
        if len(pairs) > ITEM_LIMIT:
            shown["…"] = f"{len(pairs) - ITEM_LIMIT} more"
        return shown
    if depth > 0 and isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else list(value)
        seen = [viewed(item, mask=mask, depth=depth - 1) for item in items[:ITEM_LIMIT]]
        return [*seen, f"… {len(items) - ITEM_LIMIT} more"] if len(items) > ITEM_LIMIT else seen
    return _text(_described(value), mask)


def _described(value: Any) -> str:
    """A text for what is not JSON that is the same in every process: no memory addresses."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"<callable {value.__module__}.{value.__qualname__}>"
    try:
        described = str(value)
    except Exception:  # noqa: BLE001 - a broken __str__ of the author's must not hide the DAG
        described = " at 0x"
    cls = type(value)
    return f"<{cls.__module__}.{cls.__qualname__}>" if " at 0x" in described else described


def _text(text: str, mask: Callable[[str], str] | None) -> str:
    if mask is not None:
        text = mask(text)
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}… ({len(text)} characters in all)"
