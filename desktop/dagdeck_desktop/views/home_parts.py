"""What stands beside Home's lists: the health of a component, and the time axis under the bars of runs.

Decides their look. Used by `home`.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from dagdeck_client.models import DagRun
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.theme import FontRole
from dagdeck_desktop.viewmodels.home import Component
from dagdeck_desktop.viewmodels.wording import distance_text
from dagdeck_desktop.views.run_bars import RunBars
from dagdeck_desktop.widgets import IconLabel, label
from dagdeck_desktop.widgets.controls import set_variant


class HealthRow(QWidget):
    """A component: a sign, its name, and what is known of it."""

    def __init__(self, context: DesktopContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self._sign = IconLabel(context.theme, context.icons, "circle-dashed", 16, "text_3", self)
        self._name = label("", "body", self)
        self._detail = label("", "tertiary", self)
        row.addWidget(self._sign)
        self._detail.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self._name)
        row.addWidget(self._detail, 1)

    def set_component(self, part: Component) -> None:
        """Show a component."""
        sign = {True: ("circle-check", "positive"), False: ("circle-x", "danger"), None: ("circle-dashed", "text_3")}
        self._sign.set_look(*sign[part.is_healthy])
        self._name.setText(part.name)
        self._detail.setText(part.detail)
        set_variant(self._detail, "role", "danger" if part.is_healthy is False else "tertiary")
        word = {True: "healthy", False: "unhealthy", None: "not in use"}[part.is_healthy]
        self.setAccessibleName(f"{part.name}: {word}, {part.detail}")


class TimeStrip(QWidget):
    """The axis under bars of runs: when the oldest and the newest of them were due."""

    def __init__(self, context: DesktopContext, bars: RunBars, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = context.theme
        self._bars = bars
        self._texts = ("", "")
        self.setFixedHeight(18)
        self._theme.changed.connect(self.update)

    def set_runs(self, runs: Sequence[DagRun]) -> None:
        """Take the ends of a list of runs, oldest first."""
        ends = (distance_text(runs[0].run_after), distance_text(runs[-1].run_after)) if runs else ("", "")
        if ends != self._texts:
            self._texts = ends
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        places = self._bars.places()
        if not places:
            return
        painter = QPainter(self)
        painter.setFont(self._theme.font(FontRole.SMALL))
        painter.setPen(self._theme.tokens.text_3)
        middle = Qt.AlignmentFlag.AlignVCenter
        if len(places) > 1 and places[0].left() < self.width() / 2:
            box = self.rect().adjusted(int(places[0].left()), 0, 0, 0)
            painter.drawText(box, middle | Qt.AlignmentFlag.AlignLeft, self._texts[0])
        painter.drawText(self.rect(), middle | Qt.AlignmentFlag.AlignRight, self._texts[1])
        painter.end()
