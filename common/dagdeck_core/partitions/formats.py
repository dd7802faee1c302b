"""Reading partition keys back that were written with a date format.

Decides which formats can be read back and how. Used by the mappers of weeks and quarters, whose keys hold what
strptime cannot read (an ISO week number, a quarter).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dagdeck_core.errors import UserError

_DIRECTIVES: Mapping[str, str] = {
    "Y": r"\d{4}",
    **dict.fromkeys(("m", "d", "H", "M", "S", "V", "U", "W"), r"\d{2}"),
}


def key_pattern(output_format: str, placeholders: Mapping[str, str]) -> re.Pattern[str]:
    """The pattern of keys that `output_format` writes; its groups are named by directive letter or placeholder.

    `placeholders` gives the pattern of each `{name}` that the format may hold. Raises UserError for a
    placeholder that is not known, and for one, or a directive, that stands twice.
    """
    parts: list[str] = []
    seen: dict[str, None] = {}
    at = 0
    while at < len(output_format):
        rest = output_format[at:]
        name, length, pattern = "", 1, re.escape(rest[0])
        if rest[0] == "%" and rest[1:2] in _DIRECTIVES:
            name, length, pattern = rest[1], 2, _DIRECTIVES[rest[1]]
        elif rest[0] == "{" and "}" in rest:
            length = rest.index("}") + 1
            name = rest[1 : length - 1]
            if name not in placeholders:
                raise UserError(
                    f"the placeholder {{{name}}} is not known here", field="output_format", value=output_format
                )
            pattern = placeholders[name]
        if name:
            if name in seen:
                raise UserError(f"{rest[:length]} stands twice", field="output_format", value=output_format)
            seen[name] = None
            pattern = f"(?P<{name}>{pattern})"
        parts.append(pattern)
        at += length
    return re.compile("".join(parts))
