"""What follows when the local cluster needs a Python: the dialog, the environment that is made, and another start.

Decides which choice leads to which environment, and what is remembered. Does not look for Pythons itself
(`local_cluster.pythons`). Part of the connect flow.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject

from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.connect.page import ConnectPage
from dagdeck_desktop.connect.python_dialog import PythonDialog
from dagdeck_desktop.local_cluster import FoundPython, LocalCluster, LocalPython
from dagdeck_desktop.settings import SettingsStore


class LocalPythonFlow(QObject):
    """Joins the dialog to the local cluster and its Python. GUI thread only."""

    def __init__(
        self, local: LocalCluster, pythons: LocalPython, settings: SettingsStore, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._local = local
        self._pythons = pythons
        self._settings = settings
        self._page: ConnectPage | None = None
        self._dialog: PythonDialog | None = None
        self._is_own = False
        pythons.found.connect(self._found)
        pythons.made.connect(self._made)
        pythons.failed.connect(self._failed)
        pythons.progressed.connect(self._progressed)

    def attach(self, page: ConnectPage) -> None:
        """Ask over this page from now on."""
        self._page = page

    def detach(self) -> None:
        """The page is gone, and the dialog with it."""
        self._page, self._dialog = None, None

    def ask(self) -> None:
        """Open the dialog, unless it is open, and look for Pythons."""
        if self._page is None or self._pythons.is_busy:
            return
        if self._dialog is None:
            dialog = self._page.python_dialog()
            dialog.make_chosen.connect(self._make)
            dialog.environment_chosen.connect(self._take)
            dialog.look_chosen.connect(self._pythons.look)
            self._dialog = dialog
        self._dialog.open()
        self._pythons.look()

    def _found(self, pythons: list[FoundPython]) -> None:
        if self._dialog is not None:
            self._dialog.show_found(pythons)

    def _make(self, python: str) -> None:
        self._is_own = False
        self._pythons.make(self._pythons.own_environment, python)

    def _take(self, folder: str) -> None:
        self._is_own = True
        self._pythons.make(Path(folder))

    def _progressed(self, text: str, seconds: float) -> None:
        if self._page is not None:
            self._page.local.set_progress(text, seconds)

    def _made(self, interpreter: str) -> None:
        # An environment of the cluster's own is found by itself.
        self._settings.change(local_python=interpreter if self._is_own else "")
        self._local.start(self._settings.now.local_python)

    def _failed(self, error: DagDeckError) -> None:
        """The choice did not work: ask again, and say why."""
        if self._page is None:
            return
        self._page.local.end_progress()
        if self._dialog is not None:
            self._dialog.show_error(error, "The Python environment cannot be made")
            self._dialog.open()
