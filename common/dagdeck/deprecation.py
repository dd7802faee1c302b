"""Warnings about names and arguments of earlier Airflow versions.

Decides how such a warning is worded, whose line it names and that each file hears it once. Does not decide what is
deprecated (`dagdeck.airflow_layer.table`, `dagdeck.old_keywords`). Called where an old name or argument is met.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

_OWN_FOLDERS = tuple(str(Path(__file__).parent.parent / name) for name in ("dagdeck", "dagdeck_task"))
_IMPORT_SYSTEM = ("<frozen importlib", "<frozen runpy")


class RemovedInAirflow3Warning(DeprecationWarning):
    """A DAG file uses what Airflow 3 no longer has; DagDeck still understands it."""


class RemovedInAirflow4Warning(DeprecationWarning):
    """A DAG file uses what Airflow 4 will no longer have."""


class AirflowProviderDeprecationWarning(DeprecationWarning):
    """A DAG file uses what a provider package will no longer have."""


def warn_deprecated(subject: str, instead: str) -> None:
    """Warn the nearest author's file, once, that it uses `subject`, and what to write instead."""
    frame = author_frame()
    if frame is None:
        return
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    heard = ("dagdeck", subject)
    if registry.get(heard):
        return
    warnings.warn_explicit(
        f"{subject} is from an earlier Airflow. {instead}",
        RemovedInAirflow3Warning,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=frame.f_globals.get("__name__"),
        registry=registry,
    )
    registry[heard] = True


def author_frame() -> FrameType | None:
    """The innermost frame that is neither DagDeck's nor the import system's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN_FOLDERS) and not file.startswith(_IMPORT_SYSTEM):
            return frame
        frame = frame.f_back
    return None
