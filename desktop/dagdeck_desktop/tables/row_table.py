"""A table over a `RowModel`: our painting of rows and cells, hover, activation by mouse and keyboard.

Decides the look that all tables share. Does not know what rows are. Used by every page with a list.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter
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

from dagdeck_desktop.tables.cells import paint_text
from dagdeck_desktop.tables.row_model import RowModel
from dagdeck_desktop.theme import FontRole, Theme

T = TypeVar("T")
SIDE = 14
"""Pixels between a cell's edge and its content."""


class RowDelegate(QStyledItemDelegate):
    """Paints every cell: ground, line, then the column's own drawing or its text."""

    def __init__(self, theme: Theme, table: RowTable[Any]) -> None:
        super().__init__(table)
        self._theme = theme
        self._table = table

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        tokens = self._theme.tokens
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, tokens.accent_ground)
        elif index.row() == self._table.hovered_row:
            painter.fillRect(rect, tokens.hover)
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), tokens.border)
        model = self._table.row_model
        column = model.columns[index.column()]
        row = model.rows[index.row()]
        inside = rect.adjusted(SIDE, 0, -SIDE, -1)
        if column.paint is not None:
            column.paint(painter, inside, row)
            return
        font = self._theme.font(FontRole.FIGURES if column.is_number else FontRole.BODY)
        color = tokens.text_2 if column.is_quiet else tokens.text_1
        paint_text(painter, inside, font, color, column.text(row), is_number=column.is_number)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(80, self._table.row_height)


class RowTable(QTableView, Generic[T]):
    """Rows to look at and to open. `opened(row)` follows Enter or a double click, `current_changed(row or None)` the
    cursor, `cell_clicked(row, column)` a click."""

    opened = Signal(object)
    current_changed = Signal(object)
    cell_clicked = Signal(object, int)
    menu_wanted = Signal(object, object)

    def __init__(
        self,
        theme: Theme,
        model: RowModel[T],
        name: str,
        parent: QWidget | None = None,
        *,
        row_height: int = 0,
        opens_by_click: bool = False,
    ) -> None:
        super().__init__(parent)
        self.row_model = model
        self.row_height = row_height or theme.metrics.row_height
        self.hovered_row = -1
        self._opens_by_click = opens_by_click
        model.setParent(self)
        self.setModel(model)
        self.setItemDelegate(RowDelegate(theme, self))
        self.setAccessibleName(name)
        self._dress()
        for number, column in enumerate(model.columns):
            header = self.horizontalHeader()
            mode = QHeaderView.ResizeMode.Stretch if column.stretches else QHeaderView.ResizeMode.Interactive
            header.setSectionResizeMode(number, mode)
            self.setColumnWidth(number, column.width)
        self.selectionModel().currentRowChanged.connect(self._current_changed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)
        theme.changed.connect(self.viewport().update)

    def _dress(self) -> None:
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        vertical = self.verticalHeader()
        vertical.hide()
        vertical.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        vertical.setDefaultSectionSize(self.row_height)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setFixedHeight(34)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        header.setMinimumSectionSize(48)

    @property
    def current(self) -> T | None:
        """The row with the cursor."""
        index = self.currentIndex()
        return self.row_model.rows[index.row()] if index.isValid() else None

    @property
    def current_key(self) -> Hashable | None:
        """What names the row with the cursor; None without one."""
        row = self.current
        return self.row_model.key(row) if row is not None else None

    def set_current_key(self, key: Hashable) -> None:
        """Put the cursor on the row with a key, or on none."""
        number = self.row_model.row_of(key)
        if number < 0:
            self.selectionModel().clear()
        elif number != self.currentIndex().row() or not self.selectionModel().hasSelection():
            flags = QItemSelectionModel.SelectionFlag
            index = self.row_model.index(number, 0)
            self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

    def _current_changed(self, index: QModelIndex, _before: QModelIndex) -> None:
        self.current_changed.emit(self.row_model.rows[index.row()] if index.isValid() else None)

    def _menu(self, point: Any) -> None:
        index = self.indexAt(point)
        if index.isValid():
            self.menu_wanted.emit(self.row_model.rows[index.row()], self.viewport().mapToGlobal(point))

    def _hover(self, row: int) -> None:
        if row != self.hovered_row:
            for number in (self.hovered_row, row):
                if number >= 0:
                    top = self.rowViewportPosition(number)
                    self.viewport().update(QRect(0, top, self.viewport().width(), self.row_height))
            self.hovered_row = row

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover(self.rowAt(int(event.position().y())))
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if not index.isValid() or event.button() is not Qt.MouseButton.LeftButton:
            return
        row = self.row_model.rows[index.row()]
        self.cell_clicked.emit(row, index.column())
        if self._opens_by_click:
            self.opened.emit(row)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and not self._opens_by_click:
            self.opened.emit(self.row_model.rows[index.row()])

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.current
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and row is not None:
            self.opened.emit(row)
            return
        super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._hover(-1)
        super().leaveEvent(event)
