"""How something is divided, as one bar of coloured pieces: tasks by their states, DAGs by whether they are paused.

Decides the order of the pieces. Used by Home's and the DAG page's cards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
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


def paint_pieces(painter: QPainter, size: QSize, pieces: Sequence[tuple[float, QColor]]) -> None:
    """Pieces side by side in one round bar at the lower edge, each as wide as its share."""
    total = sum(number for number, _color in pieces)
    if not total:
        return
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    box = QRectF(0, size.height() - 12, size.width(), 10)
    path = QPainterPath()
    path.addRoundedRect(box, 5, 5)
    painter.setClipPath(path)
    painter.setPen(Qt.PenStyle.NoPen)
    left = box.left()
    for number, color in pieces:
        width = box.width() * number / total
        painter.setBrush(color)
        painter.drawRect(QRectF(left, box.top(), width, box.height()))
        left += width


class PartsBar(QWidget):
    """How something is divided, in colours of tokens."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._parts: Sequence[tuple[int, str, str]] = ()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_parts(self, parts: Sequence[tuple[int, str, str]]) -> None:
        """Show numbers, each with the token of its colour and its word."""
        if parts != self._parts:
            self._parts = parts
            words = ", ".join(f"{number:,} {word}" for number, _token, word in parts if number)
            self.setToolTip(words)
            self.setAccessibleName(words or "None")
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, 32)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        pieces = [(float(number), self._theme.color(token)) for number, token, _word in self._parts if number]
        paint_pieces(painter, self.size(), pieces)
        painter.end()


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
        painter = QPainter(self)
        counts = [(state, self._counts[state.value]) for state in ORDER]
        pieces = [(float(number), self._theme.state_color(state)) for state, number in counts if number]
        paint_pieces(painter, self.size(), pieces)
        painter.end()
