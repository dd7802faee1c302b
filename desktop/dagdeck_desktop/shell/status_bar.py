"""The bar at the bottom: which cluster this is, whether the link stands, how fresh the data is; and its banner.

Decides words and colours of the link's states. Does not measure them (`live`). Used by `window`.
"""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from dagdeck_desktop.icons import Icons
from dagdeck_desktop.live.link import LinkState
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.widgets.controls import IconLabel, button, label
from dagdeck_desktop.widgets.freshness import FreshnessLabel, age_text

HEIGHT = 28


_WORDS: dict[LinkState, str] = {
    LinkState.OFFLINE: "Not connected",
    LinkState.CONNECTING: "Connecting…",
    LinkState.LIVE: "Live",
    LinkState.POLLING: "Polling",
    LinkState.STALLED: "Stalled",
    LinkState.LOST: "Link lost",
}
_DOTS: dict[LinkState, str] = {
    LinkState.OFFLINE: "text_3",
    LinkState.CONNECTING: "warning",
    LinkState.LIVE: "positive",
    LinkState.POLLING: "info",
    LinkState.STALLED: "warning",
    LinkState.LOST: "danger",
}
_EXPLANATIONS: dict[LinkState, str] = {
    LinkState.OFFLINE: "No cluster is connected",
    LinkState.CONNECTING: "The connection is being made",
    LinkState.LIVE: "Changes arrive as they happen",
    LinkState.POLLING: "Something between here and the server holds back its live stream, so it is asked regularly",
    LinkState.STALLED: "The server answers, but neither its queue nor its database answers it",
    LinkState.LOST: "The server does not answer; it is tried again by itself",
}


class Dot(QWidget):
    """A small round sign of a colour."""

    def __init__(self, parent: QWidget | None = None, side: int = 8) -> None:
        super().__init__(parent)
        self._color = QColor(Qt.GlobalColor.transparent)
        self._side = side
        self.setFixedSize(side, side)

    def set_color(self, color: QColor) -> None:
        """Show another colour."""
        self._color = color
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(self._side, self._side)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._color)
        painter.drawEllipse(QRectF(0, 0, self._side, self._side))
        painter.end()


class StatusBar(QFrame):
    """Cluster, link and freshness."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._link = LinkState.OFFLINE
        self._color = QColor(Qt.GlobalColor.transparent)
        self.setProperty("role", "bar")
        self.setFixedHeight(HEIGHT)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(6)
        self._cluster_dot = Dot(self)
        self._name = label("", "secondary", self)
        self._where = label("", "tertiary", self)
        self._note = label("", "tertiary", self)
        self._link_dot = Dot(self)
        self._link_text = label("", "secondary", self)
        self.freshness = FreshnessLabel(self)
        for widget in (self._cluster_dot, self._name, self._where):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self._note)
        row.addSpacing(12)
        row.addWidget(self.freshness)
        row.addSpacing(12)
        row.addWidget(self._link_dot)
        row.addWidget(self._link_text)
        theme.changed.connect(self._paint_link)
        self.set_cluster("", "", None)
        self.set_link(LinkState.OFFLINE, 0.0)

    @property
    def link(self) -> LinkState:
        """The link's state as shown."""
        return self._link

    def set_cluster(self, name: str, where: str, color: QColor | None) -> None:
        """Say which cluster this is, in the colour that its profile gives it."""
        self._name.setText(name or "No cluster")
        self._where.setText(where)
        self._cluster_dot.setVisible(color is not None)
        if color is not None:
            self._cluster_dot.set_color(color)

    def set_note(self, text: str) -> None:
        """A word about the server: its kind and version."""
        self._note.setText(text)

    def set_link(self, state: LinkState, age_seconds: float) -> None:
        """Show the link's state; `age_seconds` since the server was heard of last."""
        if state is LinkState.LIVE:
            self.freshness.confirm(is_live=True)
        elif state in (LinkState.POLLING, LinkState.LOST, LinkState.STALLED):
            self.freshness.confirm(is_live=False, age_seconds=age_seconds)
        else:
            self.freshness.lose()
        self._link = state
        self._link_text.setText(_WORDS[state])
        self._link_text.setToolTip(_EXPLANATIONS[state])
        self._link_text.setAccessibleName(f"Link: {_WORDS[state]}. {_EXPLANATIONS[state]}")
        # "Live" once is enough: the freshness says nothing more while the link stands.
        self.freshness.setVisible(state not in (LinkState.LIVE, LinkState.OFFLINE))
        self._paint_link()

    def _paint_link(self) -> None:
        self._link_dot.set_color(self._theme.color(_DOTS[self._link]))


class LinkBanner(QFrame):
    """Stands above the page while the link is lost or the sign-in has expired; `retry_chosen` follows its button."""

    retry_chosen = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "banner")
        self._theme = theme
        self._icons = icons
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.metrics.page_margin, 6, theme.metrics.page_margin, 6)
        row.setSpacing(10)
        self._icon = IconLabel(theme, icons, "wifi-off", 18, "warning", self)
        self._text = label("", "body", self)
        self._retry = button("Try now", icons, parent=self)
        self._retry.clicked.connect(self.retry_chosen)
        row.addWidget(self._icon)
        row.addWidget(self._text, 1)
        row.addWidget(self._retry)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    def show_lost(self, cluster: str, age_seconds: float) -> None:
        """The link is lost; the data on screen has this age."""
        self._say(f"The link to {cluster} is lost. What you see is {age_text(age_seconds)} old.", "Try now", "wifi-off")

    def show_stalled(self, cluster: str) -> None:
        """The server is there but learns nothing new itself."""
        self._say(f"{cluster} cannot reach its database. What you see may be old.", "Try now", "database")

    def show_sign_in(self, cluster: str) -> None:
        """The server does not know our token any more."""
        self._say(f"Your sign-in to {cluster} has expired.", "Sign in", "key-round")

    def _say(self, text: str, button_text: str, icon: str) -> None:
        self._text.setText(text)
        self._retry.setText(button_text)
        self._icon.set_look(icon, "warning")
        self.setAccessibleName(text)
        self.show()
