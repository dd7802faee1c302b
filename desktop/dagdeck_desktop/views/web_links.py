"""Links of tasks to other systems: which may be opened, and the buttons that do so.

Decides that only addresses of the web are opened, in the person's browser: what an address says comes from a task. Used
by the task panel.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPushButton, QWidget

_SCHEMES = ("http", "https")


def web_address(text: str | None) -> QUrl | None:
    """The address, when a browser may be given it: http or https, with a host and without control characters."""
    if not text or any(ord(sign) < 32 for sign in text):
        return None
    url = QUrl(text.strip(), QUrl.ParsingMode.StrictMode)
    return url if url.isValid() and url.scheme().lower() in _SCHEMES and url.host() else None


def link_button(name: str, url: QUrl, parent: QWidget) -> QPushButton:
    """A button that opens the address; where it leads shows before it is pressed."""
    made = QPushButton(name.replace("&", "&&"), parent)
    made.setProperty("kind", "link")
    made.setCursor(Qt.CursorShape.PointingHandCursor)
    made.setToolTip(url.toDisplayString())
    made.setAccessibleName(f"{name}: opens {url.toDisplayString()} in the browser")
    made.clicked.connect(lambda: QDesktopServices.openUrl(url))
    return made
