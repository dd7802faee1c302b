"""The log as a widget: lines painted as they are needed, followed while they come, searched, selected and copied.

Decides rows, colours and keys. Does not fetch or save. Made by the task panel, which appends bytes as they arrive.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QMenu, QPushButton, QWidget

from dagdeck_desktop.areas import announce_items
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.log.buffer import MOST_BYTES
from dagdeck_desktop.log.lines import readable
from dagdeck_desktop.log.search import LogSearch
from dagdeck_desktop.log.selection import Place, Selection
from dagdeck_desktop.log.view import LogView
from dagdeck_desktop.theme import Theme

_SEARCH_SECONDS = 0.008
_MOST_COPIED = 64 * 1024 * 1024


class LogArea(LogView):
    """Shows a log. Stays at its end while it grows unless someone scrolls up.

    Ctrl+C copies, Ctrl+A selects all, F3 and Shift+F3 go to the next and former hit, End follows again.
    """

    following_changed = Signal(bool)
    hits_changed = Signal(int, bool)
    """Lines found so far, and whether all were looked at."""
    selection_changed = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(theme, parent, most_bytes)
        self._is_selecting = False
        self._follows = True
        self._search_timer = QTimer(self, interval=0)
        self._search_timer.timeout.connect(self._search_on)
        self._drag_timer = QTimer(self, interval=40)
        self._drag_timer.timeout.connect(self._drag_on)
        self._latest = self._latest_button(icons)
        self.verticalScrollBar().valueChanged.connect(self._scrolled)

    def _latest_button(self, icons: Icons) -> QPushButton:
        made = QPushButton("Follow", self)
        made.setAccessibleName("Follow the log's end")
        made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        made.setCursor(Qt.CursorShape.PointingHandCursor)
        icons.bind(made, "arrow-down-to-line", 16)
        made.clicked.connect(lambda: self.set_following(True))
        made.hide()
        return made

    # The log

    def append(self, content: bytes) -> None:
        """Add bytes, cut anywhere."""
        last = self._buffer.line_count - 1
        dropped = self._buffer.append(content)
        # The line that was unfinished has grown.
        self._shown.pop(last, None)
        if dropped:
            self._forget(dropped)
        if self._search is not None:
            self._search_timer.start()
        self._grown(dropped)

    def clear(self) -> None:
        """Show an empty log; a filter stays."""
        self._buffer.clear()
        self._shown.clear()
        self._selection = None
        self._hit = -1
        if self._search is not None:
            self._search = LogSearch(self._buffer, self._search.text.pattern)
        self._set_follows(True)
        self._grown(0)

    def set_placeholder(self, text: str) -> None:
        """What to say while the log is empty: that it is loading, or that there is none."""
        self._placeholder = text
        self.viewport().update()

    def content(self) -> bytes:
        """Everything there is, as it was written."""
        return self._buffer.content()

    @property
    def line_count(self) -> int:
        """Lines in the log."""
        return self._buffer.line_count

    # Following and wrapping

    @property
    def follows(self) -> bool:
        """True while the end stays in sight."""
        return self._follows

    def set_following(self, follows: bool) -> None:
        """Keep the end in sight, or stay where it is."""
        self._set_follows(follows)
        if follows:
            self._to_end()

    def set_wrapping(self, wraps: bool) -> None:
        """Break long lines instead of scrolling sideways."""
        if wraps != self._wraps:
            top = self._line_of_row(self.verticalScrollBar().value())
            self._wraps = wraps
            self._set_ranges()
            if self._follows:
                self._to_end()
            elif top is not None:
                self.show_line(top)
            self.viewport().update()

    @property
    def wraps(self) -> bool:
        """True while long lines are broken."""
        return self._wraps

    # Search

    def set_filter(self, pattern: str, *, hides_others: bool = True) -> None:
        """Mark what a regular expression finds, and hide all other lines or not; "" ends that.

        Raises UserError for a pattern that is no regular expression; the former one stays.
        """
        search = LogSearch(self._buffer, pattern) if pattern else None
        self._search, self._filters, self._hit = search, hides_others and search is not None, -1
        if search is not None:
            self._search_on()
            self._search_timer.start()
        else:
            self._search_timer.stop()
            self.hits_changed.emit(0, True)
        self._set_ranges()
        if self._follows:
            self._to_end()
        self.viewport().update()

    @property
    def hits(self) -> int:
        """Lines found so far."""
        return len(self._search.lines) if self._search is not None else 0

    @property
    def is_searched(self) -> bool:
        """True when every line was looked at, and when nothing is searched."""
        return self._search is None or self._search.is_finished

    def next_hit(self, step: int = 1) -> int:
        """Show the next line found, or with -1 the one before; its number from 1, 0 when nothing is found."""
        if self._search is None or not len(lines := self._search.lines):
            return 0
        if self._hit < 0:
            top = self._line_of_row(self.verticalScrollBar().value()) or 0
            at = int(np.searchsorted(lines, top)) - (0 if step > 0 else 1)
        else:
            at = int(np.searchsorted(lines, self._hit, side="left")) + step
        self._hit = int(lines[at % len(lines)])
        self.show_line(self._hit)
        self.viewport().update()
        return at % len(lines) + 1

    def show_line(self, number: int) -> None:
        """Bring a line (from 0) into sight."""
        row = self._row_of_line(number)
        bar = self.verticalScrollBar()
        page = max(1, self._page() - 1)
        if not bar.value() <= row < bar.value() + page:
            bar.setValue(max(0, row - page // 3))

    # Selection

    def selected_text(self) -> str:
        """What is selected: whole lines as they were written, pieces as they are shown."""
        selection = self._selection
        if selection is None or selection.is_empty:
            return ""
        first, last = selection.first, selection.last
        if first.line == last.line:
            return self._line(first.line).text[first.column : last.column]
        pieces = [self._line(first.line).text[first.column :] if first.column else self._written(first.line)]
        size = 0
        for line in range(first.line + 1, last.line):
            if not self._is_visible_line(line):
                continue
            pieces.append(self._written(line))
            size += len(pieces[-1])
            if size > _MOST_COPIED:
                pieces.append(f"… {last.line - line:,} more lines were not copied")
                return "\n".join(pieces)
        text = self._line(last.line).text
        pieces.append(self._written(last.line) if last.column >= len(text) else text[: last.column])
        return "\n".join(pieces)

    def copy(self) -> None:
        """Put what is selected on the clipboard."""
        text = self.selected_text()
        if text:
            QGuiApplication.clipboard().setText(text)

    def select_all(self) -> None:
        """Select all that is shown."""
        first, last = self._line_of_row(0), self._line_of_row(self.row_count - 1)
        if first is not None and last is not None:
            self._select(Selection(Place(first, 0), Place(last, len(self._line(last).text))))

    def _select(self, selection: Selection | None) -> None:
        self._selection = selection
        self.viewport().update()
        self.selection_changed.emit()

    def _written(self, line: int) -> str:
        return readable(self._buffer.line(line))

    def _grown(self, dropped: int) -> None:
        before = self.verticalScrollBar().value()
        self._set_ranges()
        if self._follows:
            self._to_end()
        elif dropped:
            self._is_moving = True
            self.verticalScrollBar().setValue(max(0, before - dropped))
            self._is_moving = False
        self._show_latest()
        self.viewport().update()

    def _forget(self, dropped: int) -> None:
        self._shown.clear()
        self._hit = self._hit - dropped if self._hit >= dropped else -1
        if self._search is not None:
            self._search.dropped(dropped)
        if self._selection is not None:
            self._selection = self._selection.dropped(dropped)

    def _to_end(self) -> None:
        self._is_moving = True
        self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self._is_moving = False

    def _scrolled(self, value: int) -> None:
        if not self._is_moving:
            self._set_follows(value >= self.verticalScrollBar().maximum())
        self.viewport().update()
        announce_items(self)

    def _set_follows(self, follows: bool) -> None:
        if follows != self._follows:
            self._follows = follows
            self.following_changed.emit(follows)
        self._show_latest()

    def _show_latest(self) -> None:
        is_wanted = not self._follows and self.verticalScrollBar().maximum() > 0
        if is_wanted:
            self._latest.adjustSize()
            place = self.viewport().geometry()
            self._latest.move(place.right() - self._latest.width() - 12, place.bottom() - self._latest.height() - 12)
        self._latest.setVisible(is_wanted)

    def _search_on(self) -> None:
        search = self._search
        if search is None:
            self._search_timer.stop()
            return
        has_news = search.step(_SEARCH_SECONDS)
        if search.is_finished:
            self._search_timer.stop()
        if has_news:
            if self._filters:
                self._set_ranges()
                if self._follows:
                    self._to_end()
            self.hits_changed.emit(len(search.lines), search.is_finished)
            self.viewport().update()

    # Qt's own

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._set_ranges()
        if self._follows:
            self._to_end()
        self._show_latest()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() is not Qt.MouseButton.LeftButton:
            return
        place = self.place_at(event.position().toPoint())
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and self._selection is not None:
            self._select(Selection(self._selection.anchor, place))
        else:
            self._select(Selection(place, place))
        self._is_selecting = True

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._is_selecting and self._selection is not None:
            self._select(Selection(self._selection.anchor, self.place_at(event.position().toPoint())))
            self._drag_timer.start()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._is_selecting = False
        self._drag_timer.stop()
        clipboard = QGuiApplication.clipboard()
        if clipboard.supportsSelection() and self._selection is not None and not self._selection.is_empty:
            clipboard.setText(self.selected_text(), clipboard.Mode.Selection)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Select the word."""
        place = self.place_at(event.position().toPoint())
        text = self._line(place.line).text if self._buffer.line_count else ""
        begin = end = place.column
        while begin > 0 and not text[begin - 1].isspace():
            begin -= 1
        while end < len(text) and not text[end].isspace():
            end += 1
        self._select(Selection(Place(place.line, begin), Place(place.line, end)))

    def _drag_on(self) -> None:
        """Scroll while the mouse is dragged beyond the edge."""
        point = self.viewport().mapFromGlobal(self.cursor().pos())
        beyond = min(0, point.y()) + max(0, point.y() - self.viewport().height())
        if self._selection is not None and beyond:
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() + (1 + abs(beyond) // 20) * (1 if beyond > 0 else -1))
            self._select(Selection(self._selection.anchor, self.place_at(point)))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        copy = menu.addAction("Copy")
        copy.setEnabled(bool(self._selection and not self._selection.is_empty))
        copy.triggered.connect(self.copy)
        menu.addAction("Select all").triggered.connect(self.select_all)
        menu.popup(event.globalPos())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        bar = self.verticalScrollBar()
        key = event.key()
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.SelectAll):
            self.select_all()
        elif key == Qt.Key.Key_F3:
            self.next_hit(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        elif key == Qt.Key.Key_End:
            self.set_following(True)
        elif key == Qt.Key.Key_Home:
            bar.setValue(0)
        elif key == Qt.Key.Key_Escape and self._selection is not None and not self._selection.is_empty:
            self._select(None)
        else:
            super().keyPressEvent(event)
