"""Contrast between colours as WCAG 2 defines it, and colours made readable by it.

Decides how far a colour must move to be read on a ground. Does not choose colours (`tokens`, `states`). Called by
`states` for pills and by the tests of the tokens.
"""

from __future__ import annotations

from PySide6.QtGui import QColor

TEXT = 4.5
"""The least contrast of text against its ground (WCAG AA)."""
GRAPHIC = 3.0
"""The least contrast of a shape that carries meaning (WCAG AA, non-text)."""
_STEPS = 20


def luminance(color: QColor) -> float:
    """The relative luminance, 0 (black) to 1 (white)."""
    red, green, blue = (_linear(part) for part in (color.redF(), color.greenF(), color.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: QColor, other: QColor) -> float:
    """The contrast ratio of two opaque colours, 1 to 21, whichever is the lighter."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mix(color: QColor, into: QColor, share: float) -> QColor:
    """`share` (0 to 1) of `color`, the rest of `into`; opaque."""
    parts = (
        (getattr(color, part)() * share + getattr(into, part)() * (1.0 - share)) for part in ("redF", "greenF", "blueF")
    )
    return QColor.fromRgbF(*parts)


def readable(color: QColor, ground: QColor, toward: QColor, least: float = TEXT) -> QColor:
    """`color`, moved as little toward `toward` as gives it `least` contrast on `ground`; `toward` if nothing does."""
    for step in range(_STEPS):
        candidate = mix(toward, color, step / _STEPS)
        if contrast(candidate, ground) >= least:
            return candidate
    return QColor(toward)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.03928 else float(((part + 0.055) / 1.055) ** 2.4)
