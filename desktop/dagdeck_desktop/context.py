"""What every page gets by constructor: the desktop's shared parts in one value.

Decides nothing. Made by `app`, handed to the pages' factories.
"""

from __future__ import annotations

from dataclasses import dataclass

from dagdeck_desktop.actions import ActionRegistry
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.live import Feed
from dagdeck_desktop.session import ClusterSession
from dagdeck_desktop.settings import SettingsStore
from dagdeck_desktop.shell import MainWindow
from dagdeck_desktop.theme import Theme
from dagdeck_desktop.transport import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class DesktopContext:
    """The shared parts. Pages live as long as the connection: they are built anew after each `session.connected`."""

    theme: Theme
    icons: Icons
    api: Api
    feed: Feed
    session: ClusterSession
    actions: ActionRegistry
    settings: SettingsStore
    window: MainWindow
