"""The navigation rail at the left: one entry per page, and a few for the window itself.

Decides its look and keyboard. Does not know pages. Used by `window`.
"""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QFrame, QVBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme

_WIDTH, _HEIGHT = 60, 52
_LOGO = 26
_DISABLED = 0.4


class RailButton(QAbstractButton):
    """An icon with a word below."""

    def __init__(self, theme: Theme, icons: Icons, text: str, icon_name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self._icon_name = icon_name
        self.setText(text)
        self.setAccessibleName(text)
        self.setFixedSize(_WIDTH, _HEIGHT)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # A click must not leave a focus ring behind.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        theme.changed.connect(self.update)

    def set_look(self, text: str, icon_name: str) -> None:
        """Change word and icon."""
        self._icon_name = icon_name
        self.setText(text)
        self.setAccessibleName(text)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(_WIDTH, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = self._theme.tokens
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = tokens.accent_ground if self.isChecked() else tokens.hover if self.underMouse() else None
        painter.setBrush(ground if ground is not None else Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(tokens.accent, 1.0) if self.hasFocus() else Qt.PenStyle.NoPen)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 7, 7)
        color = tokens.accent if self.isChecked() else tokens.text_2
        painter.setOpacity(1.0 if self.isEnabled() else _DISABLED)
        side = self._theme.metrics.rail_icon
        pixmap = self._icons.pixmap(self._icon_name, side, color, self.devicePixelRatioF())
        painter.drawPixmap((self.width() - side) // 2, 8, pixmap)
        font = self._theme.font(FontRole.SMALL)
        font.setWeight(font.Weight.DemiBold if self.isChecked() else font.Weight.Medium)
        painter.setFont(font)
        painter.setPen(color)
        painter.drawText(QRect(0, 30, self.width(), 18), Qt.AlignmentFlag.AlignCenter, self.text())
        painter.end()


class _Logo(QWidget):
    """The product's sign."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self.setFixedSize(_WIDTH, 48)
        self.setAccessibleName("DagDeck")
        theme.changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        color = self._theme.tokens.accent
        painter.drawPixmap(
            (self.width() - _LOGO) // 2,
            (self.height() - _LOGO) // 2,
            self._icons.pixmap("workflow", _LOGO, color, self.devicePixelRatioF()),
        )
        painter.end()


class Rail(QFrame):
    """The rail. `chosen` tells the key of the entry that was clicked."""

    chosen = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self.setProperty("role", "rail")
        self.setFixedWidth(theme.metrics.rail_width)
        self.setAccessibleName("Navigation")
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 7, 12)
        column.setSpacing(6)
        column.addWidget(_Logo(theme, icons, self))
        self._pages = QVBoxLayout()
        self._pages.setSpacing(6)
        column.addLayout(self._pages)
        column.addStretch(1)
        self._bottom = QVBoxLayout()
        self._bottom.setSpacing(6)
        column.addLayout(self._bottom)
        self._group = QButtonGroup(self)
        self._buttons: dict[str, RailButton] = {}

    def add_page(self, key: str, text: str, icon_name: str) -> RailButton:
        """An entry for a page; it is marked while that is in front."""
        made = self._add(key, text, icon_name, self._pages)
        made.setCheckable(True)
        self._group.addButton(made)
        return made

    def add_command(self, key: str, text: str, icon_name: str, *, is_page: bool = False) -> RailButton:
        """An entry at the bottom that does something; one that leads to a page is marked while that is in front."""
        made = self._add(key, text, icon_name, self._bottom)
        if is_page:
            made.setCheckable(True)
            self._group.addButton(made)
        return made

    def set_pages_enabled(self, is_enabled: bool) -> None:
        """Without a cluster its pages have nothing to show."""
        for number in range(self._pages.count()):
            item = self._pages.itemAt(number)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.setEnabled(is_enabled)

    def mark(self, key: str) -> None:
        """Mark a page's entry; none for a key without one."""
        found = self._buttons.get(key)
        if found is not None and found.isCheckable():
            found.setChecked(True)
            return
        checked = self._group.checkedButton()
        if checked is not None:
            self._group.setExclusive(False)
            checked.setChecked(False)
            self._group.setExclusive(True)

    def button(self, key: str) -> RailButton:
        """An entry by its key. Raises KeyError."""
        return self._buttons[key]

    def _add(self, key: str, text: str, icon_name: str, place: QVBoxLayout) -> RailButton:
        made = RailButton(self._theme, self._icons, text, icon_name, self)
        made.setObjectName(f"rail.{key}")
        made.clicked.connect(lambda: self.chosen.emit(key))
        place.addWidget(made, 0, Qt.AlignmentFlag.AlignHCenter)
        self._buttons[key] = made
        return made

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        buttons = [each for each in self._buttons.values() if each.isEnabled()]
        focused = [at for at, each in enumerate(buttons) if each.hasFocus()]
        if step is None or not focused:
            super().keyPressEvent(event)
            return
        buttons[(focused[0] + step) % len(buttons)].setFocus(Qt.FocusReason.TabFocusReason)
