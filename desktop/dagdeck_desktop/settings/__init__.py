"""What a person set in this desktop, kept in one file of theirs.

Decides names, defaults and the places of the desktop's files. Does not hold clusters (`profiles`) or secrets
(`keyring`). Made by `app`.
"""

from dagdeck_desktop.settings.places import Places, standard_places
from dagdeck_desktop.settings.store import DesktopSettings, SettingsStore

__all__ = ["DesktopSettings", "Places", "SettingsStore", "standard_places"]
