"""Makers of labels, buttons, cards and fields in the stylesheet's variants.

Decides which properties make which variant. Does not decide what they say. Used by every screen.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.theme.theme import AnyState


class Card(QFrame):
    """A surface with a border and round corners; `body` is its layout."""

    def __init__(self, parent: QWidget | None = None, *, margin: int = 16, gap: int = 8) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(margin, margin, margin, margin)
        self.body.setSpacing(gap)


class IconLabel(QWidget):
    """An icon that follows the theme and the display, in a square of its own size."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        name: str,
        size: int = 16,
        token: str = "text_2",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self._look = (name, size, token)
        self._state: AnyState = None
        self._has_state = False
        self.setFixedSize(size, size)
        theme.changed.connect(self.update)

    def set_look(self, name: str, token: str) -> None:
        """Show another icon, or another colour."""
        self._look = (name, self._look[1], token)
        self._has_state = False
        self.update()

    def set_state(self, state: AnyState) -> None:
        """Show the sign of a state in its colour."""
        self._state, self._has_state = state, True
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(self._look[1], self._look[1])

    def paintEvent(self, event: QPaintEvent) -> None:
        name, size, token = self._look
        color = self._theme.color(token)
        if self._has_state:
            name, color = self._theme.state_icon(self._state), self._theme.state_ink(self._state)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._icons.pixmap(name, size, color, self.devicePixelRatioF()))
        painter.end()


def label(text: str = "", role: str = "body", parent: QWidget | None = None, *, wraps: bool = False) -> QLabel:
    """A label of a role: body, secondary, tertiary, section, title, value, danger, warning. Its text is plain."""
    made = QLabel(text, parent)
    made.setProperty("role", role)
    # What a server or a DAG's author wrote must never be taken for markup.
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wraps)
    return made


def button(text: str, icons: Icons, icon: str = "", kind: str = "", parent: QWidget | None = None) -> QPushButton:
    """A button of a kind: "" (ordinary), primary, danger, quiet."""
    made = QPushButton(text, parent)
    if kind:
        made.setProperty("kind", kind)
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    if icon:
        # Qt draws the icon close to the text; a thin blank keeps them apart at every font.
        made.setText(f"\u2009{text}" if text else "")
        token = {"primary": "on_accent", "danger": "danger"}.get(kind, "text_2")
        icons.bind(made, icon, token=token)
    made.setAccessibleName(text)
    return made


def line(parent: QWidget | None = None) -> QFrame:
    """A horizontal line of one pixel."""
    made = QFrame(parent)
    made.setProperty("role", "line")
    made.setFixedHeight(1)
    return made


def search_field(placeholder: str, icons: Icons, parent: QWidget | None = None) -> QLineEdit:
    """A line to type a search in, with a magnifier and a cross to empty it."""
    field = QLineEdit(parent)
    field.setPlaceholderText(placeholder)
    field.setAccessibleName(placeholder)
    field.setClearButtonEnabled(True)
    action = QAction(field)
    icons.bind(action, "search", token="text_3")
    field.addAction(action, QLineEdit.ActionPosition.LeadingPosition)
    field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return field


def set_variant(widget: QWidget, name: str, value: object) -> None:
    """Change a property that the stylesheet looks at, and dress the widget anew."""
    if widget.property(name) != value:
        widget.setProperty(name, value)
        style = widget.style()
        style.unpolish(widget)
        style.polish(widget)
