"""What lies over the graph: heading, zoom buttons, legend of the states there are, round corners.

Decides their look and size. Does not place them or act (`area`).
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPainterPath, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QWidget

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme, draw_state_cell

_CELL = 11
_GAP = 6
_BETWEEN = 16
_ROW = 19


class ZoomButtons(QFrame):
    """Smaller, larger, all; each a button with a name and a shortcut in its tooltip."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        row = QHBoxLayout(self)
        row.setContentsMargins(3, 2, 3, 2)
        row.setSpacing(2)
        self.smaller = self._button(icons, "minus", "Zoom out", "-")
        self.larger = self._button(icons, "plus", "Zoom in", "+")
        self.all = self._button(icons, "maximize", "Show all", "F")
        self.setFixedSize(104, 32)

    def _button(self, icons: Icons, icon: str, name: str, key: str) -> QToolButton:
        made = QToolButton(self)
        made.setFixedSize(QSize(30, 26))
        made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        made.setAccessibleName(name)
        made.setToolTip(f"{name} ({key})")
        icons.bind(made, icon, 16)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(made)
        return made


class Heading(QWidget):
    """A title with a quieter second text beside it."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._texts = ("", "")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.changed.connect(self.update)
        self.hide()

    def set_texts(self, title: str, text: str) -> None:
        """Say something; two empty texts hide it."""
        self._texts = (title, text)
        self.setAccessibleName(" ".join(part for part in (title, text) if part))
        self.resize(self.sizeHint())
        self.setVisible(bool(title or text))
        self.update()

    def sizeHint(self) -> QSize:
        title = QFontMetrics(self._theme.font(FontRole.SECTION)).horizontalAdvance(self._texts[0])
        text = QFontMetrics(self._theme.font(FontRole.SECONDARY)).horizontalAdvance(self._texts[1])
        return QSize(title + 8 + text + 2, 24)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        font = self._theme.font(FontRole.SECTION)
        painter.setFont(font)
        painter.setPen(self._theme.tokens.text_1)
        # One baseline for both sizes.
        baseline = 17
        painter.drawText(QPointF(0, baseline), self._texts[0])
        left = QFontMetrics(font).horizontalAdvance(self._texts[0]) + (8 if self._texts[0] else 0)
        painter.setFont(self._theme.font(FontRole.SECONDARY))
        painter.setPen(self._theme.tokens.text_2)
        painter.drawText(QPointF(left, baseline), self._texts[1])


class Legend(QWidget):
    """The states that occur, each as its small cell and its word, in as many rows as the room takes."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._states: tuple[TaskInstanceState, ...] = ()
        self._room = 10_000
        self._places: list[tuple[TaskInstanceState, int, int]] = []
        self._picture: QPixmap | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.changed.connect(self._draw_anew)

    def set_states(self, states: Sequence[TaskInstanceState]) -> None:
        """Show these, in their order."""
        if tuple(states) != self._states:
            self._states = tuple(states)
            names = ", ".join(self._theme.state_label(state) for state in states)
            self.setAccessibleName(f"States in this graph: {names}")
            self._arrange()

    def set_room(self, width: int) -> None:
        """Say how wide it may be."""
        if width != self._room:
            self._room = width
            self._arrange()

    @property
    def states(self) -> tuple[TaskInstanceState, ...]:
        """What is shown."""
        return self._states

    def _arrange(self) -> None:
        metrics = QFontMetrics(self._theme.font(FontRole.SMALL))
        self._places = []
        x, row, widest = 0, 0, 0
        for state in self._states:
            width = _CELL + _GAP + metrics.horizontalAdvance(self._theme.state_label(state))
            if x and x + width > self._room:
                x, row = 0, row + 1
            self._places.append((state, x, row))
            widest = max(widest, x + width)
            x += width + _BETWEEN
        self.resize(widest + 2, (row + 1) * _ROW)
        self._draw_anew()

    def _draw_anew(self) -> None:
        self._picture = None
        self.update()

    def _draw(self) -> QPixmap:
        """The legend as a picture: it is painted with every move of the graph below."""
        dpr = self.devicePixelRatioF()
        picture = QPixmap(round(self.width() * dpr), round(self.height() * dpr))
        picture.setDevicePixelRatio(dpr)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        theme, font = self._theme, self._theme.font(FontRole.SMALL)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        baseline = (_ROW + metrics.ascent() - metrics.descent()) // 2
        for state, x, row in self._places:
            cell = QRectF(x, row * _ROW + (_ROW - _CELL) // 2, _CELL, _CELL)
            color, glyph = theme.state_color(state), theme.state_glyph(state)
            draw_state_cell(painter, cell, color, glyph, theme.tokens.canvas, 2.5)
            painter.setPen(theme.tokens.text_2)
            painter.drawText(QPointF(x + _CELL + _GAP, row * _ROW + baseline), theme.state_label(state))
        painter.end()
        return picture

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._picture is None or self._picture.devicePixelRatio() != self.devicePixelRatioF():
            self._picture = self._draw()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        painter.end()


class Corner(QWidget):
    """One round corner of the card that the graph is: what is outside the arc has the page's colour."""

    def __init__(self, theme: Theme, parent: QWidget, at: Qt.Corner) -> None:
        super().__init__(parent)
        self._theme = theme
        self._at = at
        radius = theme.metrics.card_radius
        self.setFixedSize(radius, radius)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.changed.connect(self.update)

    @property
    def is_upper(self) -> bool:
        """True for the two at the top."""
        return self._at in (Qt.Corner.TopLeftCorner, Qt.Corner.TopRightCorner)

    def place_in(self, size: QSize) -> None:
        """Go to this corner of a parent of a size."""
        is_right = self._at in (Qt.Corner.TopRightCorner, Qt.Corner.BottomRightCorner)
        is_low = self._at in (Qt.Corner.BottomLeftCorner, Qt.Corner.BottomRightCorner)
        self.move(size.width() - self.width() if is_right else 0, size.height() - self.height() if is_low else 0)

    def paintEvent(self, event: QPaintEvent) -> None:
        radius = float(self.width())
        is_right = self._at in (Qt.Corner.TopRightCorner, Qt.Corner.BottomRightCorner)
        is_low = self._at in (Qt.Corner.BottomLeftCorner, Qt.Corner.BottomRightCorner)
        circle = QRectF(-radius if is_right else 0.0, -radius if is_low else 0.0, 2 * radius, 2 * radius)
        outside, arc = QPainterPath(), QPainterPath()
        outside.addRect(QRectF(self.rect()))
        arc.addEllipse(circle)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillPath(outside.subtracted(arc), self._theme.tokens.bg)
        painter.setPen(QPen(self._theme.tokens.border, 1.0))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(circle.adjusted(0.5, 0.5, -0.5, -0.5))
