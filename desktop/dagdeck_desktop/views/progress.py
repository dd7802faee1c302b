"""How many tasks are in each state, as one bar of coloured pieces.

Decides the order of the pieces. Used by the DAG page's cards.
"""

from __future__ import annotations

from collections import Counter

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from dagdeck_core.states import TaskInstanceState
from dagdeck_desktop.theme import Theme

_S = TaskInstanceState
ORDER = (
    _S.SUCCESS,
    _S.SKIPPED,
    _S.FAILED,
    _S.UPSTREAM_FAILED,
    _S.RUNNING,
    _S.RESTARTING,
    _S.UP_FOR_RETRY,
    _S.UP_FOR_RESCHEDULE,
    _S.DEFERRED,
    _S.AWAITING_INPUT,
    _S.QUEUED,
    _S.SCHEDULED,
    _S.REMOVED,
    _S.NONE,
)


class StateBar(QWidget):
    """Pieces as wide as their share, finished ones first."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._counts: Counter[str] = Counter()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_counts(self, counts: Counter[str]) -> None:
        """Show these numbers by state."""
        if counts == self._counts:
            return
        self._counts = Counter(counts)
        words = [f"{counts[state.value]:,} {self._theme.state_label(state)}" for state in ORDER if counts[state.value]]
        self.setToolTip("\n".join(words))
        self.setAccessibleName(", ".join(words) or "No tasks yet")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, 32)

    def paintEvent(self, event: QPaintEvent) -> None:
        total = sum(self._counts.values())
        if not total:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(0, self.height() - 12, self.width(), 10)
        path = QPainterPath()
        path.addRoundedRect(box, 5, 5)
        painter.setClipPath(path)
        painter.setPen(Qt.PenStyle.NoPen)
        left = box.left()
        for state in ORDER:
            number = self._counts[state.value]
            width = box.width() * number / total
            if number:
                painter.setBrush(self._theme.state_color(state))
                painter.drawRect(QRectF(left, box.top(), width, box.height()))
                left += width
        painter.end()
