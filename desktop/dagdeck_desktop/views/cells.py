"""Drawings for cells of tables: two lines of text, tags, a switch.

Decides their look. Used by the pages' columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter

from dagdeck_desktop.theme import FontRole, Theme

SWITCH_WIDTH = 32
SWITCH_HEIGHT = 18
_TAG_HEIGHT = 17


def paint_two_lines(painter: QPainter, rect: QRect, theme: Theme, first: str, second: str) -> None:
    """A name with a quieter line under it; without a second line the name stands in the middle."""
    middle = rect.center().y()
    upper = QRect(rect.left(), middle - 18, rect.width(), 18) if second else rect
    _line(painter, upper, theme.font(FontRole.BODY_MEDIUM), theme.tokens.text_1, first)
    if second:
        lower = QRect(rect.left(), middle + 1, rect.width(), 16)
        _line(painter, lower, theme.font(FontRole.SECONDARY), theme.tokens.text_2, second)


def paint_name_and_tags(
    painter: QPainter, rect: QRect, theme: Theme, name: str, text: str, tags: Sequence[str]
) -> None:
    """A name; under it tags as small labels, then a text."""
    paint_two_lines(painter, rect, theme, name, " " if tags or text else "")
    font = theme.font(FontRole.SMALL)
    metrics = QFontMetrics(font)
    left, top = rect.left(), rect.center().y() + 1
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(font)
    for number, tag in enumerate(tags):
        shown = tag if number < 4 else f"+{len(tags) - 4}"
        width = metrics.horizontalAdvance(shown) + 12
        if left + width > rect.right() or number > 4:
            break
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.tokens.hover)
        painter.drawRoundedRect(QRectF(left, top, width, _TAG_HEIGHT), 4, 4)
        painter.setPen(theme.tokens.text_2)
        painter.drawText(QRect(left, top, width, _TAG_HEIGHT), Qt.AlignmentFlag.AlignCenter, shown)
        left += width + 5
    painter.restore()
    if text:
        gap = 3 if tags else 0
        place = QRect(left + gap, top, rect.right() - left - gap, _TAG_HEIGHT)
        _line(painter, place, theme.font(FontRole.SECONDARY), theme.tokens.text_2, text)


def paint_switch(painter: QPainter, rect: QRect, theme: Theme, *, is_on: bool, is_busy: bool = False) -> None:
    """A switch at the left of a rectangle, in its middle."""
    tokens = theme.tokens
    top = rect.center().y() - SWITCH_HEIGHT // 2
    track = QRectF(rect.left(), top, SWITCH_WIDTH, SWITCH_HEIGHT)
    painter.save()
    painter.setOpacity(0.55 if is_busy else 1.0)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(tokens.accent if is_on else tokens.border_strong)
    painter.drawRoundedRect(track, SWITCH_HEIGHT / 2, SWITCH_HEIGHT / 2)
    painter.setBrush(tokens.on_accent if is_on else tokens.surface)
    knob = SWITCH_HEIGHT - 4
    left = track.right() - knob - 2 if is_on else track.left() + 2
    painter.drawEllipse(QRectF(left, top + 2, knob, knob))
    painter.restore()


def _line(painter: QPainter, rect: QRect, font: QFont, color: QColor, text: str) -> None:
    painter.setFont(font)
    painter.setPen(color)
    shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, rect.width())
    painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
