"""The list of all keys, made from the action registry, so that it is never out of date.

Decides the arrangement. Opened by `window` (F1).
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QFrame, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from dagdeck_desktop.actions import ActionRegistry
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.widgets.controls import button, label


class ShortcutsDialog(QDialog):
    """Keys by what they are about."""

    def __init__(self, theme: Theme, icons: Icons, actions: ActionRegistry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.resize(480, 520)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 16)
        column.setSpacing(12)
        column.addWidget(label("Keys", "title", self))
        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        inner = QWidget(area)
        area.setWidget(inner)
        column.addWidget(area, 1)
        self._fill(QGridLayout(inner), theme, actions)
        row = QHBoxLayout()
        row.addStretch(1)
        close = button("Close", icons, kind="primary", parent=self)
        close.clicked.connect(self.accept)
        row.addWidget(close)
        column.addLayout(row)

    def _fill(self, grid: QGridLayout, theme: Theme, actions: ActionRegistry) -> None:
        grid.setContentsMargins(0, 0, 12, 0)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(0, 1)
        for scope, specs in actions.by_scope().items():
            with_keys = [spec for spec in specs if spec.shortcuts]
            if not with_keys:
                continue
            grid.addWidget(label(scope.value, "section", self), grid.rowCount(), 0, 1, 2)
            for spec in with_keys:
                row = grid.rowCount()
                keys = ", ".join(
                    QKeySequence(text).toString(QKeySequence.SequenceFormat.NativeText) for text in spec.shortcuts
                )
                shown = label(keys, "secondary", self)
                shown.setFont(theme.font(FontRole.MONO))
                grid.addWidget(label(spec.title, "body", self), row, 0)
                grid.addWidget(shown, row, 1, Qt.AlignmentFlag.AlignRight)
        grid.setRowStretch(grid.rowCount(), 1)
