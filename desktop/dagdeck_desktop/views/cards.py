"""The cards at the top of pages: a title, a large figure, a line of explanation, and a small picture.

Decides their layout. Does not decide their figures. Used by Home, the DAG page and the Workers page.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from dagdeck_desktop.widgets import Card, label
from dagdeck_desktop.widgets.controls import set_variant
from dagdeck_desktop.widgets.header import ElidedLabel

HEIGHT = 96
SIDE = 16
LEAST_WIDTH = 150


class FigureCard(Card):
    """One figure. `set_picture` puts a small picture at its right."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, margin=0, gap=0)
        self.setFixedHeight(HEIGHT)
        # Cards in a row are of one width, whatever they say.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(LEAST_WIDTH)
        self._picture: QWidget | None = None
        self._title = title
        row = QHBoxLayout()
        row.setContentsMargins(SIDE, 12, SIDE, 12)
        row.setSpacing(12)
        column = QVBoxLayout()
        column.setSpacing(4)
        self._title_label = label(title, "secondary", self)
        self._value = ElidedLabel("–", "value", self)
        self._detail = ElidedLabel("", "tertiary", self)
        for widget in (self._title_label, self._value, self._detail):
            column.addWidget(widget)
        column.addStretch(1)
        row.addLayout(column, 1)
        self._row = row
        self.body.addLayout(row)

    def set_title(self, title: str) -> None:
        """Another title."""
        self._title = title
        self._title_label.setText(title)

    def set_figure(self, value: str, detail: str = "", *, is_bad: bool = False) -> None:
        """Show a value and what is to be said about it; `is_bad` puts that in the colour of a warning."""
        self._value.setText(value)
        self._detail.setText(detail)
        set_variant(self._detail, "role", "danger" if is_bad else "tertiary")
        self.setAccessibleName(f"{self._title}: {value}. {detail}")
        self._fit_picture()

    def set_picture(self, widget: QWidget) -> None:
        """Show a picture at the right, at the lower edge."""
        self._picture = widget
        self._row.addWidget(widget, 0, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom)
        self._fit_picture()

    def _fit_picture(self) -> None:
        """Where there is no room for both, words go before the picture."""
        if self._picture is not None:
            texts = max(each.sizeHint().width() for each in (self._title_label, self._value, self._detail))
            room = self.width() - 2 * SIDE - self._row.spacing() - self._picture.sizeHint().width()
            self._picture.setVisible(texts <= room)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_picture()

    @property
    def value(self) -> str:
        """The figure that is shown."""
        return self._value.text()


def card_row(*cards: QWidget, gap: int = 12) -> QHBoxLayout:
    """Cards side by side, all of one width."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(gap)
    for card in cards:
        row.addWidget(card, 1)
    return row
