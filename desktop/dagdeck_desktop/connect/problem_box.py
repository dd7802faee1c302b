"""What stopped a connection, beside the form that can mend it: a failure, or a certificate to decide about.

Decides how they are worded. Does not decide what is trusted (`flow`). Used by the form and the local card.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLayout, QSizePolicy, QVBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.transport.trust import CertificateProblem, shown_fingerprint
from dagdeck_desktop.widgets.controls import IconLabel, button, label
from dagdeck_desktop.widgets.placeholders import details_of, sentence_of


class _Box(QFrame):
    """A tinted frame with an icon and a column."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, token: str, tone: str, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setProperty("role", "note")
        self.setProperty("tone", tone)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 10, 12, 10)
        row.setSpacing(10)
        row.addWidget(IconLabel(theme, icons, icon, 18, token, self), 0, Qt.AlignmentFlag.AlignTop)
        self.column = QVBoxLayout()
        self.column.setSpacing(4)
        row.addLayout(self.column, 1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        width = self.width() if self.isVisible() else hint.width()
        return QSize(hint.width(), max(hint.height(), self.heightForWidth(width)))


class FailureBox(_Box):
    """A failure: sentence, remedy, details to copy."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, icons, "circle-alert", "danger", "danger", parent)
        self._sentence = label("", "body", self, wraps=True)
        self._remedy = label("", "secondary", self, wraps=True)
        self._details = ""
        copy = button("Copy details", icons, "copy", "quiet", self)
        copy.setStyleSheet("padding: 0 4px; margin-left: -4px;")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._details))
        self.column.addWidget(self._sentence)
        self.column.addWidget(self._remedy)
        self.column.addWidget(copy, 0, Qt.AlignmentFlag.AlignLeft)
        self.hide()

    @property
    def text(self) -> str:
        """The sentence shown."""
        return self._sentence.text()

    def show_error(self, error: Exception, what: str) -> None:
        """Show a failure; `what` names what could not be done."""
        sentence, remedy = sentence_of(error)
        self._sentence.setText(sentence)
        self._remedy.setText(remedy)
        self._remedy.setVisible(bool(remedy))
        self._details = details_of(error, what)
        self.setAccessibleName(f"{what}: {sentence} {remedy}")
        self.show()


class CertificateBox(_Box):
    """A certificate that is not trusted, with what a person needs to compare. `accepted(problem)` is their yes."""

    accepted = Signal(object)
    declined = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, icons, "shield-alert", "warning", "warning", parent)
        self._problem: CertificateProblem | None = None
        self._title = label("", "section", self, wraps=True)
        self._text = label("", "body", self, wraps=True)
        self._facts = label("", "secondary", self, wraps=True)
        self._fingerprint = label("", "body", self, wraps=True)
        self._fingerprint.setFont(theme.font(FontRole.MONO))
        self._fingerprint.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._accept = button("Trust this certificate", icons, "shield-check", "", self)
        self._accept.clicked.connect(self._accepted)
        decline = button("Cancel", icons, kind="quiet", parent=self)
        decline.clicked.connect(self._declined)
        for widget in (self._title, self._text, self._fingerprint, self._facts):
            self.column.addWidget(widget)
        self.column.addSpacing(4)
        self.column.addLayout(_buttons(self._accept, decline))
        self.hide()

    def show_problem(self, problem: CertificateProblem) -> None:
        """Ask about a certificate."""
        self._problem = problem
        if not problem.can_be_pinned:
            title, text = "This certificate cannot be trusted", "Its own signature or dates are wrong."
        elif problem.is_change:
            title = "The certificate has changed"
            text = (
                f"{problem.origin} showed another one before. Either it was renewed without notice, or somebody is "
                "listening in. Nothing has been sent. Ask whoever runs the server for its fingerprint."
            )
        else:
            title = "Is this the right server?"
            text = (
                f"No known authority vouches for {problem.origin}. Compare the fingerprint with what "
                "“dagdeckd certs show” prints there. Nothing has been sent yet."
            )
        self._title.setText(title)
        self._text.setText(text)
        self._fingerprint.setText(_in_two_lines(shown_fingerprint(problem.fingerprint)))
        self._facts.setText(_facts_of(problem))
        self._accept.setVisible(problem.can_be_pinned)
        self.setAccessibleName(f"{title}. {text}")
        self.show()

    def _accepted(self) -> None:
        self.hide()
        if self._problem is not None:
            self.accepted.emit(self._problem)

    def _declined(self) -> None:
        self.hide()
        self.declined.emit()


def _buttons(*widgets: QWidget) -> QLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    for widget in widgets:
        row.addWidget(widget)
    row.addStretch(1)
    return row


def _in_two_lines(fingerprint: str) -> str:
    """64 digits in pairs are too wide for one line, and break only at blanks."""
    middle = len(fingerprint) // 2
    return f"{fingerprint[:middle]}\n{fingerprint[middle + 1 :]}"


def _facts_of(problem: CertificateProblem) -> str:
    facts = [f"For {problem.subject or 'nobody in particular'}, issued by {problem.issuer or 'nobody'}"]
    if problem.not_before is not None and problem.not_after is not None:
        facts.append(f"Valid from {problem.not_before:%Y-%m-%d} to {problem.not_after:%Y-%m-%d}")
    return "\n".join([*facts, *problem.reasons])
