"""Charts: samples in a ring, peaks that are not lost, live charts that stand still when someone looks closer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from dagdeck_desktop.charts import Ring, Sparkline
from dagdeck_desktop.charts.live_chart import LiveChart, Series, round_step
from dagdeck_desktop.charts.sparkline import paint_sparkline, reduced
from dagdeck_desktop.theme import Appearance, Theme


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 23])
def test_a_ring_keeps_the_last_samples_in_order(count: int) -> None:
    ring = Ring(5, 2)
    for number in range(count):
        ring.append(float(number), [number * 10.0, -number])
    kept = [float(number) for number in range(max(0, count - 5), count)]
    assert len(ring) == len(kept)
    assert ring.moments.tolist() == kept
    assert ring.series(0).tolist() == [10 * moment for moment in kept]
    assert ring.series(1).tolist() == [-moment for moment in kept]
    assert ring.last_moment == kept[-1] if kept else math.isnan(ring.last_moment)


def test_a_ring_does_not_go_back_in_time() -> None:
    ring = Ring(5, 1)
    for moment in (3.0, 2.0, 3.0, 4.0):
        ring.append(moment, [moment])
    assert ring.moments.tolist() == [3.0, 4.0]
    ring.clear()
    assert len(ring) == 0
    ring.append(1.0, [1.0])
    assert ring.moments.tolist() == [1.0]


def test_reading_a_ring_copies_nothing() -> None:
    ring = Ring(100, 1)
    for moment in range(250):
        ring.append(float(moment), [0.0])
    assert np.shares_memory(ring.moments, ring._rows)
    assert np.shares_memory(ring.series(0), ring._rows)


def test_no_peak_is_lost() -> None:
    values = np.zeros(10_000)
    values[4_321], values[777] = 9.0, -7.0
    points = reduced(values, 100)
    assert len(points) <= 200
    assert points[:, 1].max() == 9.0
    assert points[:, 1].min() == -7.0
    assert (np.diff(points[:, 0]) >= 0).all()
    assert points[np.argmax(points[:, 1]), 0] == pytest.approx(4_321 / 9_999)


def test_few_values_stay_as_they_are() -> None:
    assert reduced(np.array([1.0, np.nan, 3.0]), 50).tolist() == [[0.0, 1.0], [1.0, 3.0]]
    assert len(reduced(np.array([np.nan, np.inf]), 50)) == 0
    assert reduced(np.array([5.0]), 50).tolist() == [[0.0, 5.0]]


def coloured(image: QImage, theme: Theme) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    found = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.width(), 4)[:, :, :3]
    color = theme.color("accent")
    return np.asarray(np.abs(found.astype(int) - (color.blue(), color.green(), color.red())).sum(axis=2) < 60)


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
def test_a_sparkline_rises_from_left_to_right(theme: Theme, appearance: Appearance) -> None:
    theme.set_appearance(appearance)
    image = QImage(130, 32, QImage.Format.Format_RGB32)
    image.fill(theme.tokens.surface)
    painter = QPainter(image)
    paint_sparkline(painter, QRectF(image.rect()), np.arange(40.0), theme.color("accent"))
    painter.end()
    marks = coloured(image, theme)
    heights = [np.flatnonzero(marks[:, x]).mean() for x in (6, 40, 80, 120)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] - heights[-1] > 15


def test_noise_is_no_mountain(theme: Theme) -> None:
    image = QImage(130, 32, QImage.Format.Format_RGB32)
    image.fill(theme.tokens.surface)
    painter = QPainter(image)
    values = 50 + np.sin(np.arange(100.0)) * 0.01
    paint_sparkline(painter, QRectF(image.rect()), values, theme.color("accent"), least_span=10.0, has_dot=False)
    painter.end()
    rows = np.flatnonzero(coloured(image, theme).any(axis=1))
    assert len(rows) <= 3


def test_the_sparkline_widget_says_what_it_shows(theme: Theme, qtbot: QtBot) -> None:
    spark = Sparkline(theme, "accent")
    qtbot.addWidget(spark)
    spark.resize(130, 32)
    spark.set_values([1, 2, 3], "Running tasks in the last hour")
    assert spark.accessibleName() == "Running tasks in the last hour"
    assert coloured(spark.grab().toImage().convertToFormat(QImage.Format.Format_RGB32), theme).sum() > 60
    spark.set_values([])
    assert coloured(spark.grab().toImage().convertToFormat(QImage.Format.Format_RGB32), theme).sum() == 0


@pytest.fixture
def chart(theme: Theme, qtbot: QtBot) -> LiveChart:
    made = LiveChart(
        theme,
        [Series(name="CPU", is_filled=True), Series(name="Load", token="warning")],
        lambda value: f"{value:.0f} %",
        name="worker-1",
        window=60.0,
        least_top=100.0,
    )
    qtbot.addWidget(made)
    made.resize(600, 240)
    made.show()
    QApplication.processEvents()
    return made


def feed(chart: LiveChart, count: int, first: float = 1_000_000.0) -> None:
    for number in range(count):
        chart.append(first + number, [50.0 + number % 7, float("nan") if number % 10 == 3 else 20.0])
    chart.paint_now()


def test_a_live_chart_moves_with_time(chart: LiveChart) -> None:
    feed(chart, 300)
    assert chart.shown_range() == pytest.approx((1_000_239.0, 1_000_299.0))
    feed(chart, 10, 1_000_300.0)
    assert chart.shown_range() == pytest.approx((1_000_249.0, 1_000_309.0))
    assert chart.accessibleName() == "worker-1: now CPU 52 %, Load 20 %"


def test_whoever_looks_closer_is_left_alone(chart: LiveChart, qtbot: QtBot) -> None:
    feed(chart, 300)
    with qtbot.waitSignal(chart.live_changed) as told:
        chart._plot.getViewBox().sigRangeChangedManually.emit((True, False))
    assert told.args == [False]
    before = chart.shown_range()
    feed(chart, 50, 1_000_300.0)
    assert chart.shown_range() == before
    with qtbot.waitSignal(chart.live_changed):
        QTest.mouseDClick(chart._plot.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(300, 100))
    assert chart.shown_range()[1] == pytest.approx(1_000_349.0)


def test_dragging_pans(chart: LiveChart) -> None:
    feed(chart, 300)
    view = chart._plot.viewport()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(200, 100))
    for x in (220, 260, 320):
        QTest.mouseMove(view, QPoint(x, 100))
        QTest.qWait(20)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(320, 100))
    assert not chart.is_live
    assert chart.shown_range()[1] < 1_000_299.0


def test_a_chart_is_explored_by_keyboard(chart: LiveChart) -> None:
    feed(chart, 300)
    left, right = chart.shown_range()
    QTest.keyClick(chart, Qt.Key.Key_Left)
    assert not chart.is_live
    assert chart.shown_range() == pytest.approx((left - 6.0, right - 6.0))
    QTest.keyClick(chart, Qt.Key.Key_Plus)
    begin, end = chart.shown_range()
    assert end - begin == pytest.approx((right - left) / 1.4)
    assert begin + end == pytest.approx(left + right - 12.0)
    feed(chart, 1, first=1_000_400.0)
    assert chart.shown_range() == pytest.approx((begin, end))
    QTest.keyClick(chart, Qt.Key.Key_End)
    assert chart.is_live
    assert chart.shown_range()[1] == pytest.approx(1_000_400.0)


@pytest.mark.parametrize(
    ("least", "base", "step"),
    [(0.3, 10, 0.5), (0.5, 10, 0.5), (6, 10, 10), (21, 10, 50), (700, 1024, 1024), (300, 1024, 500), (0, 10, 1)],
)
def test_steps_of_an_axis_are_round(least: float, base: float, step: float) -> None:
    assert round_step(least, base) == step


def test_values_are_read_under_the_mouse(chart: LiveChart) -> None:
    feed(chart, 300)
    chart._point_at(QPointF(300, 100))
    assert chart._cross.isVisible()
    assert "CPU 5" in chart._label.toPlainText()
    found = chart.values_at(1_000_293.2)
    assert found is not None
    assert found[0] == 1_000_293.0
    assert math.isnan(found[1][1])
    chart._point_at(QPointF(-50, -50))
    assert not chart._cross.isVisible()


def test_a_chart_without_samples(chart: LiveChart) -> None:
    chart._point_at(QPointF(300, 100))
    assert not chart._cross.isVisible()
    assert chart.values_at(5.0) is None
    chart._is_stale = True
    chart.paint_now()
    assert chart.accessibleName() == "worker-1: no samples yet"
    feed(chart, 5)
    chart.clear()
    assert chart.accessibleName() == "worker-1: no samples yet"


def test_nothing_is_painted_while_hidden(chart: LiveChart) -> None:
    assert chart._timer.isActive()
    chart.hide()
    assert not chart._timer.isActive()
    chart.append(1.0, [1.0, 1.0])
    chart.show()
    assert chart.accessibleName() == "worker-1: now CPU 1 %, Load 1 %"


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK])
def test_curves_are_painted_in_the_themes_colours(chart: LiveChart, theme: Theme, appearance: Appearance) -> None:
    theme.set_appearance(appearance)
    feed(chart, 300)
    QApplication.processEvents()
    image = chart.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    ground = sum(image.pixelColor(x, y) == theme.tokens.surface for x in range(300, 590, 9) for y in range(5, 90, 9))
    assert ground > 200
    assert coloured(image, theme).sum() > 90


def test_samples_can_be_replaced(chart: LiveChart) -> None:
    feed(chart, 50)
    moments = np.arange(2_000_000.0, 2_000_100.0)
    chart.set_samples(moments, np.vstack([np.full(100, 7.0), np.full(100, 200.0)]))
    assert chart.shown_range()[1] == pytest.approx(2_000_099.0)
    assert chart.accessibleName() == "worker-1: now CPU 7 %, Load 200 %"
    assert chart._plot.getViewBox().viewRange()[1][1] > 200.0
