"""The environment that user code's processes start with: the worker's own, less what opens our servers.

Decides which variables are held back. Called by both process hosts when they start their helper process.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

from dagdeck_core.bundled import original_environment

NOTHING: Mapping[str, str] = {}
OWN_PREFIX = "DAGDECK__"
OWN_VARIABLES = frozenset({"DAGDECK_CONFIG", "DAGDECK_TOKEN"})
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@]*:[^/\s@]+@", re.IGNORECASE)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without DagDeck's settings and without URLs that carry a password in variables named …URL.

    Other secrets stay: people put them there for their tasks.
    """
    original = original_environment(environment, getattr(sys, "_MEIPASS", None))
    return {name: value for name, value in original.items() if not _is_ours(name, value)}


def _is_ours(name: str, value: str) -> bool:
    if name.startswith(OWN_PREFIX) or name in OWN_VARIABLES:
        return True
    return name.upper().endswith(("URL", "URI", "DSN")) and _URL_WITH_PASSWORD.search(value) is not None
