"""The cluster on this computer: found, started and stopped as processes that do not belong to the window."""

from dagdeck_desktop.local_cluster.cluster import LocalCluster, StartFailed
from dagdeck_desktop.local_cluster.daemon import LocalAccess, daemon_command

__all__ = ["LocalAccess", "LocalCluster", "StartFailed", "daemon_command"]
