"""The card of the cluster on this computer: start it, open it, stop it.

Decides which of these is offered. Does not start anything (`flow`). Used by the connect page.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from dagdeck_desktop.connect.problem_box import FailureBox
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.widgets.controls import Card, IconLabel, button, label

_TEXT = (
    "A whole cluster on this computer: scheduler, worker, database and queue, with sample DAGs to try. "
    "Nothing to install or configure, and it goes on when you close this window."
)


class LocalCard(Card):
    """Start, open, stop."""

    start_chosen = Signal()
    stop_chosen = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent, margin=20, gap=10)
        head = QHBoxLayout()
        head.setSpacing(10)
        head.addWidget(IconLabel(theme, icons, "laptop", 20, "accent", self))
        head.addWidget(label("This computer", "section", self), 1)
        self.body.addLayout(head)
        self.body.addWidget(label(_TEXT, "secondary", self, wraps=True))
        self.failure = FailureBox(theme, icons, self)
        self.body.addWidget(self.failure)
        self.progress = QProgressBar(self)
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.hide()
        self.state = label("", "tertiary", self)
        self.state.hide()
        self.body.addWidget(self.progress)
        self.body.addWidget(self.state)
        row = QHBoxLayout()
        row.setSpacing(8)
        self.start_button = button("Start a local cluster", icons, "play", "primary", self)
        self.start_button.clicked.connect(self._start)
        self.stop_button = button("Stop it", icons, "circle-stop", "", self)
        self.stop_button.clicked.connect(self.stop_chosen)
        self.stop_button.hide()
        row.addWidget(self.start_button)
        row.addWidget(self.stop_button)
        row.addStretch(1)
        self.body.addSpacing(4)
        self.body.addLayout(row)
        self.body.addStretch(1)
        self.body.setAlignment(Qt.AlignmentFlag.AlignTop)

    def set_running(self, *, is_running: bool) -> None:
        """Offer to open and stop what runs, or to start it."""
        self.start_button.setText("\u2009Open the local cluster" if is_running else "\u2009Start a local cluster")
        self.stop_button.setVisible(is_running)

    def set_progress(self, text: str, seconds: float) -> None:
        """It is being started."""
        self.failure.hide()
        self.start_button.setEnabled(False)
        self.progress.show()
        self.state.setText(f"{text} {seconds:.0f} s" if seconds >= 1 else text)
        self.state.show()

    def end_progress(self) -> None:
        """It has been started, or not."""
        self.start_button.setEnabled(True)
        self.progress.hide()
        self.state.hide()

    def show_error(self, error: Exception) -> None:
        """Say why it did not start."""
        self.end_progress()
        self.failure.show_error(error, "The local cluster could not be started")

    def _start(self) -> None:
        self.failure.hide()
        self.start_chosen.emit()
