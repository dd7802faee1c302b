"""The clusters that this desktop knows."""

from dagdeck_desktop.profiles.connection_file import ConnectionFile, connection_text, read_connection_file
from dagdeck_desktop.profiles.profile import PROFILE_COLORS, ClusterKind, Profile
from dagdeck_desktop.profiles.store import ProfileStore

__all__ = [
    "PROFILE_COLORS",
    "ClusterKind",
    "ConnectionFile",
    "Profile",
    "ProfileStore",
    "connection_text",
    "read_connection_file",
]
