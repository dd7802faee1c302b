"""The item model under every table here: rows of one kind, sorted by a column, changed bit by bit.

Decides how a new list of rows becomes insertions, removals and changes, so that selection and scrolling stay. Does not
paint. Used by `row_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QPainter

T = TypeVar("T")
Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = Qt.ItemDataRole.UserRole + 1
"""The row itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """A column. `paint` draws a cell instead of its text, which screen readers still get."""

    title: str
    text: Callable[[T], str]
    sort_key: Callable[[T], Any] | None = None
    paint: Callable[[QPainter, QRect, T], None] | None = None
    tool_tip: Callable[[T], str] | None = None
    width: int = 120
    stretches: bool = False
    is_number: bool = False
    is_quiet: bool = False
    """Its text is less important than others'."""


class RowModel(QAbstractTableModel, Generic[T]):
    """Rows by key. `key` names a row for good; two equal rows of one key look the same."""

    def __init__(self, columns: Sequence[Column[T]], key: Callable[[T], Any]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.key = key
        self._rows: list[T] = []
        self._sort_column: int | None = None
        self._descending = False

    @property
    def rows(self) -> Sequence[T]:
        """The rows as shown."""
        return self._rows

    def row_of(self, key: Any) -> int:
        """The place of the row with a key; -1 without one."""
        return next((number for number, row in enumerate(self._rows) if self.key(row) == key), -1)

    def set_rows(self, rows: Sequence[T]) -> None:
        """Show these rows, in this order or the sorted one, by the fewest changes."""
        wanted = self._sorted(rows)
        keys = {self.key(row) for row in wanted}
        self._remove_others(keys)
        present = [self.key(row) for row in self._rows]
        known = set(present)
        if [self.key(row) for row in wanted if self.key(row) in known] == present:
            self._insert_between(wanted, known)
        else:
            self._append_new(wanted, known)
            self._reorder(wanted)
        self._replace(wanted)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 goes back to the given order at the next `set_rows`."""
        is_sortable = 0 <= column < len(self.columns) and self.columns[column].sort_key is not None
        self._sort_column = column if is_sortable else None
        self._descending = order is Qt.SortOrder.DescendingOrder
        self._reorder(self._sorted(self._rows))

    # ------------------------------------------------------------ changes

    def _sorted(self, rows: Sequence[T]) -> list[T]:
        if self._sort_column is None:
            return list(rows)
        sort_key = self.columns[self._sort_column].sort_key
        assert sort_key is not None
        # What has no value stands last, whichever way it is sorted.
        valued = [(sort_key(row), row) for row in rows]
        some = sorted((pair for pair in valued if pair[0] is not None), key=lambda pair: pair[0])
        if self._descending:
            some.reverse()
        return [row for _value, row in some] + [row for value, row in valued if value is None]

    def _remove_others(self, keys: set[Any]) -> None:
        last = len(self._rows) - 1
        while last >= 0:
            if self.key(self._rows[last]) in keys:
                last -= 1
                continue
            first = last
            while first > 0 and self.key(self._rows[first - 1]) not in keys:
                first -= 1
            self.beginRemoveRows(QModelIndex(), first, last)
            del self._rows[first : last + 1]
            self.endRemoveRows()
            last = first - 1

    def _insert_between(self, wanted: list[T], known: set[Any]) -> None:
        number = 0
        while number < len(wanted):
            if self.key(wanted[number]) in known:
                number += 1
                continue
            end = number
            while end < len(wanted) and self.key(wanted[end]) not in known:
                end += 1
            self.beginInsertRows(QModelIndex(), number, end - 1)
            self._rows[number:number] = wanted[number:end]
            self.endInsertRows()
            number = end

    def _append_new(self, wanted: list[T], known: set[Any]) -> None:
        new = [row for row in wanted if self.key(row) not in known]
        if new:
            self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows) + len(new) - 1)
            self._rows += new
            self.endInsertRows()

    def _reorder(self, wanted: list[T]) -> None:
        place = {self.key(row): number for number, row in enumerate(wanted)}
        if [place[self.key(row)] for row in self._rows] == list(range(len(self._rows))):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        after = [self.index(place[self.key(self._rows[index.row()])], index.column()) for index in before]
        self._rows.sort(key=lambda row: place[self.key(row)])
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _replace(self, wanted: list[T]) -> None:
        last = len(self.columns) - 1
        for number, row in enumerate(wanted):
            if self._rows[number] is not row and self._rows[number] != row:
                self._rows[number] = row
                self.dataChanged.emit(self.index(number, 0), self.index(number, last))

    # ------------------------------------------------------------ Qt's model

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row, column = self._rows[index.row()], self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(row)
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tool_tip(row) if column.tool_tip is not None else None
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title}: {column.text(row)}" if column.title else column.text(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and column.is_number:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.is_number else Qt.AlignmentFlag.AlignLeft
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        return None
