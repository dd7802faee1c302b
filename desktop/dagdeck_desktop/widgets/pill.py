"""A state as a pill: icon, word and colour, so that colour is never the only sign.

Decides its drawing and size; `paint_pill` is the same for tables' delegates. Does not decide states. Used by headers,
panels and tables.
"""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.theme.theme import AnyState

HEIGHT = 24
_SIDE = 8
_GAP = 5
_ICON = 14


def pill_size(theme: Theme, state: AnyState) -> QSize:
    """The size a pill needs."""
    width = QFontMetrics(theme.font(FontRole.SECONDARY)).horizontalAdvance(theme.state_label(state))
    return QSize(_SIDE + _ICON + _GAP + width + _SIDE + 3, HEIGHT)


def paint_pill(painter: QPainter, rect: QRect, state: AnyState, theme: Theme, icons: Icons) -> None:
    """Draw a state's pill at the left of `rect`, centred vertically, no wider than it."""
    size = pill_size(theme, state)
    width = min(size.width(), rect.width())
    top = rect.top() + (rect.height() - HEIGHT) // 2
    box = QRectF(rect.left(), top, width, HEIGHT)
    tone = theme.state_tone(state)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(tone.border, 1.0) if theme.needs_border(state) else Qt.PenStyle.NoPen)
    painter.setBrush(tone.ground)
    painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), HEIGHT / 2, HEIGHT / 2)
    dpr = painter.device().devicePixelRatioF()
    painter.drawPixmap(
        rect.left() + _SIDE, top + (HEIGHT - _ICON) // 2, icons.pixmap(theme.state_icon(state), _ICON, tone.text, dpr)
    )
    _draw_text(painter, box, theme, theme.state_label(state), tone.text)
    painter.restore()


def _draw_text(painter: QPainter, box: QRectF, theme: Theme, text: str, color: QColor) -> None:
    font = theme.font(FontRole.SECONDARY)
    font.setWeight(font.Weight.Medium)
    painter.setFont(font)
    painter.setPen(color)
    room = box.adjusted(_SIDE + _ICON + _GAP, 0, -_SIDE + 3, 0)
    shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, int(room.width()))
    painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)


class StatePill(QWidget):
    """A state of a task or a run."""

    def __init__(self, theme: Theme, icons: Icons, state: AnyState = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self._state: AnyState = state
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)
        self.set_state(state)

    @property
    def state(self) -> AnyState:
        """What is shown."""
        return self._state

    def set_state(self, state: AnyState) -> None:
        """Show another state."""
        self._state = state
        self.setAccessibleName(f"State: {self._theme.state_label(state)}")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return pill_size(self._theme, self._state)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_pill(painter, self.rect(), self._state, self._theme, self._icons)
        painter.end()
