"""An item model over rows of any kind, with an index list of its own for what is shown and in which order.

Decides how any change (other rows, another order, another filter) becomes at most four changes of Qt's model, so that
selection and scrolling stay and ten thousand rows are quick. Does not paint. Used by `list_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from dagdeck_desktop.theme.theme import AnyState

T = TypeVar("T")
Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = Qt.ItemDataRole.UserRole + 1
"""The row itself."""


class CellKind(Enum):
    """How a cell is drawn."""

    TEXT = "text"
    QUIET = "quiet"
    NUMBER = "number"
    STATE = "state"
    SHARE = "share"
    """A bar from 0 to 1 with its text beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListColumn(Generic[T]):
    """A column. `text` is what is shown, searched and read aloud; `sort_key` (the text without one) gives numbers or
    texts, None standing last; `state` and `share` feed the cells of those kinds."""

    title: str
    text: Callable[[T], str]
    kind: CellKind = CellKind.TEXT
    sort_key: Callable[[T], float | str | None] | None = None
    state: Callable[[T], AnyState] | None = None
    share: Callable[[T], float] | None = None
    width: int = 120
    stretches: bool = False


class ListModel(QAbstractTableModel, Generic[T]):
    """Rows by key. GUI thread only."""

    def __init__(self, columns: Sequence[ListColumn[T]], key: Callable[[T], Hashable]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self._key = key
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
        """All rows, those included that the filter hides."""
        return len(self._rows)

    def key_of(self, row: T) -> Hashable:
        """What names a row for good."""
        return self._key(row)

    def place_of(self, key: Hashable) -> int:
        """The place of a row among those shown; -1 for none."""
        return next((place for place, row in enumerate(self._shown) if self._key(row) == key), -1)

    def set_rows(self, rows: Sequence[T]) -> None:
        """Show these rows; those of a known key replace the former ones. Keys must differ."""
        self._rows = list(rows)
        keys = {self._key(row) for row in self._rows}
        self._texts = {key: kept for key, kept in self._texts.items() if key in keys}
        self._rearrange()

    def set_filter(self, text: str) -> None:
        """Show only rows that hold each of the text's words in some column, whatever its case."""
        wanted = " ".join(text.casefold().split())
        if wanted != self._filter:
            self._filter = wanted
            self._rearrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 goes back to the given order."""
        is_column = 0 <= column < len(self.columns)
        self._sorted_by = (column, order is Qt.SortOrder.DescendingOrder) if is_column else None
        self._rearrange()

    # What is to be shown

    def _wanted(self) -> list[T]:
        rows = [row for row in self._rows if self._matches(row)] if self._filter else self._rows
        if self._sorted_by is None:
            return list(rows)
        column, is_descending = self._sorted_by
        order = sorted_places([self._sort_value(row, column) for row in rows], is_descending=is_descending)
        return [rows[place] for place in order.tolist()]

    def _sort_value(self, row: T, column: int) -> float | str | None:
        spec = self.columns[column]
        return spec.sort_key(row) if spec.sort_key is not None else spec.text(row).casefold()

    def _matches(self, row: T) -> bool:
        key = self._key(row)
        known = self._texts.get(key)
        if known is None or known[0] is not row:
            text = "\n".join(column.text(row) for column in self.columns).casefold()
            known = self._texts[key] = (row, text)
        return all(word in known[1] for word in self._filter.split())

    # How Qt is told

    def _rearrange(self) -> None:
        wanted = self._wanted()
        place = {self._key(row): number for number, row in enumerate(wanted)}
        stay = [row for row in self._shown if self._key(row) in place]
        if len(stay) < len(self._shown):
            # What goes is moved to the end first: one removal, however it was scattered.
            go = [row for row in self._shown if self._key(row) not in place]
            self._reorder([*stay, *go])
            self.beginRemoveRows(QModelIndex(), len(stay), len(self._shown) - 1)
            del self._shown[len(stay) :]
            self.endRemoveRows()
        if len(stay) < len(wanted):
            present = {self._key(row) for row in stay}
            come = [row for row in wanted if self._key(row) not in present]
            self.beginInsertRows(QModelIndex(), len(stay), len(wanted) - 1)
            self._shown += come
            self.endInsertRows()
        former = {self._key(row): row for row in self._shown}
        self._reorder(wanted)
        self._tell_changes(wanted, former)

    def _reorder(self, wanted: list[T]) -> None:
        keys = [self._key(row) for row in wanted]
        if keys == [self._key(row) for row in self._shown]:
            return
        place = {key: number for number, key in enumerate(keys)}
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        after = [self.index(place[self._key(self._shown[index.row()])], index.column()) for index in before]
        self._shown = sorted(self._shown, key=lambda row: place[self._key(row)])
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _tell_changes(self, wanted: list[T], former: dict[Hashable, T]) -> None:
        """Put new values in place, and say so for neighbouring rows at once."""
        self._shown = wanted
        changed = [n for n, row in enumerate(wanted) if (was := former[self._key(row)]) is not row and was != row]
        begin = 0
        for at in range(len(changed)):
            if at + 1 == len(changed) or changed[at + 1] != changed[at] + 1:
                last = self.index(changed[at], len(self.columns) - 1)
                self.dataChanged.emit(self.index(changed[begin], 0), last)
                begin = at + 1

    # Qt's own

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._shown):
            return None
        row, column = self._shown[index.row()], self.columns[index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return column.text(row)
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.title}: {column.text(row)}"
        if role == Qt.ItemDataRole.TextAlignmentRole and column.kind is CellKind.NUMBER:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            is_number = column.kind is CellKind.NUMBER
            side = Qt.AlignmentFlag.AlignRight if is_number else Qt.AlignmentFlag.AlignLeft
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        return None


def sorted_places(values: Sequence[float | str | None], *, is_descending: bool) -> NDArray[np.int64]:
    """The places of values in order: equal ones stay in theirs, None stands last either way. All values are numbers or
    all are texts."""
    some = [place for place, value in enumerate(values) if value is not None]
    none = [place for place, value in enumerate(values) if value is None]
    chosen = [values[place] for place in some]
    if chosen and isinstance(chosen[0], str):
        order = sorted(range(len(chosen)), key=chosen.__getitem__, reverse=is_descending)  # type: ignore[arg-type]
        found = np.array(order, dtype=np.int64)
    else:
        numbers = np.array(chosen, dtype=np.float64)
        found = np.argsort(-numbers if is_descending else numbers, kind="stable")
    return np.concatenate([np.array(some, np.int64)[found], np.array(none, np.int64)])
