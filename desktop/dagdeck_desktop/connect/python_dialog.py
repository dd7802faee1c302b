"""The dialog that asks which Python runs DAG files on this computer.

Decides what is offered: Pythons that were found, one from elsewhere, an environment that a person has already, and
how to get a Python where there is none. Does not make anything (`local_cluster.pythons`). Opened by the connect flow.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QDialog, QFileDialog, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from dagdeck_desktop.connect.problem_box import FailureBox
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.local_cluster.pythons import FoundPython
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.widgets.controls import button, label, line

_WHY = (
    "DAG files import packages of yours, so they run in a Python of this computer, 3.11 or newer. DagDeck makes an "
    "environment of its own from it; nothing is downloaded, and that Python is not changed."
)
_OWN = (
    "Do you have a virtual environment with the packages that your DAG files import? DagDeck adds what runs DAG files "
    "to it and leaves the rest as it is."
)
_HOW_TO_GET_ONE = {
    "linux": "Install it with your system's packages, such as: apt install python3, or dnf install python3.12",
    "darwin": "Install it from python.org, or with: brew install python",
    "win32": "Install it from python.org or the Microsoft Store.",
}


class PythonDialog(QDialog):
    """`make_chosen(python)` or `environment_chosen(folder)` follows a choice; `look_chosen` asks to look again."""

    make_chosen = Signal(str)
    environment_chosen = Signal(str)
    look_chosen = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Python for DAG files")
        self.setMinimumWidth(560)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 16)
        column.setSpacing(12)
        column.addWidget(label("Which Python runs your DAG files?", "title", self))
        column.addWidget(label(_WHY, "secondary", self, wraps=True))
        self.failure = FailureBox(theme, icons, self)
        column.addWidget(self.failure)
        self.found = QComboBox(self)
        self.found.setAccessibleName("Pythons on this computer")
        self.browse_button = button("Browse…", icons, "folder-open", parent=self)
        self.browse_button.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.found, 1)
        row.addWidget(self.browse_button)
        # Beside nothing it keeps its size.
        row.addStretch(0)
        self.browse_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        column.addLayout(row)
        self.none_found = label("", "warning", self, wraps=True)
        column.addWidget(self.none_found)
        column.addWidget(line(self))
        column.addWidget(label(_OWN, "secondary", self, wraps=True))
        self.own_button = button("Use an environment of mine…", icons, "package", parent=self)
        self.own_button.clicked.connect(self._choose_environment)
        own = QHBoxLayout()
        own.addWidget(self.own_button)
        own.addStretch(1)
        column.addLayout(own)
        column.addSpacing(8)
        column.addLayout(self._closing_row(icons))
        self.show_found([])

    def _closing_row(self, icons: Icons) -> QHBoxLayout:
        row = QHBoxLayout()
        self.look_button = button("Look again", icons, "refresh-cw", "quiet", self)
        self.look_button.clicked.connect(self.look_chosen)
        cancel = button("Cancel", icons, kind="quiet", parent=self)
        cancel.clicked.connect(self.reject)
        self.make_button = button("Make an environment and start", icons, "play", "primary", self)
        self.make_button.clicked.connect(lambda: self._choose_python(str(self.found.currentData())))
        row.addWidget(self.look_button)
        row.addStretch(1)
        row.addWidget(cancel)
        row.addWidget(self.make_button)
        return row

    def show_found(self, pythons: Sequence[FoundPython]) -> None:
        """Offer these; those that are too old are named, so that nobody wonders why they are not offered."""
        self.found.clear()
        for each in pythons:
            if each.is_usable:
                self.found.addItem(f"Python {each.version}  –  {each.path}", each.path)
        has_one = self.found.count() > 0
        self.found.setVisible(has_one)
        self.make_button.setEnabled(has_one)
        too_old = ", ".join(f"{each.version} ({each.path})" for each in pythons if not each.is_usable)
        told = f"Only older ones were found: {too_old}." if too_old else "No Python was found on this computer."
        self.none_found.setText(f"{told} {_HOW_TO_GET_ONE.get(sys.platform, '')}".strip())
        self.none_found.setVisible(not has_one)

    def show_error(self, error: Exception, what: str) -> None:
        """Say why the last choice did not work."""
        self.failure.show_error(error, what)

    def _browse(self) -> None:
        path, _kind = QFileDialog.getOpenFileName(self, "A Python interpreter, such as python3.12")
        if path:
            self._choose_python(path)

    def _choose_python(self, path: str) -> None:
        self.failure.hide()
        self.accept()
        self.make_chosen.emit(path)

    def _choose_environment(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "The folder of a virtual environment")
        if folder:
            self.failure.hide()
            self.accept()
            self.environment_chosen.emit(folder)
