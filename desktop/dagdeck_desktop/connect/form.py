"""The form that asks for a cluster's address and sign-in.

Decides fields and what is checked before anything is sent. Does not connect (`flow`). Used by the connect page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QToolButton,
    QWidget,
)

from dagdeck_core.errors import UserError
from dagdeck_desktop.connect.problem_box import CertificateBox, FailureBox
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.profiles import PROFILE_COLORS, ClusterKind, Profile
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.transport.endpoint import is_readable_on_the_way, url_from_input
from dagdeck_desktop.transport.trust import CertificateProblem
from dagdeck_desktop.widgets.controls import Card, button, label, set_variant

BY_PASSWORD, BY_TOKEN = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What a person filled in. Secrets are empty when the keyring's should be used."""

    profile: Profile
    password: str = ""
    token: str = ""


class ColorDot(QAbstractButton):
    """A colour to choose."""

    def __init__(self, theme: Theme, color: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.color = color
        self.setCheckable(True)
        self.setFixedSize(22, 22)
        self.setAccessibleName(f"Colour {color}")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        return QSize(22, 22)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.color))
        painter.drawEllipse(4, 4, 14, 14)
        if self.isChecked() or self.hasFocus():
            token = "text_1" if self.isChecked() else "accent"
            painter.setPen(QPen(self._theme.color(token), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(1, 1, 20, 20)
        painter.end()


class ConnectForm(Card):
    """Address, name, colour, sign-in. `submitted(Entered)` follows "Connect" once everything is filled in."""

    submitted = Signal(object)
    certificate_accepted = Signal(object)
    cancelled = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent, margin=20, gap=10)
        self._theme = theme
        self._icons = icons
        self._profile: Profile | None = None
        self.title = label("Connect to a cluster", "section", self)
        self.body.addWidget(self.title)
        self.body.addWidget(
            label("A DagDeck master, or an Airflow 3 server, that runs elsewhere.", "secondary", self, wraps=True)
        )
        self.failure = FailureBox(theme, icons, self)
        self.certificate = CertificateBox(theme, icons, self)
        self.certificate.accepted.connect(self.certificate_accepted)
        self.body.addWidget(self.failure)
        self.body.addWidget(self.certificate)
        self.body.addLayout(self._fields())
        self.body.addLayout(self._buttons())
        self.body.addStretch(1)
        self._show_method()

    def _fields(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        grid.setColumnStretch(1, 1)
        self.address = self._field("https://dagdeck.example.com:8443")
        self.name = self._field("Name, such as Production")
        self.method = QComboBox(self)
        self.method.addItems(["User and password", "Token"])
        self.username = self._field("User")
        self.password = self._field("Password", is_secret=True)
        self.token = self._field("Token", is_secret=True)
        self.ca_file = self._field("Authority's certificate, if it is your own (optional)")
        browse = QToolButton(self.ca_file)
        browse.setAccessibleName("Choose a file")
        self._icons.bind(browse, "folder-open", token="text_3")
        browse.clicked.connect(self._choose_file)
        trust = QHBoxLayout()
        trust.setSpacing(6)
        trust.addWidget(self.ca_file, 1)
        trust.addWidget(browse)
        self._rows: dict[str, tuple[QWidget, QWidget]] = {}
        for text, widget in (
            ("Address", self.address),
            ("Name", self.name),
            ("Sign in by", self.method),
            ("User", self.username),
            ("Password", self.password),
            ("Token", self.token),
        ):
            self._add_row(grid, text, widget)
        self.plain_http = QCheckBox("Connect without encryption", self)
        self.plain_http.setToolTip("Passwords and tokens can be read by whoever is between here and the server")
        self.plain_http.hide()
        self.address.textChanged.connect(lambda _text: self._show_plain_http())
        row = grid.rowCount()
        grid.addWidget(self.plain_http, row, 1)
        row += 1
        grid.addWidget(label("Authority", "secondary", self), row, 0)
        grid.addLayout(trust, row, 1)
        grid.addWidget(label("Colour", "secondary", self), row + 1, 0)
        grid.addLayout(self._color_row(), row + 1, 1)
        self.method.currentIndexChanged.connect(lambda _index: self._show_method())
        return grid

    def _add_row(self, grid: QGridLayout, text: str, widget: QWidget) -> None:
        name = label(text, "secondary", self)
        name.setBuddy(widget)
        widget.setAccessibleName(text)
        row = grid.rowCount()
        grid.addWidget(name, row, 0)
        grid.addWidget(widget, row, 1)
        self._rows[text] = (name, widget)

    def _color_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(2)
        self._colors = QButtonGroup(self)
        for color in PROFILE_COLORS:
            dot = ColorDot(self._theme, color, self)
            self._colors.addButton(dot)
            row.addWidget(dot)
        self._colors.buttons()[0].setChecked(True)
        row.addStretch(1)
        return row

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        self.connect_button = button("Connect", self._icons, "plug", "primary", self)
        self.connect_button.clicked.connect(self.submit)
        self.cancel_button = button("Cancel", self._icons, kind="quiet", parent=self)
        self.cancel_button.clicked.connect(self.cancelled)
        self.cancel_button.hide()
        row.addWidget(self.connect_button)
        row.addWidget(self.cancel_button)
        row.addStretch(1)
        return row

    def _field(self, placeholder: str, *, is_secret: bool = False) -> QLineEdit:
        field = QLineEdit(self)
        field.setPlaceholderText(placeholder)
        if is_secret:
            field.setEchoMode(QLineEdit.EchoMode.Password)
        field.returnPressed.connect(self.submit)
        field.textEdited.connect(lambda _text: set_variant(field, "invalid", "false"))
        return field

    # ------------------------------------------------------------ what the page does with it

    def edit(self, profile: Profile | None) -> None:
        """Fill it from a profile, or empty it."""
        self._profile = profile
        self.failure.hide()
        self.certificate.hide()
        self.title.setText(f"Sign in to {profile.name}" if profile is not None else "Connect to a cluster")
        self.address.setText(profile.url if profile is not None else "")
        self.name.setText(profile.name if profile is not None else "")
        self.username.setText(profile.username if profile is not None else "")
        self.ca_file.setText(profile.ca_file if profile is not None else "")
        self.plain_http.setChecked(profile is not None and profile.allows_plain_http)
        self.password.clear()
        self.token.clear()
        wanted = profile.color if profile is not None else PROFILE_COLORS[0]
        for dot in self._colors.buttons():
            if isinstance(dot, ColorDot) and dot.color == wanted:
                dot.setChecked(True)
        self.set_busy(is_busy=False)

    def submit(self) -> None:
        """Check what was filled in and tell it."""
        self.failure.hide()
        try:
            entered = self.entered()
        except UserError as error:
            self._mark(error.field)
            self.failure.show_error(error, "The form is not complete")
            return
        self.submitted.emit(entered)

    def entered(self) -> Entered:
        """What was filled in. Raises UserError for an address that cannot be one."""
        url = url_from_input(self.address.text())
        checked = self._colors.checkedButton()
        color = checked.color if isinstance(checked, ColorDot) else PROFILE_COLORS[0]
        name = self.name.text().strip() or url.split("://", 1)[1].split("/", 1)[0]
        uses_token = self.method.currentIndex() == BY_TOKEN
        common: dict[str, Any] = {
            "name": name,
            "url": url,
            "color": color,
            "username": "" if uses_token else self.username.text().strip(),
            "ca_file": self.ca_file.text().strip(),
            "allows_plain_http": self.plain_http.isChecked() and is_readable_on_the_way(url),
        }
        if self._profile is not None:
            common |= {"profile_id": self._profile.profile_id}
        kind = self._profile.kind if self._profile is not None else ClusterKind.DAGDECK
        return Entered(
            profile=Profile(**common, kind=kind),
            password="" if uses_token else self.password.text(),
            token=self.token.text().strip() if uses_token else "",
        )

    def set_busy(self, *, is_busy: bool) -> None:
        """While a connection is made, nothing can be changed and it can be cancelled."""
        for _name, widget in self._rows.values():
            widget.setEnabled(not is_busy)
        self.connect_button.setEnabled(not is_busy)
        self.connect_button.setText("\u2009Connecting…" if is_busy else "\u2009Connect")
        self.cancel_button.setVisible(is_busy)

    def show_error(self, error: Exception) -> None:
        """Say why it did not work."""
        self.set_busy(is_busy=False)
        self.failure.show_error(error, "The cluster could not be connected")

    def ask_certificate(self, problem: CertificateProblem) -> None:
        """Ask about the server's certificate."""
        self.set_busy(is_busy=False)
        self.failure.hide()
        self.certificate.show_problem(problem)

    def _show_method(self) -> None:
        uses_token = self.method.currentIndex() == BY_TOKEN
        for text in ("User", "Password", "Token"):
            for widget in self._rows[text]:
                widget.setVisible((text == "Token") == uses_token)

    def _show_plain_http(self) -> None:
        try:
            is_needed = is_readable_on_the_way(url_from_input(self.address.text()))
        except UserError:
            is_needed = False
        self.plain_http.setVisible(is_needed)

    def _mark(self, field: str) -> None:
        found = {"url": self.address, "name": self.name, "ca_file": self.ca_file}.get(field)
        if found is not None:
            set_variant(found, "invalid", "true")
            found.setFocus()

    def _choose_file(self) -> None:
        path, _kind = QFileDialog.getOpenFileName(self, "The authority's certificate", "", "PEM (*.pem *.crt *.cer)")
        if path:
            self.ca_file.setText(path)
