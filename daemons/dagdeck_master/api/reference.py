"""The table of operations in docs/api.md, made from the routes and the permissions.

Decides the table's form. Run as `python -m dagdeck_master.api.reference` it writes the table into the page anew; a test
compares the page with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fastapi.routing import APIRoute

from dagdeck_master.api.app import ROUTERS
from dagdeck_master.api.permissions import RULES

BEGIN = "<!-- operations: begin -->"
END = "<!-- operations: end -->"


def operations_table() -> str:
    """One row per operation: method and path, least role, what it does."""
    rows = []
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.operation_id is not None:
                summary = (route.description or "").partition("\n")[0].rstrip(".:")
                methods = ", ".join(sorted(route.methods or ()))
                role = RULES[route.operation_id].stored_name
                rows.append((route.path.replace(":path", ""), methods, role, summary))
    lines = ["| operation | role | what it does |", "|---|---|---|"]
    lines += [f"| `{methods} {path}` | {role} | {summary} |" for path, methods, role, summary in sorted(rows)]
    return "\n".join(lines)


def with_table(page: str) -> str:
    """`page` with its table of operations made anew. Raises ValueError when it has no markers."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must have the markers {BEGIN} and {END} once each")
    return f"{head}{BEGIN}\n{operations_table()}\n{END}{tail}"


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/api.md")
    target.write_text(with_table(target.read_text(encoding="utf-8")), encoding="utf-8")
