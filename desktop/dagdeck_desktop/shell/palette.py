"""The command palette (Ctrl+K): pages, actions, and what sources find, by a few letters.

Decides how hits are shown and chosen by keyboard. Does not search a cluster itself: sources do, and may answer later.
Opened by the shell and by every page's search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import shiboken6
from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    QTimer,
)
from PySide6.QtGui import QColor, QCursor, QFontMetrics, QGuiApplication, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.widgets.controls import IconLabel, label, line

WIDTH, HEIGHT = 620, 440
_ROW = 42
_SEARCH_DELAY = 60
_FIXED, _NOTHING = 84, 72
_AnyIndex = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class PaletteItem:
    """One hit. `hint` stands at its right: a shortcut, or what kind of thing it is."""

    title: str
    run: Callable[[], None]
    icon_name: str = "chevron-right"
    subtitle: str = ""
    hint: str = ""
    command: str = ""
    """The command line that does the same; Ctrl+C copies it."""


Deliver = Callable[[Sequence[PaletteItem]], None]
PaletteSource = Callable[[str, Deliver], None]
"""Finds hits for a text and delivers them, at once or later; an answer to an older text is dropped."""


class HitModel(QAbstractListModel):
    """The hits in the order of their sources."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._items: list[PaletteItem] = []

    def replace(self, items: Sequence[PaletteItem]) -> None:
        """Show other hits; rows that stay the same stay where they are."""
        wanted = list(items)
        same = 0
        while same < min(len(wanted), len(self._items)) and wanted[same] == self._items[same]:
            same += 1
        if len(self._items) > same:
            self.beginRemoveRows(QModelIndex(), same, len(self._items) - 1)
            del self._items[same:]
            self.endRemoveRows()
        if len(wanted) > same:
            self.beginInsertRows(QModelIndex(), same, len(wanted) - 1)
            self._items.extend(wanted[same:])
            self.endInsertRows()

    def item(self, row: int) -> PaletteItem | None:
        """The hit in a row; None beyond the end."""
        return self._items[row] if 0 <= row < len(self._items) else None

    def rowCount(self, parent: _AnyIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self._items)

    def data(self, index: _AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        item = self.item(index.row())
        if item is None or not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return item.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(part for part in (item.title, item.subtitle, item.hint) if part)
        return None


class HitDelegate(QStyledItemDelegate):
    """Paints a hit: icon, title, subtitle, hint."""

    def __init__(self, theme: Theme, icons: Icons, model: HitModel, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icons = icons
        self._model = model

    def sizeHint(self, option: QStyleOptionViewItem, index: _AnyIndex) -> QSize:
        return QSize(0, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _AnyIndex) -> None:
        item = self._model.item(index.row())
        if item is None:
            return
        tokens = self._theme.tokens
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        is_current = bool(state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if is_current:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(tokens.accent_ground)
            painter.drawRoundedRect(QRectF(rect).adjusted(6, 1, -6, -1), 6, 6)
        color = tokens.accent if is_current else tokens.text_2
        pixmap = self._icons.pixmap(item.icon_name, 18, color, painter.device().devicePixelRatioF())
        painter.drawPixmap(rect.left() + 18, rect.top() + (_ROW - 18) // 2, pixmap)
        self._paint_texts(painter, rect.adjusted(48, 0, -18, 0), item)
        painter.restore()

    def _paint_texts(self, painter: QPainter, room: QRect, item: PaletteItem) -> None:
        tokens = self._theme.tokens
        small = self._theme.font(FontRole.SECONDARY)
        metrics = QFontMetrics(small)
        painter.setFont(small)
        painter.setPen(tokens.text_3)
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, middle | Qt.AlignmentFlag.AlignRight, item.hint)
        room = room.adjusted(0, 0, -metrics.horizontalAdvance(item.hint) - 12, 0)
        body = self._theme.font(FontRole.BODY)
        title = QFontMetrics(body).elidedText(item.title, Qt.TextElideMode.ElideMiddle, room.width())
        painter.setFont(body)
        painter.setPen(tokens.text_1)
        painter.drawText(room, middle | Qt.AlignmentFlag.AlignLeft, title)
        rest = room.adjusted(QFontMetrics(body).horizontalAdvance(title) + 10, 0, 0, 0)
        if item.subtitle and rest.width() > 30:
            painter.setFont(small)
            painter.setPen(tokens.text_3)
            shown = metrics.elidedText(item.subtitle, Qt.TextElideMode.ElideRight, rest.width())
            painter.drawText(rest, middle | Qt.AlignmentFlag.AlignLeft, shown)


class CommandPalette(QWidget):
    """A field over a list of hits, inside the window: no window system has to place it or give it the focus."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("Search and commands")
        self._theme = theme
        self._window = parent
        self._sources: list[PaletteSource] = []
        self._found: dict[int, Sequence[PaletteItem]] = {}
        self._asked = 0
        self._model = HitModel(self)
        self._focus_before: QWidget | None = None
        self._mouse_at = QCursor.pos()
        self.hide()
        self._build(theme, icons)
        parent.installEventFilter(self)
        self._delay = QTimer(self, singleShot=True, interval=_SEARCH_DELAY)
        self._delay.timeout.connect(self.search)
        self._field.textChanged.connect(lambda _text: self._delay.start())

    def _build(self, theme: Theme, icons: Icons) -> None:
        panel = self._panel = QFrame(self)
        panel.setProperty("role", "panel")
        column = QVBoxLayout(panel)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        self._field = QLineEdit(panel)
        self._field.setPlaceholderText("Search pages, DAGs and commands…")
        self._field.setAccessibleName("Search")
        self._field.setStyleSheet("border: none; background: transparent; min-height: 46px; font-size: 15px;")
        self._field.installEventFilter(self)
        row = QHBoxLayout()
        row.setContentsMargins(17, 0, 16, 0)
        row.setSpacing(4)
        row.addWidget(IconLabel(theme, icons, "search", 18, "text_3", panel))
        row.addWidget(self._field, 1)
        column.addLayout(row)
        column.addWidget(line(panel))
        self._list = QListView(panel)
        self._list.setModel(self._model)
        self._list.setItemDelegate(HitDelegate(theme, icons, self._model, self._list))
        self._list.setUniformItemSizes(True)
        self._list.setMouseTracking(True)
        self._list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setAccessibleName("Hits")
        self._list.setStyleSheet("background: transparent; padding: 4px 0;")
        self._list.viewport().installEventFilter(self)
        self._list.clicked.connect(lambda index: self._choose(index.row()))
        column.addWidget(self._list, 1)
        self._nothing = label("Nothing found", "secondary", panel)
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._nothing.setFixedHeight(_NOTHING)
        column.addWidget(self._nothing)
        column.addWidget(line(panel))
        hints = QHBoxLayout()
        hints.setContentsMargins(16, 8, 16, 8)
        hints.addWidget(self._hints(panel))
        column.addLayout(hints)

    def _hints(self, parent: QWidget) -> QLabel:
        return label("↑ ↓  choose      Enter  open      Ctrl+C  copy as command      Esc  close", "tertiary", parent)

    def add_source(self, source: PaletteSource) -> None:
        """Ask this source too; its hits stand below those of earlier sources."""
        self._sources.append(source)

    def open_centered(self) -> None:
        """Show it over the window, empty, ready to type."""
        self._place()
        self._focus_before = self._window.focusWidget()
        self._mouse_at = QCursor.pos()
        self._field.clear()
        self.search()
        self.show()
        self.raise_()
        self._field.setFocus(Qt.FocusReason.PopupFocusReason)

    def close_again(self) -> None:
        """Go away, and give the focus back."""
        if self.isVisible():
            self.hide()
            before = self._focus_before
            if before is not None and shiboken6.isValid(before):
                before.setFocus(Qt.FocusReason.PopupFocusReason)

    def _place(self) -> None:
        window = self._window
        self.setGeometry(window.rect())
        width = min(WIDTH, window.width() - 40)
        count = self._model.rowCount()
        wanted = _FIXED + (count * _ROW + 10 if count else _NOTHING)
        height = min(wanted, HEIGHT, window.height() - 80)
        self._panel.setGeometry((window.width() - width) // 2, 64, width, height)

    def search(self) -> None:
        """Ask all sources for what is typed."""
        self._delay.stop()
        self._asked += 1
        self._found = {}
        asked, text = self._asked, self._field.text().strip()
        for position, source in enumerate(self._sources):
            source(text, lambda items, position=position: self._take(asked, position, items))  # type: ignore[misc]
        self._show_hits()

    @property
    def items(self) -> list[PaletteItem]:
        """The hits shown now."""
        return [item for _position, found in sorted(self._found.items()) for item in found]

    def _take(self, asked: int, position: int, items: Sequence[PaletteItem]) -> None:
        if asked == self._asked:
            self._found[position] = items
            self._show_hits()

    def _show_hits(self) -> None:
        current = self._list.currentIndex().row()
        self._model.replace(self.items)
        count = self._model.rowCount()
        self._list.setVisible(count > 0)
        self._nothing.setVisible(count == 0)
        if count:
            row = current if 0 < current < count else 0
            self._list.setCurrentIndex(self._model.index(row))
        self._place()

    def _choose(self, row: int) -> None:
        item = self._model.item(row)
        if item is not None:
            self.close_again()
            # After the palette has closed, so that what runs gets the window's focus.
            QTimer.singleShot(0, self._window, item.run)

    def _copy_command(self) -> bool:
        item = self._model.item(self._list.currentIndex().row())
        if item is None or not item.command or self._field.hasSelectedText():
            return False
        QGuiApplication.clipboard().setText(item.command)
        return True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._field and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            return self._key(event)
        if event.type() == QEvent.Type.MouseMove and isinstance(event, QMouseEvent) and watched is not self._window:
            self._mouse_moved(event)
        if watched is self._window and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def _mouse_moved(self, event: QMouseEvent) -> None:
        """Choose what the mouse is moved to; one that merely stands where the list opens chooses nothing."""
        position = event.globalPosition().toPoint()
        if position != self._mouse_at:
            self._mouse_at = position
            index = self._list.indexAt(event.position().toPoint())
            if index.isValid():
                self._list.setCurrentIndex(index)

    def _key(self, event: QKeyEvent) -> bool:
        count, row = self._model.rowCount(), self._list.currentIndex().row()
        steps = {
            Qt.Key.Key_Down: 1,
            Qt.Key.Key_Up: -1,
            Qt.Key.Key_PageDown: 8,
            Qt.Key.Key_PageUp: -8,
        }
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_Escape:
            self.close_again()
            return True
        if key in steps and count:
            target = (row + steps[key]) % count if abs(steps[key]) == 1 else max(0, min(count - 1, row + steps[key]))
            self._list.setCurrentIndex(self._model.index(target))
            return True
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self._delay.isActive():
                self.search()
            self._choose(max(0, self._list.currentIndex().row()))
            return True
        if key == Qt.Key.Key_C and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            return self._copy_command()
        return False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self._panel.geometry().contains(event.position().toPoint()):
            self.close_again()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        veil = QColor(self._theme.tokens.shadow)
        veil.setAlpha(110)
        painter.fillRect(self.rect(), veil)
        painter.end()
