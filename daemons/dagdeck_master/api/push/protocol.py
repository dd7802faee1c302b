"""The shape of what an event stream carries: topics' names, events as bytes, ids to continue after.

Decides spelling only; docs/push.md is its description for clients. Does no I/O. Used by all of this package.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_master.api.identity import id_of

MAX_TOPICS = 64
"""Most topics of one stream."""
MAX_NAME = 600
"""Longest name of a topic: a dag_id and a run_id with what joins them."""


class TopicKind(StrEnum):
    """What a topic shows."""

    HOME = "home"
    DAGS = "dags"
    DAG = "dag"
    RUN = "run"
    WORKERS = "workers"
    LOG = "log"


class Event(StrEnum):
    """Kinds of events."""

    HELLO = "hello"
    SNAPSHOT = "snapshot"
    DIFF = "diff"
    SAMPLE = "sample"
    LOG = "log"
    HEARTBEAT = "heartbeat"
    BYE = "bye"


class Source(StrEnum):
    """Where changes come from at the moment."""

    QUEUE = "queue"
    DATABASE = "database"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as a client named it. Which of the other fields are set depends on its kind."""

    name: str
    kind: TopicKind
    dag_id: str = ""
    dag_run_id: str = ""
    ti_id: int = 0
    scope: frozenset[str] | None = None
    """The DAGs that it shows, of those that show many; None for all."""

    digest: str = ""
    """Of the scope."""

    @property
    def key(self) -> str:
        """What it is followed under: clients that may see the same of it share it."""
        return f"{self.name}\0{self.digest}" if self.digest else self.name

    def scoped(self, dag_ids: frozenset[str]) -> Topic:
        """The same topic for somebody who may see these DAGs only."""
        if self.kind not in (TopicKind.HOME, TopicKind.DAGS):
            return self
        digest = hashlib.sha256("\0".join(sorted(dag_ids)).encode("utf-8", "surrogatepass")).hexdigest()
        return replace(self, scope=dag_ids, digest=digest)


def parse_topic(name: str) -> Topic:
    """The topic called `name`. Raises UserError when there is no such kind or a part is missing."""
    if len(name) > MAX_NAME:
        raise UserError("the name of a topic is too long", field="subscribe", value=name, remedy=_REMEDY)
    kind, colon, rest = name.partition(":")
    if not colon and name in (TopicKind.HOME, TopicKind.DAGS, TopicKind.WORKERS):
        return Topic(name=name, kind=TopicKind(name))
    if kind == TopicKind.DAG and rest and "/" not in rest:
        return Topic(name=name, kind=TopicKind.DAG, dag_id=rest)
    if kind == TopicKind.RUN:
        dag_id, _, dag_run_id = rest.partition("/")
        if dag_id and dag_run_id:
            return Topic(name=name, kind=TopicKind.RUN, dag_id=dag_id, dag_run_id=dag_run_id)
    if kind == TopicKind.LOG and (ti_id := _task_instance(rest)) is not None:
        return Topic(name=name, kind=TopicKind.LOG, ti_id=ti_id)
    raise UserError("there is no such topic", field="subscribe", value=name, remedy=_REMEDY)


_REMEDY = "Topics are home, dags, dag:<dag_id>, run:<dag_id>/<dag_run_id>, workers and log:<id of a task instance>"


def _task_instance(text: str) -> int | None:
    try:
        return id_of(UUID(text))
    except ValueError:
        return None


def event(kind: Event, data: Any) -> bytes:
    """An event without an id."""
    # JSON has no bare line breaks, so one data line holds it.
    return b"event: %s\ndata: %s\n\n" % (kind.value.encode("ascii"), msgspec.json.encode(data))


@dataclass(frozen=True, slots=True)
class Place:
    """How far a stream had come: the server's boot, the last diff's number, and which topics were complete then."""

    boot: str
    sequence: int
    topics: int

    def text(self) -> str:
        """As it is sent and comes back."""
        return f"{self.boot}-{self.sequence}-{self.topics}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """The place that a client sends back; None when it is none of ours."""
        found = _PLACE.fullmatch(text)
        return None if found is None else cls(found[1], int(found[2]), int(found[3]))

    def line(self) -> bytes:
        """The line that, put before an event, gives it this id."""
        return b"id: %s\n" % self.text().encode("ascii")


_PLACE = re.compile(r"([0-9a-f]{8,32})-(\d{1,18})-(\d{1,18})", re.ASCII)
