"""The `dagdeck-desktop` command.

Decides what its options mean and the program's exit code. Does not build the window (`app`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the control center; the exit code once its window is closed."""
    options = _parser().parse_args(arguments)
    # Only now: --help and a wrong option need no Qt.
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from dagdeck_desktop.app import Desktop, StartOptions
    from dagdeck_desktop.collection import GuiThreadCollector
    from dagdeck_desktop.incidents import log_to
    from dagdeck_desktop.settings import standard_places
    from dagdeck_desktop.single_instance import SingleInstance
    from dagdeck_desktop.transport.network import product_version
    from dagdeck_desktop.views import register_pages

    application = QApplication(sys.argv[:1])
    GuiThreadCollector(application)
    application.setApplicationName("DagDeck")
    application.setApplicationVersion(product_version())
    application.setDesktopFileName("org.dagdeck.Desktop")
    places = standard_places()
    instance = SingleInstance(places.config)
    # Another folder is the working one where the first desktop was started.
    file = None if options.file is None else Path(options.file).absolute()
    if not options.new_window and instance.call_first(file.as_uri() if file is not None else options.url):
        return 0
    log_to(places.log)
    instance.listen()
    desktop = Desktop(application, places, register_pages)
    desktop.incidents.install()
    start = StartOptions(url=options.url, token=_token(), file=file, starts_local=options.local)
    desktop.start(start)
    instance.called.connect(lambda url: _called(desktop, url))
    if options.exit_after is not None:
        QTimer.singleShot(round(options.exit_after * 1000), application, desktop.window.close)
    return int(application.exec())


def _called(desktop: object, url: str) -> None:
    """A later start: come to the front, and go where it was asked to go."""
    from PySide6.QtCore import QUrl

    from dagdeck_desktop.app import Desktop

    assert isinstance(desktop, Desktop)
    window = desktop.window
    window.showNormal() if window.isMinimized() else window.show()
    window.raise_()
    window.activateWindow()
    if url.startswith("file:"):
        desktop.open_file(Path(QUrl(url).toLocalFile()))
    elif url:
        desktop.open_url(url)


def _token() -> str:
    return os.environ.get("DAGDECK_TOKEN", "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dagdeck-desktop", description="DagDeck's control center. The variable DAGDECK_TOKEN gives --url a token."
    )
    parser.add_argument("file", nargs="?", metavar="FILE.dagdeck", help="open the cluster of this connection file")
    parser.add_argument("--url", default="", help="connect to this control API, such as https://host:8443")
    parser.add_argument("--local", action="store_true", help="start the local cluster, unless it runs, and open it")
    parser.add_argument("--new-window", action="store_true", help="open a window even if one is open already")
    parser.add_argument("--exit-after", type=float, metavar="SECONDS", help="close by itself, for checks of a start")
    return parser


if __name__ == "__main__":
    sys.exit(main())
