"""A live chart to explore: curves that move on by themselves, to zoom, to pan, and to read values from.

Decides when it is painted (on a timer, while it is visible and something is new) and when it moves with time. Does not
collect samples. Used by the Workers page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFocusEvent, QHideEvent, QKeyEvent, QPainter, QPen, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dagdeck_desktop.charts.ring import Floats, Ring
from dagdeck_desktop.theme import FontRole, Theme

CAPACITY = 3_600
WINDOW = 300.0
PAINT_MILLISECONDS = 200
_HEADROOM = 1.12
KEY_STEP = 0.1
"""The part of what is shown that an arrow key goes."""
KEY_ZOOM = 1.4
_TICK_ROOM = 24.0
"""Pixels from one number of the left axis to the next, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A curve: its name, the token of its colour, and whether the ground below it is tinted."""

    name: str
    token: str = "accent"
    is_filled: bool = False


class _Axis(pg.AxisItem):
    """An axis with lines through the plot at its numbers only. pyqtgraph draws one for each small step as well, in
    pens that Qt strokes as paths: tens of milliseconds for each chart."""

    def drawPicture(self, painter: QPainter, axis_spec: Any, tick_specs: Any, text_specs: Any) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(_thin(axis_spec[0].color()))
        painter.drawLine(axis_spec[1], axis_spec[2])
        if self.grid and self.orientation == "left":
            middles = {round(rect.center().y()) for rect, _, _ in text_specs}
            for pen, begin, end in tick_specs:
                if round(begin.y()) in middles:
                    painter.setPen(_thin(pen.color()))
                    painter.drawLine(begin, end)
        painter.setFont(self.style["tickFont"] or painter.font())
        painter.setPen(self.textPen())
        for rect, flags, text in text_specs:
            painter.drawText(rect, int(flags), text)


class _TimeAxis(_Axis):
    """Local clock time."""

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        form = "%H:%M:%S" if spacing < 60 else "%H:%M"
        return [time.strftime(form, time.localtime(value)) if value > 0 else "" for value in values]


class _ValueAxis(_Axis):
    """Values in their unit, at few round numbers: see `round_step`."""

    def __init__(self, shown: Callable[[float], str], base: float) -> None:
        super().__init__(orientation="left")
        self._shown = shown
        self._base = base

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """One level of steps, as close as texts can stand."""
        return [(round_step((maxVal - minVal) / max(1.0, size / _TICK_ROOM), self._base), 0.0)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [self._shown(value) for value in values]


def round_step(least: float, base: float = 10.0) -> float:
    """The smallest of 1, 2 and 5 times a power of 10, each times a power of `base` (1024 for sizes), that is not
    less than `least`."""
    if least <= 0 or not math.isfinite(least):
        return 1.0
    unit = 1.0
    while base > 10.0 and least >= unit * base / 2:
        unit *= base
    power = 10.0 ** math.floor(math.log10(least / unit))
    return unit * next(times * power for times in (1.0, 2.0, 5.0, 10.0, 20.0) if times * power * unit >= least * 0.999)


class LiveChart(QWidget):
    """Curves of the last minutes. Drag to pan, turn the wheel to zoom in time, double-click to go on live; by keyboard
    Left and Right, + and -, End.

    `append` is cheap: nothing is painted until the timer comes round.
    """

    live_changed = Signal(bool)

    def __init__(
        self,
        theme: Theme,
        series: Sequence[Series],
        shown: Callable[[float], str] = "{:g}".format,
        parent: QWidget | None = None,
        *,
        name: str = "",
        capacity: int = CAPACITY,
        window: float = WINDOW,
        base: float = 10.0,
        least_top: float = 1.0,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._series = tuple(series)
        self._format = shown
        self._name = name
        self._ring = Ring(capacity, len(self._series))
        self._window = window
        self._least_top = least_top
        self._base = base
        self._is_live = True
        self._is_stale = True
        self._build()
        self._timer = QTimer(self, interval=PAINT_MILLISECONDS)
        self._timer.timeout.connect(self.paint_now)
        theme.changed.connect(self._dress)

    def _build(self) -> None:
        self._plot = pg.PlotWidget(
            axisItems={"bottom": _TimeAxis(orientation="bottom"), "left": _ValueAxis(self._format, self._base)}
        )
        # The chart has the focus, not pyqtgraph's view inside, which has neither a name nor keys.
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setFrameShape(self._plot.Shape.NoFrame)
        box = self._plot.getViewBox()
        box.setMouseEnabled(x=True, y=False)
        box.setDefaultPadding(0.0)
        box.sigRangeChangedManually.connect(lambda *_: self.set_live(False))
        self._curves = [self._plot.plot(antialias=True, connect="finite", clipToView=True) for _ in self._series]
        for curve in self._curves:
            curve.setDownsampling(auto=True, method="peak")
        self._cross = pg.InfiniteLine(angle=90, movable=False)
        self._cross.hide()
        self._plot.addItem(self._cross, ignoreBounds=True)
        self._label = pg.TextItem(anchor=(0, 0))
        self._label.hide()
        self._plot.addItem(self._label, ignoreBounds=True)
        self._plot.scene().sigMouseMoved.connect(self._point_at)
        self._plot.viewport().installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self._dress()

    # Samples

    def append(self, moment: float, values: Sequence[float]) -> None:
        """Add a sample: seconds since 1970, and a value for each series; NaN is a gap."""
        self._ring.append(moment, values)
        self._is_stale = True

    def set_samples(self, moments: Floats, values: Floats) -> None:
        """Show other samples: `values` has a row for each series."""
        self._ring.clear()
        for column, moment in enumerate(moments.tolist()):
            self._ring.append(moment, values[:, column].tolist())
        self._is_stale = True
        self.paint_now()

    def clear(self) -> None:
        """Forget all samples."""
        self._ring.clear()
        self._is_stale = True
        self.set_live(True)

    # What part is shown

    @property
    def is_live(self) -> bool:
        """True while the newest sample stays in sight."""
        return self._is_live

    def set_live(self, is_live: bool) -> None:
        """Move with time, or stay where it is."""
        if is_live:
            self._is_stale = True
        if is_live != self._is_live:
            self._is_live = is_live
            self.live_changed.emit(is_live)
        if is_live:
            self.paint_now()

    def set_window(self, seconds: float) -> None:
        """Show so many seconds."""
        self._window = seconds
        self.set_live(True)

    def shown_range(self) -> tuple[float, float]:
        """The moments at the left and right edge."""
        (left, right), _ = self._plot.getViewBox().viewRange()
        return float(left), float(right)

    def paint_now(self) -> None:
        """Show what has come since the last time; the timer does this by itself."""
        if not self._is_stale:
            return
        self._is_stale = False
        moments = self._ring.moments
        for number, curve in enumerate(self._curves):
            curve.setData(moments, self._ring.series(number), skipFiniteCheck=False)
        self._describe()
        if not len(self._ring):
            return
        if self._is_live:
            last = self._ring.last_moment
            self._plot.setXRange(last - self._window, last, padding=0.0)
        self._plot.setYRange(0.0, self._top(), padding=0.0)

    def _top(self) -> float:
        """The upper edge: over all values in sight, so that zooming in on calm minutes shows them well."""
        left, right = self.shown_range()
        moments = self._ring.moments
        begin, end = np.searchsorted(moments, (left, right))
        values = [self._ring.series(number)[max(begin - 1, 0) : end + 1] for number in range(len(self._series))]
        finite = np.concatenate(values) if values else np.empty(0)
        finite = finite[np.isfinite(finite)]
        greatest = float(finite.max()) if len(finite) else 0.0
        return max(greatest * _HEADROOM, self._least_top)

    # Reading values

    def values_at(self, moment: float) -> tuple[float, list[float]] | None:
        """The sample nearest to a moment; None without samples."""
        moments = self._ring.moments
        if not len(moments):
            return None
        at = int(np.argmin(np.abs(moments - moment)))
        return float(moments[at]), [float(self._ring.series(number)[at]) for number in range(len(self._series))]

    def _point_at(self, point: QPointF) -> None:
        box = self._plot.getViewBox()
        found = None
        if self._plot.sceneBoundingRect().contains(point):
            found = self.values_at(box.mapSceneToView(point).x())
        is_wanted = found is not None
        self._cross.setVisible(is_wanted)
        self._label.setVisible(is_wanted)
        if found is None:
            return
        moment, values = found
        self._cross.setPos(moment)
        left, right = self.shown_range()
        # The label stays inside: it changes sides in the middle.
        self._label.setAnchor((1.0, 0.0) if moment > (left + right) / 2.0 else (0.0, 0.0))
        self._label.setPos(moment, self._plot.getViewBox().viewRange()[1][1])
        self._label.setPlainText(f"{time.strftime('%H:%M:%S', time.localtime(moment))}  {self._sentence(values)}")

    def _sentence(self, values: Sequence[float]) -> str:
        return ", ".join(
            f"{series.name} {self._format(value) if math.isfinite(value) else '–'}"
            for series, value in zip(self._series, values, strict=True)
        )

    def _describe(self) -> None:
        found = self.values_at(math.inf if not len(self._ring) else self._ring.last_moment)
        now = f"now {self._sentence(found[1])}" if found is not None else "no samples yet"
        self.setAccessibleName(f"{self._name}: {now}" if self._name else now)

    # Look

    def _dress(self) -> None:
        tokens = self._theme.tokens
        self._plot.setBackground(tokens.surface)
        for side in ("bottom", "left"):
            axis = self._plot.getAxis(side)
            axis.setPen(pg.mkPen(tokens.border))
            axis.setTextPen(pg.mkPen(tokens.text_3))
            axis.setTickFont(self._theme.font(FontRole.SMALL))
            axis.setStyle(tickLength=0, tickTextOffset=6)
        self._plot.getAxis("left").setWidth(56)
        grid = QColor(tokens.border)
        self._plot.showGrid(x=False, y=True, alpha=0.35 if self._theme.is_dark else 0.25)
        for series, curve in zip(self._series, self._curves, strict=True):
            color = self._theme.color(series.token)
            curve.setPen(_thin(color))
            if series.is_filled:
                shade = QColor(color)
                shade.setAlphaF(0.12)
                curve.setFillLevel(0.0)
                curve.setBrush(shade)
        self._cross.setPen(_thin(tokens.text_3))
        self._label.setColor(tokens.text_1)
        self._label.fill = pg.mkBrush(tokens.surface)
        self._label.border = pg.mkPen(grid)
        self._label.setFont(self._theme.font(FontRole.SMALL))
        self._is_stale = True

    # Qt's own

    def keyPressEvent(self, event: QKeyEvent) -> None:
        left, right = self.shown_range()
        span, middle = right - left, (left + right) / 2.0
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            step = span * KEY_STEP * (1 if key is Qt.Key.Key_Right else -1)
            self._look_at(left + step, right + step)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Minus):
            half = span / 2.0 * (1.0 / KEY_ZOOM if key is Qt.Key.Key_Plus else KEY_ZOOM)
            self._look_at(middle - half, middle + half)
        elif key is Qt.Key.Key_End:
            self.set_live(True)
        else:
            super().keyPressEvent(event)

    def _look_at(self, left: float, right: float) -> None:
        """Show this part, and stay there."""
        self.set_live(False)
        self._plot.setXRange(left, right, padding=0.0)
        self._plot.setYRange(0.0, self._top(), padding=0.0)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._show_focus()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._show_focus()

    def _show_focus(self) -> None:
        """The axes of the chart with the focus are in the accent's colour."""
        tokens = self._theme.tokens
        for side in ("bottom", "left"):
            self._plot.getAxis(side).setPen(pg.mkPen(tokens.accent if self.hasFocus() else tokens.border))

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        if event.type() is QEvent.Type.MouseButtonDblClick:
            self.set_live(True)
            return True
        if event.type() is QEvent.Type.Leave:
            self._cross.hide()
            self._label.hide()
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.paint_now()
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()


def _thin(color: QColor) -> QPen:
    """A pen of one device pixel: pyqtgraph takes a multiple of the time for wider ones."""
    pen = QPen(color, 1.0)
    pen.setCosmetic(True)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    return pen
