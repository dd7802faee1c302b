"""The appearances that a person can choose.

Decides nothing. Kept by `settings`, shown by `theme`.
"""

from __future__ import annotations

from enum import StrEnum


class Appearance(StrEnum):
    """What a person chose."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"
