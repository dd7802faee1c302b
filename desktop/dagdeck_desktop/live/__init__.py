"""The live feed: one stream of changes from the control API, and what stands in for it where it cannot pass.

Decides when the link counts as lost, when to connect again, and when to ask instead of listening. Does not keep any
cluster's state: view models do. Made by `app`.
"""

from dagdeck_desktop.live.feed import Feed, Subscription
from dagdeck_desktop.live.link import LinkState
from dagdeck_desktop.live.topics import DAGS, HOME, WORKERS, dag_topic, log_topic, run_topic

__all__ = ["DAGS", "HOME", "WORKERS", "Feed", "LinkState", "Subscription", "dag_topic", "log_topic", "run_topic"]
