"""How everything looks: colours, type, sizes, Qt's palette and stylesheet, in light and dark.

Decides every colour and font of the desktop, and which appearance is shown now. Does not draw screens. Made once by
`app` and passed by constructor to whatever paints.
"""

from dagdeck_desktop.theme.appearance import Appearance
from dagdeck_desktop.theme.fonts import FontRole, load_fonts
from dagdeck_desktop.theme.glyphs import StateGlyph, draw_state_cell, draw_state_glyph
from dagdeck_desktop.theme.states import ShownState, StateTone
from dagdeck_desktop.theme.theme import Theme
from dagdeck_desktop.theme.tokens import Metrics, Tokens

__all__ = [
    "Appearance",
    "FontRole",
    "Metrics",
    "ShownState",
    "StateGlyph",
    "StateTone",
    "Theme",
    "Tokens",
    "draw_state_cell",
    "draw_state_glyph",
    "load_fonts",
]
