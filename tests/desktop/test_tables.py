"""Tables: any change of rows, order and filter is told to Qt rightly, and ten thousand rows are quick."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PySide6.QtCore import QPersistentModelIndex, QPoint, QRect, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtTest import QAbstractItemModelTester, QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.tables import ROW_ROLE, Column, RowModel, RowTable, paint_share
from dagdeck_desktop.tables.row_model import sorted_places
from dagdeck_desktop.theme import Appearance, Theme
from dagdeck_desktop.widgets.pill import paint_pill


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    seconds: float | None
    state: str = "success"


COLUMNS: tuple[Column[Row], ...] = (
    Column(title="Name", text=lambda row: row.name, sort_key=lambda row: row.name, stretches=True),
    Column(
        title="Seconds",
        text=lambda row: "–" if row.seconds is None else f"{row.seconds:g} s",
        sort_key=lambda row: row.seconds,
        is_number=True,
    ),
    Column(title="State", text=lambda row: row.state, width=150),
    Column(title="Share", text=lambda row: f"{(row.seconds or 0):g} %", sort_key=lambda row: row.seconds or 0),
)


def rows_of(count: int, seed: int = 1) -> list[Row]:
    chance = random.Random(seed)
    states = ("success", "failed", "running")
    return [
        Row(f"task {number}", chance.choice((None, float(chance.randrange(100)))), chance.choice(states))
        for number in range(count)
    ]


@pytest.fixture
def model(qapp: QApplication) -> Iterator[RowModel[Row]]:
    """A model whose every signal Qt's own tester checks."""
    made = RowModel(COLUMNS, lambda row: row.name)
    tester = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Fatal)
    yield made
    tester.deleteLater()


@pytest.fixture
def table(theme: Theme, icons: Icons, qtbot: QtBot) -> RowTable[Row]:
    """A table whose cells hold a state and a share."""

    def state(painter: QPainter, rect: QRect, row: Row) -> None:
        paint_pill(painter, rect, row.state, theme, icons)

    def share(painter: QPainter, rect: QRect, row: Row) -> None:
        value = row.seconds or 0
        paint_share(painter, rect, theme, value / 100, f"{value:g} %", theme.tokens.accent)

    columns = [*COLUMNS[:2], replace(COLUMNS[2], paint=state), replace(COLUMNS[3], paint=share)]
    made = RowTable(theme, RowModel(columns, lambda row: row.name), "Tasks")
    qtbot.addWidget(made)
    made.resize(700, 400)
    made.show()
    return made


def names(model: RowModel[Row]) -> list[str]:
    return [row.name for row in model.rows]


def test_sorting_both_ways_keeps_what_has_no_value_last(model: RowModel[Row]) -> None:
    model.set_rows([Row("a", 3), Row("b", None), Row("c", 1), Row("d", 3)])
    model.sort(1, Qt.SortOrder.AscendingOrder)
    assert names(model) == ["c", "a", "d", "b"]
    model.sort(1, Qt.SortOrder.DescendingOrder)
    assert names(model) == ["a", "d", "c", "b"]
    model.sort(0, Qt.SortOrder.DescendingOrder)
    assert names(model) == ["d", "c", "b", "a"]
    model.sort(-1)
    assert names(model) == ["a", "b", "c", "d"]


def test_filtering_looks_into_every_column(model: RowModel[Row]) -> None:
    model.set_rows([Row("Alpha", 1, "failed"), Row("Beta", 2), Row("Gamma", 2, "failed")])
    model.set_filter("FAIL")
    assert names(model) == ["Alpha", "Gamma"]
    model.set_filter(" 2  fail ")
    assert names(model) == ["Gamma"]
    assert model.total == 3
    model.set_rows([Row("Alpha", 2, "failed"), Row("Beta", 2)])
    assert names(model) == ["Alpha"]
    model.set_filter("")
    assert names(model) == ["Alpha", "Beta"]


@pytest.mark.parametrize("seed", range(8))
def test_any_changes_end_in_the_right_rows_and_keep_the_cursor(model: RowModel[Row], seed: int) -> None:
    chance = random.Random(seed)
    pool = rows_of(60, seed)
    model.set_rows(pool[:30])
    for _ in range(40):
        rows = chance.sample(pool, chance.randrange(len(pool)))
        rows = [replace(row, seconds=float(chance.randrange(9))) if chance.random() < 0.2 else row for row in rows]
        held = None
        if model.rows:
            place = chance.randrange(len(model.rows))
            held = (model.rows[place].name, QPersistentModelIndex(model.index(place, 1)))
        action = chance.randrange(3)
        if action == 0:
            model.set_filter(chance.choice(("", "1", "task 2", "fail")))
        elif action == 1:
            model.sort(chance.randrange(-1, 4), chance.choice(list(Qt.SortOrder)))
        else:
            model.set_rows(rows)
        if held is not None and held[0] in names(model):
            assert held[1].isValid()
            assert model.rows[held[1].row()].name == held[0]
        elif held is not None:
            assert not held[1].isValid()


