"""Short notices at the lower right: what an action did, or why it was refused.

Decides how long they stay (errors until they are closed) and how many fit. Does not keep them. Used by `window`.
"""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.widgets.controls import IconLabel, button, label

SHOWN_SECONDS = 6.0
MOST = 4
_WIDTH = 360


class Tone(StrEnum):
    """How serious a notice is."""

    DONE = "done"
    INFO = "info"
    ERROR = "error"


_ICONS = {Tone.DONE: "circle-check", Tone.INFO: "info", Tone.ERROR: "circle-x"}
_TOKENS = {Tone.DONE: "positive", Tone.INFO: "info", Tone.ERROR: "danger"}


class Notice(QFrame):
    """One notice."""

    def __init__(self, theme: Theme, icons: Icons, text: str, tone: Tone, details: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setProperty("role", "panel")
        self.setFixedWidth(_WIDTH)
        self.text = text
        self.setAccessibleName(text)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 10, 8, 10)
        row.setSpacing(10)
        sign = IconLabel(theme, icons, _ICONS[tone], 18, _TOKENS[tone], self)
        row.addWidget(sign, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(4)
        column.addWidget(label(text, "body", self, wraps=True))
        if details:
            copy = button("Copy details", icons, "copy", "quiet", self)
            copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(details))
            copy.setStyleSheet("padding: 0 4px; margin-left: -4px;")
            column.addWidget(copy, 0, Qt.AlignmentFlag.AlignLeft)
        row.addLayout(column, 1)
        close = QToolButton(self)
        close.setAccessibleName("Close")
        icons.bind(close, "x", 14, "text_3")
        close.clicked.connect(self.close_now)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        if tone is not Tone.ERROR:
            QTimer.singleShot(round(SHOWN_SECONDS * 1000), self, self.close_now)

    def close_now(self) -> None:
        """Go away."""
        self.hide()
        self.deleteLater()


class NoticeArea(QWidget):
    """The notices of a window, the newest lowest."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self._window = parent
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        parent.installEventFilter(self)
        self.hide()

    @property
    def texts(self) -> list[str]:
        """What is shown now."""
        return [each.text for each in self._notices()]

    def add(self, text: str, tone: Tone = Tone.INFO, details: str = "") -> None:
        """Show a notice."""
        shown = self._notices()
        for old in shown[: max(0, len(shown) - MOST + 1)]:
            old.close_now()
        notice = Notice(self._theme, self._icons, text, tone, details, self)
        notice.destroyed.connect(self._place)
        self._column.addWidget(notice)
        notice.show()
        self.show()
        self._place()

    def _notices(self) -> list[Notice]:
        found = (self._column.itemAt(at) for at in range(self._column.count()))
        widgets = (item.widget() for item in found if item is not None)
        return [each for each in widgets if isinstance(each, Notice) and not each.isHidden()]

    def _place(self) -> None:
        if not self._notices():
            self.hide()
            return
        self.adjustSize()
        parent = self._window
        self.move(parent.width() - self.width() - 20, parent.height() - self.height() - 44)
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)
