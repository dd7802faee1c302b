"""The last runs of a DAG as small bars: height for length, colour and glyph for state.

Decides their drawing. Used by the DAG list's cells and by cards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from dagdeck_client.models import DagRun
from dagdeck_core.states import DagRunState
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.viewmodels.home import age_of
from dagdeck_desktop.viewmodels.wording import duration_text, time_text

_LEAST = 0.28
_WIDEST = 16
"""The height of the shortest bar, so that its state can still be seen."""


def bar_places(rect: QRect, runs: Sequence[DagRun], *, most: int, width: int = 6, gap: int = 3) -> list[QRectF]:
    """The bars of runs (oldest first) in a rectangle, the newest at its right end; without a width they fill it."""
    shown = runs[-most:]
    if not width:
        width = min(_WIDEST, max(2, (rect.width() + gap) // max(1, len(shown)) - gap))
    lengths = [math.sqrt(age_of(run) or 0.0) for run in shown]
    longest = max(lengths, default=0.0) or 1.0
    left = rect.right() + 1 - len(shown) * (width + gap) + gap
    places = []
    for number, length in enumerate(lengths):
        height = round(rect.height() * (_LEAST + (1 - _LEAST) * length / longest))
        places.append(QRectF(left + number * (width + gap), rect.bottom() + 1 - height, width, height))
    return places


def paint_bars(
    painter: QPainter, rect: QRect, runs: Sequence[DagRun], theme: Theme, *, most: int, width: int = 6, gap: int = 3
) -> None:
    """Draw runs, oldest first; a failed one also has a notch, since colour is never the only sign."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for run, place in zip(runs[-most:], bar_places(rect, runs, most=most, width=width, gap=gap), strict=True):
        color = theme.state_color(run.state)
        is_open = run.state == DagRunState.QUEUED
        painter.setPen(
            QPen(theme.state_ink(run.state), 1.0) if is_open or theme.needs_border(run.state) else Qt.PenStyle.NoPen
        )
        painter.setBrush(Qt.BrushStyle.NoBrush if is_open else color)
        inset = 0.5 if is_open else 0.0
        painter.drawRoundedRect(place.adjusted(inset, inset, -inset, -inset), 2, 2)
        if run.state == DagRunState.FAILED:
            painter.setPen(QPen(theme.tokens.surface, 1.5))
            middle = place.center().y()
            painter.drawLine(QPointF(place.left() + 1, middle), QPointF(place.right() - 1, middle))
    painter.restore()


def run_sentence(run: DagRun) -> str:
    """A run in words, for tool tips and screen readers."""
    return f"{run.dag_run_id}\n{run.state} · {duration_text(age_of(run))} · {time_text(run.run_after)}"


class RunBars(QWidget):
    """The last runs as bars. `run_chosen(run_id)` follows a click."""

    run_chosen = Signal(str)

    def __init__(
        self, theme: Theme, most: int = 18, parent: QWidget | None = None, *, fills: bool = False, height: int = 32
    ) -> None:
        super().__init__(parent)
        self._width, self._gap = (0, 3) if fills else (5, 2)
        self._theme = theme
        self._most = most
        self._runs: Sequence[DagRun] = ()
        self._size = QSize(most * 7 - 2, height)
        policy = QSizePolicy.Policy.Expanding if fills else QSizePolicy.Policy.Fixed
        self.setSizePolicy(policy, policy)
        if fills:
            self.setMinimumHeight(height)
            self.setMaximumHeight(3 * height)
        self.setMouseTracking(True)
        theme.changed.connect(self.update)

    def set_runs(self, runs: Sequence[DagRun]) -> None:
        """Show runs, oldest first."""
        self._runs = runs[-self._most :]
        states = ", ".join(self._theme.state_label(run.state) for run in self._runs)
        self.setAccessibleName(f"Last runs, oldest first: {states}" if states else "No runs")
        self.update()

    def places(self) -> list[QRectF]:
        """Where the bars stand, oldest first."""
        return bar_places(self.rect(), self._runs, most=self._most, width=self._width, gap=self._gap)

    def run_at(self, x: float) -> DagRun | None:
        """The run whose bar is at a place."""
        for run, place in zip(self._runs, self.places(), strict=True):
            if place.left() - 1.5 <= x <= place.right() + 1.5:
                return run
        return None

    def sizeHint(self) -> QSize:
        return self._size

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_bars(painter, self.rect(), self._runs, self._theme, most=self._most, width=self._width, gap=self._gap)
        painter.end()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        run = self.run_at(event.position().x())
        self.setCursor(Qt.CursorShape.PointingHandCursor if run is not None else Qt.CursorShape.ArrowCursor)
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        run = self.run_at(event.position().x())
        if run is not None and event.button() is Qt.MouseButton.LeftButton:
            self.run_chosen.emit(run.dag_run_id)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent):
            run = self.run_at(event.pos().x())
            QToolTip.showText(event.globalPos(), run_sentence(run) if run is not None else "", self)
            return True
        return super().event(event)
