"""The question before something that cannot be undone.

Decides its look, and that "no" is the default for what destroys. Used by views before destructive actions.
"""

from __future__ import annotations

from PySide6.QtWidgets import QMessageBox, QWidget


def confirm(window: QWidget, title: str, text: str, verb: str, *, is_destructive: bool = False) -> bool:
    """Ask before something that cannot be undone; True for yes."""
    box = QMessageBox(window)
    box.setIcon(QMessageBox.Icon.NoIcon)
    box.setWindowTitle(title)
    box.setText(title)
    box.setInformativeText(text)
    yes = box.addButton(verb, QMessageBox.ButtonRole.AcceptRole)
    yes.setProperty("kind", "danger" if is_destructive else "primary")
    no = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(no if is_destructive else yes)
    box.exec()
    return box.clickedButton() is yes
