"""The lines of a log as rows, and how they are painted.

Decides which rows are visible, where text stands and in which colours. Does not decide what is shown of the log or
selected in it: that is `area`, which builds on this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QAccessible, QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from dagdeck_desktop.areas import AccessibleItem, install_accessible_areas
from dagdeck_desktop.log.buffer import LogBuffer
from dagdeck_desktop.log.lines import MOST_SHOWN_BYTES, Level, Part, ShownLine, shown_line
from dagdeck_desktop.log.search import LogSearch
from dagdeck_desktop.log.selection import Place, Selection
from dagdeck_desktop.theme import FontRole, Theme

_TOP = 6
_LEFT = 10
_GAP = 14
_MOST_WRAPPED = 64
_MOST_MARKS = 200
_KEPT_LINES = 600


class _Row(NamedTuple):
    """A painted row: the line's number, the column it begins with, and where it is."""

    line: int
    column: int
    top: int


class LogView(QAbstractScrollArea):
    """Paints `_buffer`, or those lines of it that `_search` finds when `_filters`."""

    def __init__(self, theme: Theme, parent: QWidget | None, most_bytes: int) -> None:
        super().__init__(parent)
        install_accessible_areas()
        self._theme = theme
        self._buffer = LogBuffer(most_bytes)
        self._shown: dict[int, ShownLine] = {}
        self._search: LogSearch | None = None
        self._filters = False
        self._hit = -1
        self._selection: Selection | None = None
        self._wraps = False
        self._is_moving = False
        self._placeholder = ""
        self._font = theme.font(FontRole.MONO)
        self._metrics = QFontMetricsF(self._font)
        self._advance = self._metrics.horizontalAdvance("M" * 64) / 64.0
        self._height = theme.metrics.log_row_height
        self.setFrameShape(QAbstractScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Log")
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        theme.changed.connect(self.viewport().update)

    @property
    def row_count(self) -> int:
        """Lines shown: those that the filter lets through."""
        return len(self._search.lines) if self._filters and self._search is not None else self._buffer.line_count

    # Rows

    def _line(self, number: int) -> ShownLine:
        found = self._shown.get(number)
        if found is None:
            if len(self._shown) >= _KEPT_LINES:
                self._shown.clear()
            content = self._buffer.line(number, MOST_SHOWN_BYTES)
            found = self._shown[number] = shown_line(content, self._buffer.length(number))
        return found

    def _line_of_row(self, row: int) -> int | None:
        if not 0 <= row < self.row_count:
            return None
        return int(self._search.lines[row]) if self._filters and self._search is not None else row

    def _row_of_line(self, number: int) -> int:
        if self._filters and self._search is not None:
            return int(np.searchsorted(self._search.lines, number))
        return number

    def _is_visible_line(self, number: int) -> bool:
        if not self._filters or self._search is None:
            return True
        lines = self._search.lines
        at = int(np.searchsorted(lines, number))
        return at < len(lines) and int(lines[at]) == number

    def _gutter(self) -> int:
        """Where text begins."""
        digits = max(3, len(str(self._buffer.dropped + self._buffer.line_count)))
        return round(_LEFT + digits * self._advance + _GAP)

    def _page(self) -> int:
        """Rows that fit."""
        return max(1, (self.viewport().height() - _TOP) // self._height)

    def _columns(self) -> int:
        """Columns that fit beside the numbers."""
        return max(10, int((self.viewport().width() - self._gutter() - _LEFT) / self._advance))

    def _height_of(self, line: int) -> int:
        """Rows that a line takes."""
        if not self._wraps:
            return 1
        return max(1, min(_MOST_WRAPPED, -(-len(self._line(line).text) // self._columns())))

    def _last_top(self) -> int:
        """The row at the top when the end is in sight."""
        count, page = self.row_count, self._page()
        if not self._wraps:
            return max(0, count - page)
        row, used = count, 0
        while row > 0:
            line = self._line_of_row(row - 1)
            used += self._height_of(line) if line is not None else 1
            if used > page:
                break
            row -= 1
        return min(row, max(0, count - 1))

    def _lay_rows(self) -> list[_Row]:
        """The rows that are visible now."""
        rows: list[_Row] = []
        top, row, bottom = _TOP, self.verticalScrollBar().value(), self.viewport().height()
        columns = self._columns()
        while top < bottom:
            line = self._line_of_row(row)
            if line is None:
                break
            for part in range(self._height_of(line)):
                rows.append(_Row(line, part * columns if self._wraps else 0, top))
                top += self._height
            row += 1
        return rows

    def _set_ranges(self) -> None:
        self._is_moving = True
        bar = self.verticalScrollBar()
        bar.setPageStep(self._page())
        bar.setRange(0, self._last_top())
        across = self.horizontalScrollBar()
        longest = 0 if self._wraps else min(self._buffer.longest, MOST_SHOWN_BYTES) + 4
        across.setPageStep(self._columns())
        across.setSingleStep(4)
        across.setRange(0, max(0, longest - self._columns()))
        self._is_moving = False

    # Places

    def place_at(self, point: QPoint) -> Place:
        """The place in the log that is nearest to a point of the viewport."""
        rows = self._lay_rows()
        if not rows:
            return Place(0, 0)
        row = rows[0]
        for candidate in rows:
            if candidate.top > point.y():
                break
            row = candidate
        text = self._line(row.line).text
        x = point.x() - self._gutter()
        first = row.column if self._wraps else self.horizontalScrollBar().value()
        part = text[first : first + self._columns() + 2]
        if part.isascii():
            column = first + max(0, round(x / self._advance))
        else:
            widths = [self._metrics.horizontalAdvance(part[:n]) for n in range(len(part) + 1)]
            column = first + int(np.argmin([abs(width - x) for width in widths]))
        end = min(len(text), row.column + self._columns()) if self._wraps else len(text)
        return Place(row.line, max(0, min(column, end)))

    def _x_of(self, text: str, first: int, column: int) -> float:
        """Where a column is, from where the text begins."""
        part = text[first : max(first, column)]
        return len(part) * self._advance if part.isascii() else self._metrics.horizontalAdvance(part)

    # For screen readers

    def accessible_items(self) -> Sequence[AccessibleItem]:
        """The visible lines."""
        found = []
        for row in self._lay_rows():
            if row.column:
                continue
            found.append(
                AccessibleItem(
                    name=self._line(row.line).text[:2_000],
                    description=f"Line {self._buffer.dropped + row.line + 1}",
                    rect=QRect(0, row.top, self.viewport().width(), self._height),
                    role=QAccessible.Role.ListItem,
                    is_selected=self._selection is not None
                    and self._selection.columns_in(row.line, 1 << 30) is not None,
                )
            )
        return found

    # Painting

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = self._theme.tokens
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), tokens.surface)
        painter.setFont(self._font)
        rows = self._lay_rows()
        if not rows:
            painter.setFont(self._theme.font(FontRole.BODY))
            painter.setPen(tokens.text_3)
            nothing = "No line matches" if self._filters and self._buffer.line_count else self._placeholder
            painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, nothing)
        gutter = self._gutter()
        for row in rows:
            self._paint_row(painter, row, gutter)
        painter.end()

    def _paint_row(self, painter: QPainter, row: _Row, gutter: int) -> None:
        tokens = self._theme.tokens
        shown = self._line(row.line)
        width = self.viewport().width()
        if shown.level is Level.ERROR:
            painter.fillRect(0, row.top, width, self._height, tokens.danger_ground)
        if row.line == self._hit:
            painter.fillRect(0, row.top, 3, self._height, tokens.accent)
        baseline = row.top + round((self._height + self._metrics.ascent() - self._metrics.descent()) / 2.0)
        first = row.column if self._wraps else self.horizontalScrollBar().value()
        last = min(len(shown.text), first + self._columns() + (0 if self._wraps else 2))
        painter.save()
        painter.setClipRect(QRect(gutter, row.top, width - gutter, self._height))
        self._paint_marks(painter, row, shown, first, last, gutter)
        x = float(gutter)
        for kind, begin, end in shown.parts:
            piece = shown.text[max(begin, first) : min(end, last)]
            if piece:
                painter.setPen(self._color(kind, shown.level))
                painter.drawText(QPointF(x, baseline), piece)
                x += len(piece) * self._advance if piece.isascii() else self._metrics.horizontalAdvance(piece)
        painter.restore()
        if not self._wraps and len(shown.text) > first + self._columns():
            self._paint_overflow(painter, row, shown, baseline)
        if not row.column:
            painter.setPen(tokens.text_3)
            number = str(self._buffer.dropped + row.line + 1)
            painter.drawText(QPointF(gutter - _GAP - len(number) * self._advance, baseline), number)

    def _paint_overflow(self, painter: QPainter, row: _Row, shown: ShownLine, baseline: int) -> None:
        """A sign at the right edge that the line goes on there."""
        tokens = self._theme.tokens
        left = round(self.viewport().width() - 1.6 * self._advance)
        ground = tokens.danger_ground if shown.level is Level.ERROR else tokens.surface
        painter.fillRect(left, row.top, self.viewport().width() - left, self._height, ground)
        painter.setPen(tokens.text_3)
        painter.drawText(QPointF(left + 0.3 * self._advance, baseline), "…")

    def _paint_marks(self, painter: QPainter, row: _Row, shown: ShownLine, first: int, last: int, gutter: int) -> None:
        """Grounds of hits and of the selection."""
        tokens = self._theme.tokens
        if self._search is not None:
            for count, hit in enumerate(self._search.text.finditer(shown.text, first, last)):
                if count >= _MOST_MARKS:
                    break
                self._mark(painter, row, shown.text, first, (hit.start(), hit.end()), gutter, tokens.search_hit)
        columns = self._selection.columns_in(row.line, len(shown.text)) if self._selection is not None else None
        if columns is not None:
            ground = QColor(tokens.accent)
            ground.setAlphaF(0.3)
            begin, end = columns
            self._mark(painter, row, shown.text, first, (begin, min(end, last)), gutter, ground)
            if end > len(shown.text) and last == len(shown.text):
                x = gutter + self._x_of(shown.text, first, len(shown.text))
                painter.fillRect(QRectF(x, row.top, self._advance, self._height), ground)

    def _mark(
        self,
        painter: QPainter,
        row: _Row,
        text: str,
        first: int,
        columns: tuple[int, int],
        gutter: int,
        ground: QColor,
    ) -> None:
        begin = gutter + self._x_of(text, first, columns[0])
        end = gutter + self._x_of(text, first, columns[1])
        if end > begin:
            painter.fillRect(QRectF(begin, row.top, end - begin, self._height), ground)

    def _color(self, kind: Part, level: Level) -> QColor:
        tokens = self._theme.tokens
        if kind is Part.LEVEL:
            return {
                Level.DEBUG: tokens.text_3,
                Level.INFO: tokens.info,
                Level.WARNING: tokens.warning,
                Level.ERROR: tokens.danger,
            }.get(level, tokens.text_2)
        if kind in (Part.TIME, Part.LOGGER, Part.NOTE):
            return tokens.text_2 if level is Level.ERROR else tokens.text_3
        return {Level.ERROR: tokens.danger, Level.DEBUG: tokens.text_2, Level.CONTINUED: tokens.text_2}.get(
            level, tokens.text_1
        )
