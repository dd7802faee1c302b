"""A cluster as a person filed it.

Decides what a profile holds: no secret, which is the keyring's. Used by the connect page and the session.
"""

from __future__ import annotations

import secrets
from enum import StrEnum

import msgspec


class ClusterKind(StrEnum):
    """What answers at the address."""

    LOCAL = "local"
    """The cluster that this desktop starts on this computer."""
    DAGDECK = "dagdeck"
    AIRFLOW = "airflow"


PROFILE_COLORS: tuple[str, ...] = (
    "#2F5FD0",
    "#157A43",
    "#C0392B",
    "#B7791F",
    "#6B46C1",
    "#0E7490",
    "#BE185D",
    "#55606E",
)
"""What to choose from; the colour marks the window of a cluster, so that production does not look like a test."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster. `profile_id` names its secret in the keyring and never changes."""

    profile_id: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    name: str
    url: str
    kind: ClusterKind = ClusterKind.DAGDECK
    color: str = PROFILE_COLORS[0]
    username: str = ""
    ca_file: str = ""
    allows_plain_http: bool = False
    """Connect without TLS to another machine: passwords and tokens can be read on the way."""