def test_only_changed_rows_are_told(model: RowModel[Row], qtbot: QtBot) -> None:
    rows = rows_of(50)
    model.set_rows(rows)
    told: list[tuple[int, int]] = []
    model.dataChanged.connect(lambda first, last, roles: told.append((first.row(), last.row())))
    changed = [replace(row, state="deferred") if n in (3, 4, 10) else row for n, row in enumerate(rows)]
    with qtbot.assertNotEmitted(model.layoutChanged), qtbot.assertNotEmitted(model.modelReset):
        model.set_rows(changed)
    assert told == [(3, 4), (10, 10)]
    model.set_rows([replace(row) for row in changed])
    assert len(told) == 2


def test_a_filter_is_few_changes_however_scattered(model: RowModel[Row], qtbot: QtBot) -> None:
    model.set_rows([Row(f"task {n}", float(n % 2)) for n in range(1_000)])
    removals: list[int] = []
    model.rowsRemoved.connect(lambda parent, first, last: removals.append(last - first + 1))
    model.set_filter("7")
    assert removals == [1_000 - sum("7" in str(n) for n in range(1_000))]


def test_places_in_order() -> None:
    assert sorted_places([], is_descending=False).tolist() == []
    assert sorted_places([None, None], is_descending=True).tolist() == [0, 1]
    assert sorted_places(["b", None, "a", "b"], is_descending=True).tolist() == [0, 3, 2, 1]


def test_what_cells_say(model: RowModel[Row]) -> None:
    model.set_rows([Row("a", 3.0, "failed")])
    index = model.index(0, 1)
    assert index.data() == "3 s"
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "Seconds: 3 s"
    assert index.data(ROW_ROLE) == Row("a", 3.0, "failed")
    assert model.headerData(2, Qt.Orientation.Horizontal) == "State"
    assert model.headerData(2, Qt.Orientation.Vertical) is None


def test_the_keyboard_moves_and_opens(table: RowTable[Row], qtbot: QtBot) -> None:
    table.row_model.set_rows(rows_of(30))
    table.set_current_key("task 3")
    QTest.keyClick(table, Qt.Key.Key_Down)
    assert table.current_key == "task 4"
    with qtbot.waitSignal(table.opened) as opened:
        QTest.keyClick(table, Qt.Key.Key_Return)
    assert opened.args is not None
    assert opened.args[0].name == "task 4"
    table.row_model.sort(0, Qt.SortOrder.DescendingOrder)
    assert table.current_key == "task 4"
    with qtbot.waitSignal(table.current_changed):
        table.set_current_key("unknown")
    assert table.current_key is None


def test_a_click_on_a_heading_sorts(table: RowTable[Row]) -> None:
    table.row_model.set_rows([Row("a", 3), Row("b", 1), Row("c", 2)])
    header = table.horizontalHeader()
    x = header.sectionViewportPosition(1) + 20
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 10))
    assert [row.seconds for row in table.row_model.rows] in ([1, 2, 3], [3, 2, 1])


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
def test_states_and_shares_are_painted(table: RowTable[Row], theme: Theme, appearance: Appearance) -> None:
    theme.set_appearance(appearance)
    table.row_model.set_rows([Row("a\n<b>", 90.0, "failed"), Row("x" * 5_000, 10.0, "running")])
    QApplication.processEvents()
    image = table.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    found = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)[:, :, :3].astype(int)

    def count(color: QColor, rows: slice) -> int:
        wanted = (color.blue(), color.green(), color.red())
        return int((np.abs(found[rows] - wanted).sum(axis=2) < 6).sum())

    height = theme.metrics.row_height
    assert count(theme.state_tone("failed").ground, slice(0, height)) > 200
    assert count(theme.state_tone("running").ground, slice(height, 2 * height)) > 200
    upper, lower = count(theme.tokens.accent, slice(0, height)), count(theme.tokens.accent, slice(height, 2 * height))
    assert upper > 4 * lower > 0


def test_ten_thousand_rows_are_quick(qapp: QApplication) -> None:
    model = RowModel(COLUMNS, lambda row: row.name)
    model.set_rows(rows_of(10_000))
    began = time.process_time()
    for column in range(4):
        model.sort(column, Qt.SortOrder.DescendingOrder)
    for text in ("t", "task 1", "task 11", ""):
        model.set_filter(text)
    # Some 0.3 s on a quiet machine; this guards against squares.
    assert time.process_time() - began < 4


def test_values_of_any_kind_are_sorted(qapp: QApplication) -> None:
    column: Column[datetime | None] = Column(title="When", text=str, sort_key=lambda moment: moment)
    model = RowModel([column], lambda moment: moment)
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    model.set_rows([None, late, early])
    model.sort(0)
    assert list(model.rows) == [early, late, None]
    model.sort(0, Qt.SortOrder.DescendingOrder)
    assert list(model.rows) == [late, early, None]


def test_a_column_without_an_order_gives_back_the_given_one(model: RowModel[Row]) -> None:
    model.set_rows([Row("b", 2), Row("a", 1)])
    model.sort(1)
    assert names(model) == ["a", "b"]
    model.sort(2)
    assert names(model) == ["b", "a"]
