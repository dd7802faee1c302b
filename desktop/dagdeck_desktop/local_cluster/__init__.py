"""The cluster on this computer: found, started and stopped as processes that do not belong to the window."""

from dagdeck_desktop.local_cluster.cluster import LocalCluster, StartFailed
from dagdeck_desktop.local_cluster.daemon import LocalAccess, daemon_command
from dagdeck_desktop.local_cluster.pythons import FoundPython, LocalPython

__all__ = ["FoundPython", "LocalAccess", "LocalCluster", "LocalPython", "StartFailed", "daemon_command"]
