"""Qt's palette made of our tokens, so that every standard widget fits without a stylesheet.

Decides which role has which token. Called by `theme`.
"""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette

from dagdeck_desktop.theme.tokens import Tokens


def palette_of(tokens: Tokens) -> QPalette:
    """The palette of one appearance."""
    role = QPalette.ColorRole
    palette = QPalette()
    colors: dict[QPalette.ColorRole, QColor] = {
        role.Window: tokens.bg,
        role.WindowText: tokens.text_1,
        role.Base: tokens.surface,
        role.AlternateBase: tokens.canvas,
        role.Text: tokens.text_1,
        role.PlaceholderText: tokens.text_3,
        role.Button: tokens.surface,
        role.ButtonText: tokens.text_1,
        role.BrightText: tokens.danger,
        role.Highlight: tokens.accent,
        role.HighlightedText: tokens.on_accent,
        role.Accent: tokens.accent,
        role.Link: tokens.accent,
        role.LinkVisited: tokens.accent,
        role.ToolTipBase: tokens.surface,
        role.ToolTipText: tokens.text_1,
        role.Light: tokens.surface,
        role.Midlight: tokens.border,
        role.Mid: tokens.border_strong,
        role.Dark: tokens.border_strong,
        role.Shadow: tokens.border_strong,
    }
    for which, color in colors.items():
        palette.setColor(which, color)
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, tokens.text_3)
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, tokens.border_strong)
    return palette
