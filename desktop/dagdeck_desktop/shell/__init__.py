"""The window around all pages: rail, page stack, command palette, status bar, notices.

Decides navigation and what is always in sight. Does not know any page's content: pages are registered by
`MainWindow.add_page`. Made by `app`.
"""

from dagdeck_desktop.shell.pages import PageStack, RefreshablePage, Route, RoutedPage
from dagdeck_desktop.shell.palette import CommandPalette, PaletteItem
from dagdeck_desktop.shell.window import MainWindow

__all__ = [
    "CommandPalette",
    "MainWindow",
    "PageStack",
    "PaletteItem",
    "RefreshablePage",
    "Route",
    "RoutedPage",
]
