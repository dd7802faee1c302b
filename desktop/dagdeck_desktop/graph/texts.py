"""Lines of text that are laid out once and drawn often, cut to the width there is.

Decides how many are kept. Used by `painting`; cleared when fonts change.
"""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QStaticText

MOST_KEPT = 8_000


class Texts:
    """Prepared lines in one font."""

    def __init__(self, font: QFont) -> None:
        self.font = font
        self._metrics = QFontMetricsF(font)
        self._made: dict[tuple[str, float], QStaticText] = {}

    @property
    def height(self) -> float:
        """The height of a line."""
        return self._metrics.height()

    def width(self, text: str) -> float:
        """How wide a whole text is."""
        return self._metrics.horizontalAdvance(self.shown(text, 1e6))

    def draw(self, painter: QPainter, x: float, y: float, text: str, room: float) -> None:
        """Draw a line at its left upper corner in the painter's pen; the painter has this font."""
        painter.drawStaticText(QPointF(x, y), self._prepared(text, room))

    def shown(self, text: str, room: float) -> str:
        """A text as it fits."""
        plain = " ".join(text.split())
        return self._metrics.elidedText(plain[:400], Qt.TextElideMode.ElideMiddle, room)

    def _prepared(self, text: str, room: float) -> QStaticText:
        key = (text, room)
        found = self._made.get(key)
        if found is None:
            if len(self._made) >= MOST_KEPT:
                self._made.clear()
            found = QStaticText(self.shown(text, room))
            # Task ids are no markup, whatever they hold.
            found.setTextFormat(Qt.TextFormat.PlainText)
            found.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
            self._made[key] = found
        return found
