"""The page to connect on: this computer, another cluster, and those that are known.

Decides the arrangement. What happens is decided by `flow`. Registered by `app` as the page "connect".
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from dagdeck_desktop.connect.form import ConnectForm
from dagdeck_desktop.connect.local_card import LocalCard
from dagdeck_desktop.connect.profile_list import ProfileList
from dagdeck_desktop.connect.python_dialog import PythonDialog
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.widgets.controls import IconLabel, label

_WIDTH = 940


class ConnectPage(QScrollArea):
    """Greeting, two cards, and the known clusters."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._icons = theme, icons
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Connect")
        inner = QWidget(self)
        outer = QHBoxLayout(inner)
        outer.setContentsMargins(20, 28, 20, 28)
        middle = QWidget(inner)
        middle.setMaximumWidth(_WIDTH)
        outer.addWidget(middle, 1)
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.metrics.card_gap)
        # A little above the middle of the window, where the eye looks first.
        column.addStretch(2)
        column.addLayout(self._greeting(theme, icons, middle))
        column.addSpacing(12)
        self.local = LocalCard(theme, icons, middle)
        self.form = ConnectForm(theme, icons, middle)
        self.known = ProfileList(theme, icons, middle)
        cards = QHBoxLayout()
        cards.setSpacing(theme.metrics.card_gap)
        cards.addWidget(self.local, 4)
        cards.addWidget(self.form, 5)
        column.addLayout(cards)
        column.addWidget(self.known)
        column.addStretch(3)
        outer.setAlignment(middle, Qt.AlignmentFlag(0))
        outer.insertStretch(0)
        outer.addStretch(0)
        self.setWidget(inner)

    def _greeting(self, theme: Theme, icons: Icons, parent: QWidget) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(14)
        row.addWidget(IconLabel(theme, icons, "workflow", 36, "accent", parent))
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.headline = label("Welcome to DagDeck", "title", parent)
        self.subline = label(
            "Start a cluster on this computer, or connect to one that runs elsewhere.", "secondary", parent
        )
        texts.addWidget(self.headline)
        texts.addWidget(self.subline)
        row.addLayout(texts, 1)
        return row

    def python_dialog(self) -> PythonDialog:
        """A new dialog that asks for a Python, over this page."""
        return PythonDialog(self._theme, self._icons, self)

    def greet(self, *, is_first: bool) -> None:
        """A first visit is greeted; later ones are not."""
        self.headline.setText("Welcome to DagDeck" if is_first else "Clusters")
