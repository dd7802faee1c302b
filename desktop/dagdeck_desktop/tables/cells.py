"""Drawings that cells of any table share: a line of text, a bar of a share with its text.

Decides their look. Used by `row_table` and by columns of pages.
"""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter

from dagdeck_desktop.theme import FontRole, Theme

_BAR_WIDTH, _BAR_HEIGHT = 64, 6
_MOST = 1_000
"""Characters of a cell that are looked at: no cell is wider."""


def paint_text(
    painter: QPainter, rect: QRect, font: QFont, color: QColor, text: str, *, is_number: bool = False
) -> None:
    """One line of plain text, with "…" in its middle where there is no room."""
    painter.setFont(font)
    painter.setPen(color)
    side = Qt.AlignmentFlag.AlignRight if is_number else Qt.AlignmentFlag.AlignLeft
    plain = " ".join(text[:_MOST].split())
    shown = painter.fontMetrics().elidedText(plain, Qt.TextElideMode.ElideMiddle, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | side, shown)


def paint_share(painter: QPainter, rect: QRect, theme: Theme, share: float, text: str, color: QColor) -> None:
    """A bar from 0 to 1 with its text beside it."""
    tokens = theme.tokens
    width = min(_BAR_WIDTH, rect.width())
    whole = QRectF(rect.left(), rect.center().y() - _BAR_HEIGHT / 2.0, width, _BAR_HEIGHT)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(tokens.border)
    painter.drawRoundedRect(whole, 3, 3)
    filled = max(0.0, min(1.0, share)) * whole.width()
    if filled > 0:
        painter.setBrush(color)
        painter.drawRoundedRect(QRectF(whole.left(), whole.top(), max(filled, 4.0), _BAR_HEIGHT), 3, 3)
    painter.restore()
    paint_text(painter, rect.adjusted(width + 8, 0, 0, 0), theme.font(FontRole.FIGURES), tokens.text_1, text)
