"""The names of what can be listened to.

Decides their spelling, which the server shares (docs/push.md). Used by view models with `Feed.subscribe`.
"""

from __future__ import annotations

HOME = "home"
DAGS = "dags"
WORKERS = "workers"
MOST_TOPICS = 64
"""The server takes no more on one stream."""


def dag_topic(dag_id: str) -> str:
    """One DAG with its last runs."""
    return f"dag:{dag_id}"


def run_topic(dag_id: str, dag_run_id: str) -> str:
    """One run with its task instances."""
    return f"run:{dag_id}/{dag_run_id}"


def log_topic(task_instance_id: int | str) -> str:
    """The log of one task instance, as it is written."""
    return f"log:{task_instance_id}"
