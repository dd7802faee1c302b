"""Which class shows a topic.

Decides nothing else. Called by `reader` when somebody listens to a topic that nobody listened to before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dagdeck_core.wire import WorkerSample
from dagdeck_master.api.push.news import LiveTopic
from dagdeck_master.api.push.protocol import Topic, TopicKind
from dagdeck_master.api.push.topic_of_log import LogTopic
from dagdeck_master.api.push.topics_of_runs import DagsTopic, DagTopic, HomeTopic, RunTopic
from dagdeck_master.api.push.topics_of_workers import WorkersTopic

TELLS_OF_ALL_RUNS = frozenset({TopicKind.HOME, TopicKind.DAGS, TopicKind.DAG})
"""Kinds that show runs which cannot be named beforehand."""


def live_topic(topic: Topic, samples: Mapping[int, WorkerSample], depth: Callable[[str], int | None]) -> LiveTopic:
    """A topic that has read nothing yet."""
    match topic.kind:
        case TopicKind.HOME:
            return HomeTopic(topic.scope)
        case TopicKind.DAGS:
            return DagsTopic(topic.scope)
        case TopicKind.DAG:
            return DagTopic(topic.dag_id)
        case TopicKind.RUN:
            return RunTopic(topic.dag_id, topic.dag_run_id)
        case TopicKind.WORKERS:
            return WorkersTopic(samples, depth)
        case TopicKind.LOG:
            return LogTopic(topic.ti_id)
