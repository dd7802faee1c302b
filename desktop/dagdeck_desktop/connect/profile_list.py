"""The list of known clusters.

Decides how one is shown. Used by the connect page.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.profiles import ClusterKind, Profile
from dagdeck_desktop.shell.status_bar import Dot
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.widgets.controls import Card, button, label
from dagdeck_desktop.widgets.header import ElidedLabel

_KINDS = {ClusterKind.LOCAL: "This computer", ClusterKind.DAGDECK: "DagDeck", ClusterKind.AIRFLOW: "Airflow"}


class ProfileList(Card):
    """One row per cluster."""

    connect_chosen = Signal(object)
    edit_chosen = Signal(object)
    delete_chosen = Signal(object)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent, margin=0, gap=0)
        self._icons = icons
        head = QHBoxLayout()
        head.setContentsMargins(20, 14, 20, 12)
        head.addWidget(label("Your clusters", "section", self))
        self.body.addLayout(head)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self.body.addLayout(self._rows)

    def show_profiles(self, profiles: Sequence[Profile], current_id: str) -> None:
        """Show these; the one that is connected says so."""
        while (item := self._rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for profile in profiles:
            self._rows.addWidget(self._row(profile, is_current=profile.profile_id == current_id))
        self.setVisible(bool(profiles))

    def _row(self, profile: Profile, *, is_current: bool) -> QWidget:
        frame = QFrame(self)
        frame.setProperty("role", "row")
        row = QHBoxLayout(frame)
        row.setContentsMargins(20, 8, 12, 8)
        row.setSpacing(10)
        dot = Dot(frame, 10)
        dot.set_color(QColor(profile.color))
        row.addWidget(dot)
        row.addWidget(ElidedLabel(profile.name, "body", frame), 2)
        row.addWidget(ElidedLabel(profile.url, "secondary", frame), 3)
        row.addWidget(label(_KINDS[profile.kind], "tertiary", frame), 1)
        go = button("Connected" if is_current else "Connect", self._icons, parent=frame)
        go.setEnabled(not is_current)
        go.setAccessibleName(f"Connect to {profile.name}")
        go.clicked.connect(lambda: self.connect_chosen.emit(profile))
        row.addWidget(go)
        row.addWidget(self._tool("pencil", f"Edit {profile.name}", lambda: self.edit_chosen.emit(profile), frame))
        row.addWidget(self._tool("trash-2", f"Forget {profile.name}", lambda: self.delete_chosen.emit(profile), frame))
        return frame

    def _tool(self, icon: str, text: str, run: object, parent: QWidget) -> QToolButton:
        made = QToolButton(parent)
        made.setToolTip(text)
        made.setAccessibleName(text)
        made.setCursor(Qt.CursorShape.PointingHandCursor)
        self._icons.bind(made, icon, token="text_3")
        made.clicked.connect(run)
        return made
