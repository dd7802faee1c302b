"""The states of the link to a cluster.

Decides nothing; `feed` does. Read by the status bar and by views.
"""

from __future__ import annotations

from enum import StrEnum


class LinkState(StrEnum):
    """How changes come from the cluster."""

    OFFLINE = "offline"
    """No cluster was asked for."""
    CONNECTING = "connecting"
    LIVE = "live"
    """Changes arrive as they happen."""
    POLLING = "polling"
    """The stream does not get through, so views ask regularly."""
    STALLED = "stalled"
    """The server is there, but neither its queue nor its database answers it: what is shown grows old."""
    LOST = "lost"
    """The server is not heard of; it is tried again."""
