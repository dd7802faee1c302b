"""The table over a `ListModel`: cells with states as pills and shares as bars, opened by mouse or keyboard.

Decides the look and the keys. Does not know what rows are. Used where a painted area offers a table instead.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.tables.list_model import ROW_ROLE, CellKind, ListColumn, ListModel
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.widgets.pill import paint_pill

T = TypeVar("T")
SIDE = 12
_BAR_WIDTH, _BAR_HEIGHT = 64, 6


class CellDelegate(QStyledItemDelegate):
    """Paints cells by their column's kind."""

    def __init__(self, theme: Theme, icons: Icons, table: ListTable[Any]) -> None:
        super().__init__(table)
        self._theme = theme
        self._icons = icons
        self._table = table

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        tokens = self._theme.tokens
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, tokens.accent_ground)
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, tokens.hover)
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), tokens.border)
        column = self._table.list_model.columns[index.column()]
        row = index.data(ROW_ROLE)
        inside = rect.adjusted(SIDE, 0, -SIDE, -1)
        if column.kind is CellKind.STATE and column.state is not None:
            paint_pill(painter, inside, column.state(row), self._theme, self._icons)
            return
        if column.kind is CellKind.SHARE and column.share is not None:
            inside = self._paint_share(painter, inside, column.share(row))
        self._paint_text(painter, inside, column, column.text(row))

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(80, self._theme.metrics.row_height)

    def _paint_share(self, painter: QPainter, rect: QRect, share: float) -> QRect:
        """Draw the bar; the rest of the rectangle."""
        tokens = self._theme.tokens
        width = min(_BAR_WIDTH, rect.width())
        whole = QRectF(rect.left(), rect.center().y() - _BAR_HEIGHT / 2.0, width, _BAR_HEIGHT)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(tokens.border)
        painter.drawRoundedRect(whole, 3, 3)
        filled = max(0.0, min(1.0, share)) * whole.width()
        if filled > 0:
            painter.setBrush(tokens.accent)
            painter.drawRoundedRect(QRectF(whole.left(), whole.top(), max(filled, 4.0), _BAR_HEIGHT), 3, 3)
        painter.restore()
        return rect.adjusted(width + 8, 0, 0, 0)

    def _paint_text(self, painter: QPainter, rect: QRect, column: ListColumn[Any], text: str) -> None:
        tokens = self._theme.tokens
        font = self._theme.font(FontRole.BODY)
        painter.setFont(font)
        painter.setPen(tokens.text_2 if column.kind is CellKind.QUIET else tokens.text_1)
        is_number = column.kind is CellKind.NUMBER
        side = Qt.AlignmentFlag.AlignRight if is_number else Qt.AlignmentFlag.AlignLeft
        plain = " ".join(text[:1_000].split())
        shown = QFontMetrics(font).elidedText(plain, Qt.TextElideMode.ElideMiddle, rect.width())
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | side, shown)


class ListTable(QTableView, Generic[T]):
    """Rows to look through. `activated_key` follows Enter or a double click, `current_key_changed` the cursor (None
    for none)."""

    activated_key = Signal(object)
    current_key_changed = Signal(object)

    def __init__(
        self, theme: Theme, icons: Icons, model: ListModel[T], name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.list_model = model
        model.setParent(self)
        self.setModel(model)
        self.setItemDelegate(CellDelegate(theme, icons, self))
        self.setAccessibleName(name)
        self._dress(theme)
        for number, column in enumerate(model.columns):
            # Never by contents: measuring ten thousand cells takes seconds.
            mode = QHeaderView.ResizeMode.Stretch if column.stretches else QHeaderView.ResizeMode.Interactive
            self.horizontalHeader().setSectionResizeMode(number, mode)
            self.setColumnWidth(number, column.width)
        self.selectionModel().currentRowChanged.connect(self._current_changed)
        self.doubleClicked.connect(lambda index: self.activated_key.emit(self._key_at(index)))
        theme.changed.connect(self.viewport().update)

    @property
    def current_key(self) -> Hashable | None:
        """The key of the row with the cursor."""
        return self._key_at(self.currentIndex())

    def set_current_key(self, key: Hashable | None) -> None:
        """Put the cursor on a row; on none when it is not shown."""
        place = self.list_model.place_of(key) if key is not None else -1
        if place < 0:
            self.selectionModel().clear()
            return
        flags = QItemSelectionModel.SelectionFlag
        index = self.list_model.index(place, 0)
        self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.scrollTo(index)

    def _dress(self, theme: Theme) -> None:
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        vertical = self.verticalHeader()
        vertical.hide()
        vertical.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        vertical.setDefaultSectionSize(theme.metrics.row_height)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)

    def _key_at(self, index: QModelIndex) -> Hashable | None:
        return self.list_model.key_of(self.list_model.rows[index.row()]) if index.isValid() else None

    def _current_changed(self, index: QModelIndex, _: QModelIndex) -> None:
        self.current_key_changed.emit(self._key_at(index))

    # Qt's own

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = self.current_key
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and key is not None:
            self.activated_key.emit(key)
            return
        super().keyPressEvent(event)
