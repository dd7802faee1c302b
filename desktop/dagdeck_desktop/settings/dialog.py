"""The dialog in which settings are changed; each takes effect at once.

Decides the arrangement. Does not keep anything (`store`). Opened by `app`.
"""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QDialog, QFormLayout, QHBoxLayout, QVBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.settings.store import SettingsStore
from dagdeck_desktop.theme import Appearance, Theme
from dagdeck_desktop.widgets.controls import button, label

_APPEARANCES = ((Appearance.SYSTEM, "Follow the system"), (Appearance.LIGHT, "Light"), (Appearance.DARK, "Dark"))


class SettingsDialog(QDialog):
    """Appearance, start, times."""

    appearance_chosen = Signal(object)

    def __init__(self, theme: Theme, icons: Icons, settings: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Settings")
        self.setMinimumWidth(540)
        self._settings = settings
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 16)
        column.setSpacing(14)
        column.addWidget(label("Settings", "title", self))
        form = QFormLayout()
        form.setHorizontalSpacing(20)
        form.setVerticalSpacing(12)
        self.appearance = QComboBox(self)
        for value, text in _APPEARANCES:
            self.appearance.addItem(text, value.value)
        self.appearance.setCurrentIndex([value for value, _text in _APPEARANCES].index(theme.appearance))
        self.appearance.currentIndexChanged.connect(lambda index: self.appearance_chosen.emit(_APPEARANCES[index][0]))
        self.connects = self._check("Connect to the last cluster when the window opens", "connect_at_start")
        self.utc = self._check("Show times in UTC instead of this computer's zone", "times_in_utc")
        caption = label("Appearance", "secondary", self)
        caption.setMinimumHeight(theme.metrics.control_height)
        form.addRow(caption, self.appearance)
        form.addRow(label("Start", "secondary", self), self.connects)
        form.addRow(label("Times", "secondary", self), self.utc)
        column.addLayout(form)
        column.addStretch(1)
        row = QHBoxLayout()
        row.addStretch(1)
        close = button("Close", icons, kind="primary", parent=self)
        close.clicked.connect(self.accept)
        row.addWidget(close)
        column.addLayout(row)

    def _check(self, text: str, name: str) -> QCheckBox:
        box = QCheckBox(text, self)
        box.setChecked(bool(getattr(self._settings.now, name)))
        box.toggled.connect(lambda is_on: self._settings.change(**{name: is_on}))
        return box
