"""A page's head: where one is, the title with its state, the search, and the page's buttons.

Decides its layout. Does not decide what stands in it. Used by every page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QStyle, QStyleOptionButton, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.theme.theme import AnyState
from dagdeck_desktop.widgets.controls import IconLabel, button
from dagdeck_desktop.widgets.pill import StatePill

HEIGHT = 60
_CHEVRON = 14


class ElidedLabel(QLabel):
    """A line that ends in "…" where there is no room, and then shows all of it as a tool tip."""

    def __init__(self, text: str = "", role: str = "title", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._whole = text
        self.setText(text)

    def setText(self, text: str) -> None:
        self._whole = text
        super().setText(text)
        self.setAccessibleName(text)
        self._note_fit()

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(min(40, hint.width()), hint.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        shown = self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        side = self.alignment() & Qt.AlignmentFlag.AlignHorizontal_Mask
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | side, shown)
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._note_fit()

    def _note_fit(self) -> None:
        fits = self.fontMetrics().horizontalAdvance(self._whole) <= self.width()
        self.setToolTip("" if fits else self._whole)


class SearchButton(QPushButton):
    """Looks like a field and opens the command palette, which has the real one."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self.setAccessibleName("Search and commands")
        self.setToolTip("Search DAGs, runs, tasks and commands (Ctrl+K)")
        self.setCursor(Qt.CursorShape.IBeamCursor)
        self.setMinimumWidth(160)
        self.setMaximumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(300, self._theme.metrics.control_height)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        tokens = self._theme.tokens
        box = self.rect().adjusted(10, 0, -12, 0)
        dpr = self.devicePixelRatioF()
        painter.drawPixmap(box.left(), (self.height() - 16) // 2, self._icons.pixmap("search", 16, tokens.text_3, dpr))
        font = self._theme.font(FontRole.BODY)
        painter.setFont(font)
        painter.setPen(tokens.text_2)
        keys = "Ctrl+K"
        key_width = QFontMetrics(font).horizontalAdvance(keys)
        room = QRect(box.left() + 26, 0, box.width() - 26 - key_width - 8, self.height())
        middle = Qt.AlignmentFlag.AlignVCenter
        text = QFontMetrics(font).elidedText("Search DAGs, runs, tasks…", Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, middle | Qt.AlignmentFlag.AlignLeft, text)
        painter.setPen(tokens.text_3)
        painter.drawText(box, middle | Qt.AlignmentFlag.AlignRight, keys)
        painter.end()


class PageHeader(QWidget):
    """The head of a page. `search_wanted` follows a click into the search."""

    search_wanted = Signal()

    def __init__(self, theme: Theme, icons: Icons, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self.setFixedHeight(HEIGHT)
        margin = theme.metrics.page_margin
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(margin, 0, margin, 0)
        self._row.setSpacing(theme.metrics.inner_gap)
        self._crumbs: list[QWidget] = []
        self._title = ElidedLabel(title, "title", self)
        self._pill = StatePill(theme, icons, None, self)
        self._pill.hide()
        self._row.addWidget(self._title)
        self._row.addWidget(self._pill)
        self._notes = QHBoxLayout()
        self._notes.setContentsMargins(4, 0, 0, 0)
        self._notes.setSpacing(theme.metrics.inner_gap)
        self._row.addLayout(self._notes)
        self._row.addStretch(1)
        self.search = SearchButton(theme, icons, self)
        self.search.clicked.connect(self.search_wanted)
        self._row.addWidget(self.search, 2)

    def set_title(self, title: str) -> None:
        """The page's name, or the DAG's, run's or task's."""
        self._title.setText(title)

    def set_state(self, state: AnyState, *, is_shown: bool = True) -> None:
        """The state beside the title; not shown for what has none."""
        self._pill.set_state(state)
        self._pill.setVisible(is_shown)

    def set_crumbs(self, crumbs: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """What leads here, outermost first, each with what a click does."""
        for widget in self._crumbs:
            self._row.removeWidget(widget)
            widget.deleteLater()
        self._crumbs = []
        for position, (text, go) in enumerate(crumbs):
            link = button(text, self._icons, kind="quiet", parent=self)
            # Its text begins where the cards below begin.
            link.setStyleSheet("QPushButton { padding: 0 4px; margin-left: -5px; }")
            link.clicked.connect(lambda _checked=False, go=go: go())
            chevron = IconLabel(self._theme, self._icons, "chevron-right", _CHEVRON, "text_3", self)
            self._row.insertWidget(2 * position, link)
            self._row.insertWidget(2 * position + 1, chevron)
            self._crumbs += [link, chevron]

    def add_note(self, widget: QWidget) -> None:
        """Put something quiet beside the title."""
        self._notes.addWidget(widget)

    def add_button(self, widget: QWidget) -> None:
        """Put a button at the right end, after those that are there."""
        self._row.addWidget(widget)
