"""Kinds of `@task` that installed provider packages bring, such as `@task.docker`.

Decides how they are found: by what each package says of itself. Asked by `task_decorators` for kinds it does not know.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from typing import Any

from dagdeck.imports import import_string

GROUP = "apache_airflow_provider"
"""Entry points by which provider packages describe themselves."""


@lru_cache(maxsize=1)
def _declared() -> dict[str, str]:
    """Kind → path of its decorator."""
    found: dict[str, str] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            described = point.load()()
        except Exception:  # noqa: BLE001 - a broken package must not stand in the way of others
            continue
        for decorator in described.get("task-decorators", ()):
            found[decorator["name"]] = decorator["class-name"]
    return found


def provider_decorator(kind: str) -> Any:
    """The decorator of this kind; None when no installed package brings it. Raises ImportError."""
    path = _declared().get(kind)
    return None if path is None else import_string(path)
