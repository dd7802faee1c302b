"""The bundled typefaces, Inter and JetBrains Mono, and the roles in which they are used.

Decides families, sizes in pixels, weights and OpenType features. Does not decide which text has which role. Called by
`theme`; `load_fonts` once by `app`, before the first widget.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import resources

from PySide6.QtGui import QFont, QFontDatabase

from dagdeck_core.errors import EnvironmentFault

UI_FAMILY = "Inter"
MONO_FAMILY = "JetBrains Mono"
_FILES = (
    "Inter-Regular.ttf",
    "Inter-Medium.ttf",
    "Inter-SemiBold.ttf",
    "JetBrainsMono-Regular.ttf",
    "JetBrainsMono-Bold.ttf",
)


class FontRole(StrEnum):
    """What a text is for."""

    BODY = "body"
    BODY_MEDIUM = "body_medium"
    BODY_STRONG = "body_strong"
    SECONDARY = "secondary"
    SMALL = "small"
    SECTION = "section"
    TITLE = "title"
    CARD_VALUE = "card_value"
    FIGURES = "figures"
    MONO = "mono"
    MONO_STRONG = "mono_strong"


_W = QFont.Weight
_ROLES: dict[FontRole, tuple[str, int, QFont.Weight]] = {
    FontRole.BODY: (UI_FAMILY, 13, _W.Normal),
    FontRole.BODY_MEDIUM: (UI_FAMILY, 13, _W.Medium),
    FontRole.BODY_STRONG: (UI_FAMILY, 13, _W.DemiBold),
    FontRole.SECONDARY: (UI_FAMILY, 12, _W.Normal),
    FontRole.SMALL: (UI_FAMILY, 11, _W.Normal),
    FontRole.SECTION: (UI_FAMILY, 14, _W.DemiBold),
    FontRole.TITLE: (UI_FAMILY, 18, _W.DemiBold),
    FontRole.CARD_VALUE: (UI_FAMILY, 22, _W.DemiBold),
    FontRole.FIGURES: (UI_FAMILY, 13, _W.Normal),
    FontRole.MONO: (MONO_FAMILY, 12, _W.Normal),
    FontRole.MONO_STRONG: (MONO_FAMILY, 12, _W.Bold),
}


_TABULAR = frozenset({FontRole.CARD_VALUE, FontRole.FIGURES})


def load_fonts() -> None:
    """Register the bundled fonts with Qt. Needs a QGuiApplication; a second call changes nothing.

    Raises EnvironmentFault when the installation lacks them.
    """
    known = set(QFontDatabase.families())
    if {UI_FAMILY, MONO_FAMILY} <= known and len(QFontDatabase.styles(UI_FAMILY)) >= 3:
        return
    folder = resources.files("dagdeck_assets") / "fonts"
    for name in _FILES:
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise EnvironmentFault(
                f"the font {name} is missing from the installation", transient=False, remedy="Install DagDeck again"
            ) from error
        QFontDatabase.addApplicationFontFromData(content)


def font_for(role: FontRole) -> QFont:
    """The font of a role. Sizes are logical pixels, which Qt scales with the display."""
    family, size, weight = _ROLES[role]
    font = QFont(family)
    font.setPixelSize(size)
    font.setWeight(weight)
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    if family == MONO_FAMILY:
        font.setStyleHint(QFont.StyleHint.Monospace)
        font.setFixedPitch(True)
        # A log must show what was written: "->" stays two characters.
        font.setFeature(QFont.Tag("calt"), 0)
    else:
        font.setStyleHint(QFont.StyleHint.SansSerif)
        if role in _TABULAR:
            # Figures of one width, so that numbers that change do not jump; it also widens hyphens, so not in texts.
            font.setFeature(QFont.Tag("tnum"), 1)
    return font
