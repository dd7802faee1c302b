"""A window with a longer text to read and copy: why a file could not be loaded, a large XCom value.

Decides its look. Used by pages.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.theme import FontRole
from dagdeck_desktop.widgets import button
from dagdeck_desktop.widgets.header import ElidedLabel


class TextDialog(QDialog):
    """A title, a text in a fixed font, and a button that copies it. It deletes itself when it is closed."""

    def __init__(self, context: DesktopContext, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(780, 520)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(ElidedLabel(title, "section", self))
        self.view = text_view(context, self)
        self.view.setPlainText(text)
        column.addWidget(self.view, 1)
        row = QHBoxLayout()
        row.addStretch(1)
        copy = button("Copy", context.icons, "copy", parent=self)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(text))
        done = button("Close", context.icons, kind="primary", parent=self)
        done.clicked.connect(self.accept)
        row.addWidget(copy)
        row.addWidget(done)
        column.addLayout(row)


def text_view(context: DesktopContext, parent: QWidget | None = None) -> QPlainTextEdit:
    """A field to read text of a fixed width in."""
    view = QPlainTextEdit(parent)
    view.setReadOnly(True)
    view.setFont(context.theme.font(FontRole.MONO))
    view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    return view
