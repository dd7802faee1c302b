"""The first thing a person sees, and the way to other clusters: start one here, or connect to one elsewhere.

Decides how people are asked for addresses, sign-ins and certificates. Does not connect (`session`) or start daemons
(`local_cluster`). Made by `app`.
"""

from dagdeck_desktop.connect.flow import ConnectFlow
from dagdeck_desktop.connect.page import ConnectPage

__all__ = ["ConnectFlow", "ConnectPage"]
