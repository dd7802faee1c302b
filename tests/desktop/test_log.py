"""The log area: any bytes as lines, following, searching, filtering, selecting, and what is bounded."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible, QColor, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from dagdeck_core.errors import UserError
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.log import LogArea, LogBuffer
from dagdeck_desktop.log.lines import MOST_SHOWN_BYTES, Level, Part, readable, shown_line
from dagdeck_desktop.log.search import LogSearch
from dagdeck_desktop.log.selection import Place, Selection
from dagdeck_desktop.theme import Theme

STAMP = "2026-11-23T06:04:11.123456Z"


@pytest.fixture
def area(theme: Theme, icons: Icons, qtbot: QtBot) -> LogArea:
    made = LogArea(theme, icons)
    qtbot.addWidget(made)
    made.resize(700, 326)
    made.show()
    QApplication.processEvents()
    return made


def numbered(count: int, first: int = 0) -> bytes:
    return b"".join(b"line %d of many\n" % number for number in range(first, first + count))


def picture(area: LogArea) -> QImage:
    QApplication.processEvents()
    return area.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


def count_of(image: QImage, color: QColor) -> int:
    found = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)[:, :, :3]
    return int((found == (color.blue(), color.green(), color.red())).all(axis=2).sum())


def first_line(area: LogArea) -> str:
    return area.accessible_items()[0].name


# Bytes and lines


@pytest.mark.parametrize("step", [1, 3, 7, 1_000])
def test_lines_are_the_same_however_bytes_are_cut(step: int) -> None:
    content = b"one\n\ntwo\r\n\xff\xfe\nthe last"
    buffer = LogBuffer()
    for begin in range(0, len(content), step):
        buffer.append(content[begin : begin + step])
    assert [buffer.line(n) for n in range(buffer.line_count)] == content.split(b"\n")
    assert not buffer.is_finished
    buffer.append(b"\n")
    assert buffer.is_finished
    assert buffer.line_count == 5
    assert buffer.longest == 8
    assert buffer.content() == content + b"\n"


def test_an_empty_buffer_has_no_lines() -> None:
    buffer = LogBuffer()
    assert (buffer.line_count, buffer.longest, len(buffer)) == (0, 0, 0)
    buffer.append(b"")
    assert buffer.line_count == 0
    buffer.append(b"\n")
    assert buffer.line_count == 1
    buffer.clear()
    assert buffer.line_count == 0


def test_the_oldest_lines_go_when_there_is_no_room() -> None:
    buffer = LogBuffer(most_bytes=4_000)
    gone = 0
    for number in range(1_000):
        gone += buffer.append(b"line %04d\n" % number)
        assert len(buffer) <= 4_000
    assert buffer.dropped == gone > 500
    assert buffer.line(0) == b"line %04d" % gone
    assert buffer.line(buffer.line_count - 1) == b"line 0999"
    endless = LogBuffer(most_bytes=1_000)
    for _ in range(50):
        endless.append(b"x" * 100)
    assert len(endless) <= 1_000
    assert endless.line_count == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain", "plain"),
        (b"tab\tstop", "tab     stop"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"1 %\r50 %\r100 %", "100 %"),
        (b"windows\r", "windows"),
        (b"nul\x00bell\x07", "nul␀bell␇"),
        (b"\xff\xfe", "��"),
        ("a\u202eb\u2028c".encode(), "a�b�c"),
        ("🚀 日本".encode(), "🚀 日本"),
    ],
)
def test_any_bytes_are_readable(content: bytes, text: str) -> None:
    assert readable(content) == text


def test_parts_of_a_line() -> None:
    line = shown_line(f"{STAMP} WARNING my.logger  late".encode(), 0)
    assert line.text == "06:04:11 WARN  my.logger  late"
    assert line.level is Level.WARNING
    assert [line.text[begin:end] for _, begin, end in line.parts] == ["06:04:11 ", "WARN  ", "my.logger  ", "late"]
    assert [kind for kind, _, _ in line.parts] == [Part.TIME, Part.LEVEL, Part.LOGGER, Part.MESSAGE]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (f"{STAMP} ERROR x  y", Level.ERROR),
        (f"{STAMP} CRITICAL x  y", Level.ERROR),
        (f"[{STAMP}] {{taskinstance.py:10}} INFO - hello", Level.INFO),
        ("ERROR: printed", Level.ERROR),
        ("an ERROR in passing", Level.NONE),
        ('  File "x.py", line 1', Level.CONTINUED),
        ("Traceback (most recent call last):", Level.CONTINUED),
        ("", Level.NONE),
    ],
)
def test_levels(text: str, level: Level) -> None:
    assert shown_line(text.encode(), len(text)).level is level


def test_of_a_huge_line_the_beginning_is_shown() -> None:
    line = shown_line(b"x" * MOST_SHOWN_BYTES, 1_000_000)
    assert line.text.endswith("… and 934,464 more bytes")
    assert line.parts[-1][0] is Part.NOTE


# Search


@pytest.mark.parametrize("pattern", ["LINE 1", "line 1", r"\d{3} of", "^line 7", "of many$", "nothing", "x*"])
def test_search_finds_what_a_plain_search_finds(pattern: str) -> None:
    buffer = LogBuffer()
    search = LogSearch(buffer, pattern)
    lines = numbered(3_000).decode().splitlines()
    content = numbered(3_000)
    for begin in range(0, len(content), 5_001):
        buffer.append(content[begin : begin + 5_001])
        search.step(0.0)
    while not search.is_finished:
        search.step(0.0)
    flags = 0 if any(letter.isupper() for letter in pattern) else re.IGNORECASE
    plain = [n for n, line in enumerate(lines) if re.search(pattern, line, flags)]
    assert search.lines.tolist() == plain


def test_search_sees_the_unfinished_line_as_it_is_now() -> None:
    buffer = LogBuffer()
    search = LogSearch(buffer, "done")
    buffer.append(b"first\nwork")
    search.step(0.01)
    assert search.lines.tolist() == []
    buffer.append(b" done")
    search.step(0.01)
    assert search.lines.tolist() == [1]
    buffer.append(b" not\nlast\n")
    search.step(0.01)
    assert search.lines.tolist() == [1]


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "x{99999999999}", "a" * 2_000])
def test_a_wrong_pattern_is_told_and_changes_nothing(area: LogArea, pattern: str) -> None:
    area.append(numbered(50))
    area.set_filter("line 4")
    with pytest.raises(UserError):
        area.set_filter(pattern)
    assert area.hits == 11


def test_filtering_hides_other_lines(area: LogArea, qtbot: QtBot) -> None:
    area.append(numbered(2_000))
    with qtbot.waitSignal(area.hits_changed, check_params_cb=lambda hits, finished: finished):
        area.set_filter("line 19.9")
    assert (area.hits, area.row_count, area.line_count) == (10, 10, 2_000)
    assert [item.description for item in area.accessible_items()][:2] == ["Line 1910", "Line 1920"]
    with qtbot.waitSignal(area.hits_changed, check_params_cb=lambda hits, finished: hits == 11):
        area.append(b"line 1999 again\n")
    area.set_filter("")
    assert area.row_count == 2_001
    area.set_filter("nothing at all")
    assert area.row_count == 0
    image = picture(area)
    assert len({image.pixelColor(x, 163).name() for x in range(250, 450)}) > 2


def test_going_through_hits(area: LogArea, theme: Theme) -> None:
    area.append(numbered(3_000))
    area.set_filter("line .*77 of", hides_others=False)
    area.verticalScrollBar().setValue(0)
    assert area.row_count == 3_000
    assert area.next_hit() == 1
    assert any("line 77 of" in item.name for item in area.accessible_items())
    assert area.next_hit() == 2
    assert area.next_hit(-1) == 1
    assert area.next_hit(-1) == area.hits
    assert any("line 2977 of" in item.name for item in area.accessible_items())
    assert count_of(picture(area), theme.tokens.search_hit) > 200
    QTest.keyClick(area, Qt.Key.Key_F3)
    assert any("line 77 of" in item.name for item in area.accessible_items())


# Following


def test_the_end_is_followed_until_someone_scrolls_up(area: LogArea, qtbot: QtBot) -> None:
    area.append(numbered(500))
    assert area.follows
    assert area.accessible_items()[-1].name == "line 499 of many"
    with qtbot.waitSignal(area.following_changed):
        area.verticalScrollBar().setValue(100)
    top = first_line(area)
    area.append(numbered(500, 500))
    assert not area.follows
    assert first_line(area) == top
    QTest.keyClick(area, Qt.Key.Key_End)
    assert area.follows
    assert area.accessible_items()[-1].name == "line 999 of many"
    area.append(numbered(1, 1_000))
    assert area.accessible_items()[-1].name == "line 1000 of many"


def test_scrolling_back_to_the_end_follows_again(area: LogArea) -> None:
    area.append(numbered(500))
    bar = area.verticalScrollBar()
    bar.setValue(3)
    assert not area.follows
    bar.setValue(bar.maximum())
    assert area.follows


def test_lines_stay_in_place_when_the_oldest_go(theme: Theme, icons: Icons, qtbot: QtBot) -> None:
    area = LogArea(theme, icons, most_bytes=20_000)
    qtbot.addWidget(area)
    area.resize(700, 326)
    area.show()
    area.append(numbered(1_000))
    area.verticalScrollBar().setValue(600)
    area.set_filter("line 7", hides_others=False)
    top = first_line(area)
    for number in range(60):
        area.append(numbered(5, 1_000 + 5 * number))
    assert first_line(area) == top
    assert int(area.accessible_items()[0].description.split()[1]) == int(top.split()[1]) + 1


def test_clearing(area: LogArea) -> None:
    area.set_placeholder("No log yet")
    area.append(numbered(100))
    area.select_all()
    area.set_filter("line 5")
    area.clear()
    assert (area.line_count, area.row_count, area.selected_text()) == (0, 0, "")
    area.append(numbered(60))
    QApplication.processEvents()
    assert area.hits == 11


# Selecting


def place(area: LogArea, row: int, column: int) -> QPoint:
    return QPoint(round(area._gutter() + column * area._advance), 6 + row * 20 + 10)


def drag(area: LogArea, begin: QPoint, end: QPoint) -> None:
    view = area.viewport()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=begin)
    QTest.mouseMove(view, end)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=end)


def test_selecting_and_copying(area: LogArea) -> None:
    area.append(f"{STAMP} INFO  a.b  first\n".encode() + b"second\tline\nthird\n")
    drag(area, place(area, 0, 20), place(area, 0, 25))
    assert area.selected_text() == "first"
    drag(area, place(area, 0, 20), place(area, 2, 3))
    assert area.selected_text() == "first\nsecond  line\nthi"
    drag(area, place(area, 2, 3), place(area, 0, 0))
    # A whole line comes as it was written.
    assert area.selected_text() == f"{STAMP} INFO  a.b  first\nsecond  line\nthi"
    QTest.keyClick(area, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == area.selected_text()
    QTest.keyClick(area, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert area.selected_text().endswith("second  line\nthird")
    QTest.keyClick(area, Qt.Key.Key_Escape)
    assert area.selected_text() == ""


def test_a_double_click_selects_a_word(area: LogArea) -> None:
    area.append(b"some words here\n")
    QTest.mouseDClick(area.viewport(), Qt.MouseButton.LeftButton, pos=place(area, 0, 7))
    assert area.selected_text() == "words"


def test_copying_takes_all_of_a_huge_line(area: LogArea) -> None:
    area.append(b"before\n" + b"x" * 1_000_000 + b"\nafter\n")
    area.select_all()
    assert len(area.selected_text()) == 1_000_000 + len("before\n\nafter")


def test_only_filtered_lines_are_copied(area: LogArea) -> None:
    area.append(numbered(30))
    area.set_filter("line .?5")
    area.select_all()
    assert area.selected_text().splitlines() == [f"line {n} of many" for n in (5, 15, 25)]


def test_columns_of_a_selection() -> None:
    selection = Selection(Place(5, 4), Place(2, 7))
    assert selection.columns_in(1, 9) is None
    assert selection.columns_in(2, 9) == (7, 10)
    assert selection.columns_in(3, 9) == (0, 10)
    assert selection.columns_in(5, 9) == (0, 4)
    assert selection.dropped(3) == Selection(Place(2, 4), Place(0, 0))
    assert selection.dropped(6) is None


# Painting


def test_wide_characters_keep_the_mouse_in_place(area: LogArea) -> None:
    area.append("日本語のログ text\n".encode())
    text = "日本語のログ text"
    for column in range(len(text)):
        x = area._gutter() + area._metrics.horizontalAdvance(text[:column])
        assert area.place_at(QPoint(round(x), 12)) == Place(0, column)


def test_levels_have_their_colours(area: LogArea, theme: Theme) -> None:
    area.append(f"{STAMP} ERROR a  failed\n{STAMP} INFO  a  fine\n".encode())
    image = picture(area)
    assert image.pixelColor(650, 16) == theme.tokens.danger_ground
    assert image.pixelColor(650, 36) == theme.tokens.surface


def test_wrapping_shows_all_of_a_line(area: LogArea) -> None:
    area.append(b"short\n" + b"word " * 100 + b"\nafter\n")
    rows = len(area._lay_rows())
    area.set_wrapping(True)
    assert len(area._lay_rows()) > rows + 3
    assert area.horizontalScrollBar().maximum() == 0
    drag(area, place(area, 2, 0), place(area, 2, 4))
    assert area.selected_text().strip() in "word word"
    assert len(area.selected_text()) == 4
    area.append(b"x" * 1_000_000)
    area.set_following(True)
    assert count_of(picture(area), area._theme.tokens.text_1) > 500


def test_a_line_beyond_the_window_is_reached_sideways(area: LogArea) -> None:
    area.append(b"x" * 500 + b"END\n")
    area.horizontalScrollBar().setValue(area.horizontalScrollBar().maximum())
    at = area.place_at(place(area, 0, 0))
    assert at.column > 300
    assert area.place_at(QPoint(699, 12)).column >= 503 - 4


def test_hostile_bytes_are_painted(area: LogArea) -> None:
    random = np.random.default_rng(7)
    area.append(random.integers(0, 256, 200_000, dtype=np.uint8).tobytes())
    area.append(b"\n" + b"\x00" * 1_000_000 + b"\n" + "\u0301".encode() * 50_000 + b"\n")
    for value in (0, area.verticalScrollBar().maximum()):
        area.verticalScrollBar().setValue(value)
        assert count_of(picture(area), area._theme.tokens.text_1) > 0
    area.set_wrapping(True)
    picture(area)


def test_screen_readers_are_told_the_visible_lines(area: LogArea) -> None:
    area.append(numbered(100))
    interface = QAccessible.queryAccessibleInterface(area)
    assert 14 <= interface.childCount() <= 17
    assert interface.child(0).text(QAccessible.Text.Name).startswith("line 8")
    assert interface.child(0).text(QAccessible.Text.Description).startswith("Line 8")


def test_a_million_lines_open_and_grow(area: LogArea) -> None:
    content = numbered(1_000_000)
    for begin in range(0, len(content), 1 << 20):
        area.append(content[begin : begin + (1 << 20)])
    assert area.line_count == 1_000_000
    assert area.accessible_items()[-1].name == "line 999999 of many"
    area.append(b"one more\n")
    assert area.accessible_items()[-1].name == "one more"
