"""What a view shows when it has nothing to show: loading, empty, or an error with a remedy and its details.

Decides their look, and that a loading sign comes only after a moment and an error never covers data that is still good.
Does not decide when each applies. Used by every view.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QHideEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.widgets.controls import button, label

LOADING_DELAY = 250
"""Milliseconds before a loading sign is shown; what comes sooner should not flicker."""
_TEXT_WIDTH = 440


class _IconView(QWidget):
    """An icon in a soft round ground."""

    def __init__(self, theme: Theme, icons: Icons, name: str, token: str, ground: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = (theme, icons, name, token, ground)
        self.setFixedSize(56, 56)
        theme.changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, icons, name, token, ground = self._look
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(ground))
        painter.drawEllipse(QRectF(0, 0, 56, 56))
        painter.drawPixmap(16, 16, icons.pixmap(name, 24, theme.color(token), self.devicePixelRatioF()))
        painter.end()


class _Placeholder(QWidget):
    """Icon, title, text and buttons in the middle."""

    def __init__(
        self, theme: Theme, icons: Icons, icon: str, token: str, ground: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._icons = icons
        column = QVBoxLayout(self)
        column.setSpacing(8)
        column.addStretch(2)
        column.addWidget(_IconView(theme, icons, icon, token, ground, self), 0, Qt.AlignmentFlag.AlignHCenter)
        column.addSpacing(4)
        self._title = label("", "section", self, wraps=True)
        self._text = label("", "secondary", self, wraps=True)
        for each in (self._title, self._text):
            each.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            each.setFixedWidth(_TEXT_WIDTH)
            each.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            column.addWidget(each, 0, Qt.AlignmentFlag.AlignHCenter)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(8)
        column.addSpacing(8)
        column.addLayout(self._buttons)
        self._buttons.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)

    def _show_texts(self, title: str, text: str) -> None:
        self._title.setText(title)
        self._text.setText(text)
        self._text.setVisible(bool(text))
        # A layout does not ask a centred label how high it gets when its lines break.
        for each in (self._title, self._text):
            each.setFixedHeight(max(0, each.heightForWidth(_TEXT_WIDTH)))
        self.setAccessibleName(f"{title}. {text}")


class EmptyState(_Placeholder):
    """Nothing is there, and what to do about it."""

    def __init__(
        self, theme: Theme, icons: Icons, icon: str, title: str, text: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(theme, icons, icon, "text_3", "hover", parent)
        self.set_texts(title, text)

    def set_texts(self, title: str, text: str = "") -> None:
        """Say something else."""
        self._show_texts(title, text)

    def add_button(self, text: str, run: Callable[[], None], icon: str = "", kind: str = "") -> None:
        """Offer a way on."""
        made = button(text, self._icons, icon, kind, self)
        made.clicked.connect(lambda: run())
        self._buttons.addWidget(made)


class ErrorState(_Placeholder):
    """Something failed: a sentence, the remedy, "Try again", and all details to copy."""

    def __init__(self, theme: Theme, icons: Icons, retry: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(theme, icons, "triangle-alert", "danger", "danger_ground", parent)
        self._details = ""
        again = button("Try again", icons, "refresh-cw", "primary", self)
        again.clicked.connect(lambda: retry())
        copy = button("Copy details", icons, "copy", parent=self)
        copy.clicked.connect(self.copy_details)
        self._buttons.addWidget(again)
        self._buttons.addWidget(copy)

    @property
    def details(self) -> str:
        """What "Copy details" copies."""
        return self._details

    def set_error(self, error: Exception, what: str) -> None:
        """Show a failure; `what` names what could not be done: "DAGs could not be loaded"."""
        message, remedy = sentence_of(error)
        self._show_texts(what, f"{message}\n{remedy}" if remedy else message)
        self._details = details_of(error, what)

    def copy_details(self) -> None:
        """Put the details on the clipboard."""
        QGuiApplication.clipboard().setText(self._details)


class LoadingState(QWidget):
    """A turning arc and a word, shown only when loading takes longer than a moment."""

    def __init__(self, theme: Theme, text: str = "Loading…", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._word = text
        self._angle = 0
        self._is_due = False
        self._delay = QTimer(self, singleShot=True, interval=LOADING_DELAY)
        self._delay.timeout.connect(self._due)
        self._turn = QTimer(self, interval=40)
        self._turn.timeout.connect(self._step)
        self.setAccessibleName(text)

    def sizeHint(self) -> QSize:
        return QSize(160, 96)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._is_due = False
        self._delay.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._delay.stop()
        self._turn.stop()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._is_due:
            return
        tokens = self._theme.tokens
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = self.rect().center()
        ring = QRectF(middle.x() - 12, middle.y() - 24, 24, 24)
        painter.setPen(QPen(tokens.border, 2.5))
        painter.drawEllipse(ring)
        painter.setPen(QPen(tokens.accent, 2.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawArc(ring, -self._angle * 16, 100 * 16)
        painter.setFont(self._theme.font(FontRole.SECONDARY))
        painter.setPen(tokens.text_2)
        painter.drawText(self.rect().adjusted(0, 36, 0, 36), Qt.AlignmentFlag.AlignCenter, self._word)
        painter.end()

    def _due(self) -> None:
        self._is_due = True
        self._turn.start()
        self.update()

    def _step(self) -> None:
        self._angle = (self._angle + 14) % 360
        self.update()


class ContentStack(QWidget):
    """A view's content, or what stands in for it while there is none.

    Once content was shown, a later failure leaves it there: old data with its age is worth more than an error page.
    """

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        content: QWidget,
        empty: EmptyState,
        retry: Callable[[], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.content = content
        self.empty = empty
        self.loading = LoadingState(theme, parent=self)
        self.error = ErrorState(theme, icons, retry, self)
        self._layers = QStackedLayout(self)
        for layer in (self.loading, content, empty, self.error):
            self._layers.addWidget(layer)
        self._has_content = False

    def show_loading(self) -> None:
        """Nothing is known yet; what was shown before goes."""
        self._has_content = False
        self._layers.setCurrentWidget(self.loading)

    def show_content(self, *, is_empty: bool = False) -> None:
        """Data came; an empty answer shows its own page."""
        self._has_content = True
        self._layers.setCurrentWidget(self.empty if is_empty else self.content)

    def show_error(self, error: Exception, what: str) -> bool:
        """Show a failure in place of content; False when there is content, which stays."""
        if self._has_content:
            return False
        self.error.set_error(error, what)
        self._layers.setCurrentWidget(self.error)
        return True

    @property
    def shown(self) -> QWidget | None:
        """The layer in front."""
        return self._layers.currentWidget()


def sentence_of(error: Exception) -> tuple[str, str]:
    """An error's sentence and remedy for people, with a capital and a full stop."""
    remedy = str(getattr(error, "remedy", "") or "")
    text = error.message if isinstance(error, DagDeckError) else f"{type(error).__name__}: {error}"
    if remedy and text.endswith(remedy):
        text = text[: -len(remedy)].rstrip(". ")
    return _sentence(text), _sentence(remedy)


def details_of(error: Exception, what: str) -> str:
    """All that a report of this failure needs."""
    lines = [
        what,
        str(error),
        f"kind: {type(error).__name__}",
        f"time: {datetime.now(UTC).isoformat(timespec='seconds')}",
    ]
    for name in ("status", "detail", "action_id", "file", "field", "details"):
        value = getattr(error, name, None)
        if value not in (None, "", 0):
            lines.append(f"{name}: {value}")
    cause = error.__cause__
    if cause is not None:
        lines.append(f"cause: {type(cause).__name__}: {cause}")
    return "\n".join(lines)


def _sentence(text: str) -> str:
    if not text:
        return ""
    # An address or a name of a setting is not a word to be written large.
    first = text.split(maxsplit=1)[0]
    if not any(mark in first for mark in ":/._"):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…", ")")) else f"{text}."
