"""An item model over rows of any kind, with an index list of its own for what is shown and in which order.

Decides how any change (other rows, another order, another filter) becomes at most four changes of Qt's model, so that
selection and scrolling stay and ten thousand rows are quick. Does not paint. Used by `row_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QPainter

T = TypeVar("T")
Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = Qt.ItemDataRole.UserRole + 1
"""The row itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """A column. `text` is what is shown, searched and read aloud; `paint` draws a cell instead of it. `sort_key` gives
    values of one kind, None standing last; without one the column cannot be sorted by."""

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
    """Rows by key. `key` names a row for good; two equal rows of one key look the same. GUI thread only."""

    def __init__(self, columns: Sequence[Column[T]], key: Callable[[T], Hashable]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.key = key
        self._rows: list[T] = []
        self._shown: list[T] = []
        self._filter = ""
        self._sorted_by: tuple[int, bool] | None = None
        self._texts: dict[Hashable, tuple[T, str]] = {}

    @property
    def rows(self) -> Sequence[T]:
        """The rows as they are shown."""
        return self._shown

    @property
    def total(self) -> int:
        """How many rows there are, those included that the filter hides."""
        return len(self._rows)

    def row_of(self, key: Hashable) -> int:
        """The place of a row among those shown; -1 for none."""
        return next((place for place, row in enumerate(self._shown) if self.key(row) == key), -1)

    def set_rows(self, rows: Sequence[T]) -> None:
        """Show these rows; those of a known key replace the former ones. Keys must differ."""
        self._rows = list(rows)
        if self._texts:
            keys = {self.key(row) for row in self._rows}
            self._texts = {key: kept for key, kept in self._texts.items() if key in keys}
        self._rearrange()

    def set_filter(self, text: str) -> None:
        """Show only rows that hold each of the text's words in some column, whatever its case."""
        wanted = " ".join(text.casefold().split())
        if wanted != self._filter:
            self._filter = wanted
            self._rearrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1, and a column that cannot be sorted by, go back to the given order."""
        is_sortable = 0 <= column < len(self.columns) and self.columns[column].sort_key is not None
        self._sorted_by = (column, order is Qt.SortOrder.DescendingOrder) if is_sortable else None
        self._rearrange()

    # ------------------------------------------------------------ what is to be shown

    def _wanted(self) -> list[T]:
        rows = [row for row in self._rows if self._matches(row)] if self._filter else self._rows
        sort_key = self.columns[self._sorted_by[0]].sort_key if self._sorted_by is not None else None
        if self._sorted_by is None or sort_key is None:
            return list(rows)
        order = sorted_places([sort_key(row) for row in rows], is_descending=self._sorted_by[1])
        return [rows[place] for place in order.tolist()]

    def _matches(self, row: T) -> bool:
        key = self.key(row)
        known = self._texts.get(key)
        if known is None or known[0] is not row:
            text = "\n".join(column.text(row) for column in self.columns).casefold()
            known = self._texts[key] = (row, text)
        return all(word in known[1] for word in self._filter.split())

    # ------------------------------------------------------------ how Qt is told

    def _rearrange(self) -> None:
        wanted = self._wanted()
        keys = [self.key(row) for row in wanted]
        present = [self.key(row) for row in self._shown]
        if keys != present:
            self._remove_others(set(keys), present)
            self._insert_new(wanted, keys)
            self._reorder(wanted, keys)
        self._tell_changes(wanted)

    def _remove_others(self, keys: set[Hashable], present: list[Hashable]) -> None:
        """What goes is moved to the end first: one removal, however it was scattered."""
        stay = [row for row, key in zip(self._shown, present, strict=True) if key in keys]
        if len(stay) == len(self._shown):
            return
        go = [row for row, key in zip(self._shown, present, strict=True) if key not in keys]
        ordered = [*stay, *go]
        self._reorder(ordered, [self.key(row) for row in ordered])
        self.beginRemoveRows(QModelIndex(), len(stay), len(self._shown) - 1)
        del self._shown[len(stay) :]
        self.endRemoveRows()

    def _insert_new(self, wanted: list[T], keys: list[Hashable]) -> None:
        if len(self._shown) == len(wanted):
            return
        present = {self.key(row) for row in self._shown}
        come = [row for row, key in zip(wanted, keys, strict=True) if key not in present]
        self.beginInsertRows(QModelIndex(), len(self._shown), len(wanted) - 1)
        self._shown += come
        self.endInsertRows()

    def _reorder(self, wanted: list[T], keys: list[Hashable]) -> None:
        present = [self.key(row) for row in self._shown]
        if keys == present:
            return
        place = {key: number for number, key in enumerate(keys)}
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        after = [self.index(place[present[index.row()]], index.column()) for index in before]
        former = dict(zip(present, self._shown, strict=True))
        self._shown = [former[key] for key in keys]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _tell_changes(self, wanted: list[T]) -> None:
        """Put new values in place, and say so for neighbouring rows at once."""
        former, self._shown = self._shown, wanted
        changed = [
            number
            for number, (row, was) in enumerate(zip(wanted, former, strict=True))
            if was is not row and was != row
        ]
        begin = 0
        for at in range(len(changed)):
            if at + 1 == len(changed) or changed[at + 1] != changed[at] + 1:
                last = self.index(changed[at], len(self.columns) - 1)
                self.dataChanged.emit(self.index(changed[begin], 0), last)
                begin = at + 1

    # ------------------------------------------------------------ Qt's own

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._shown):
            return None
        row, column = self._shown[index.row()], self.columns[index.column()]
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


def sorted_places(values: Sequence[Any], *, is_descending: bool) -> NDArray[np.int64]:
    """The places of values in order: equal ones stay in theirs, None stands last either way. The values are of one
    kind; numbers are sorted without Python's help."""
    some = [place for place, value in enumerate(values) if value is not None]
    none = [place for place, value in enumerate(values) if value is None]
    chosen = [values[place] for place in some]
    if chosen and not isinstance(chosen[0], (int, float)):
        found = np.array(sorted(range(len(chosen)), key=chosen.__getitem__, reverse=is_descending), dtype=np.int64)
    else:
        numbers = np.array(chosen, dtype=np.float64)
        found = np.argsort(-numbers if is_descending else numbers, kind="stable")
    return np.concatenate([np.array(some, np.int64)[found], np.array(none, np.int64)])
