"""The topic that shows one task instance's log as it is written.

Decides that pieces go out without a gap, in order, each once, whether the queue brings them or the database has them;
and when a log is complete. What was stored before somebody listened is read by REST. Made by `topics.live_topic`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from dagdeck_core.states import DISPATCHED
from dagdeck_core.wire import LogTail
from dagdeck_master.api.identity import uuid_of
from dagdeck_master.api.push import rows
from dagdeck_master.api.push.news import News, Update
from dagdeck_master.api.push.protocol import Event, event

POLL_SECONDS = 0.5
"""How often the stored log of a running task is looked at; with a queue its pieces come at once, too."""
MOST_BYTES = 64 * 1024
"""Bytes of a log in one event."""


class LogTopic:
    """The log of the newest dispatch of a task instance."""

    can_resume = False

    def __init__(self, ti_id: int) -> None:
        self._ti_id = ti_id
        self._name = str(uuid_of(ti_id))
        self._subject: Any = None
        self._size = 0
        self.poll_interval: float | None = POLL_SECONDS

    def load(self, connection: sa.Connection) -> None:
        """See LiveTopic."""
        self._subject = rows.log_subject(connection, self._ti_id)
        self._size = rows.log_size(connection, self._ti_id, self._dispatch_no) if self._dispatch_no else 0

    def snapshot(self) -> Any:
        """See LiveTopic."""
        subject = self._subject
        if subject is None:
            return None
        return {
            "ti_id": self._name,
            "dag_id": subject.dag_id,
            "dag_run_id": subject.run_id,
            "task_id": subject.task_id,
            "map_index": subject.map_index,
            "try_number": subject.try_number,
            "dispatch_no": subject.dispatch_no,
            "size": self._size,
            "is_complete": not self._is_live,
        }

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """See LiveTopic."""
        tails = news.logs.get(self._ti_id, [])
        if self._subject is None or any(tail.dispatch_no > self._dispatch_no for tail in tails):
            return self.compare(connection) if tails or news.runs else None
        frames: list[bytes] = []
        for tail in tails:
            frames += self._frames_of(connection, tail)
        if self._ti_id in news.tasks.get(self._subject.run_key, ()):
            return self.compare(connection, frames)
        return Update(frames=tuple(frames)) if frames else None

    def poll(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        return self.compare(connection) if self._subject is None or self._is_live else None

    def compare(self, connection: sa.Connection, before: list[bytes] | None = None) -> Update | None:
        """See LiveTopic. `before` goes first."""
        frames = before or []
        # The state is read before the pieces: what it says to be over is stored by then.
        subject = rows.log_subject(connection, self._ti_id)
        if subject is None or self._subject is None or subject.dispatch_no != self._dispatch_no:
            if subject is None and self._subject is None:
                return None
            self._subject, self._size = subject, 0
            return Update(is_reset=True, frames=tuple(self._stored(connection)))
        was_live, self._subject = self._is_live, subject
        frames += self._stored(connection)
        if was_live and not self._is_live:
            return Update(frames=tuple(frames), diff={"size": self._size, "is_complete": True})
        return Update(frames=tuple(frames)) if frames else None

    @property
    def _dispatch_no(self) -> int:
        return 0 if self._subject is None else int(self._subject.dispatch_no)

    @property
    def _is_live(self) -> bool:
        return self._subject is not None and (self._subject.state in DISPATCHED or not self._subject.dispatch_no)

    def _frames_of(self, connection: sa.Connection, tail: LogTail) -> Iterator[bytes]:
        """The events for a piece from the queue; what is missing before it is read."""
        if tail.dispatch_no != self._dispatch_no or tail.offset + len(tail.data) <= self._size:
            return
        if tail.offset > self._size:
            yield from self._stored(connection)
        if tail.offset <= self._size < tail.offset + len(tail.data):
            yield from self._piece(tail.data[self._size - tail.offset :])

    def _stored(self, connection: sa.Connection) -> Iterator[bytes]:
        """The events for what is stored beyond what was told, up to the first gap."""
        if not self._dispatch_no:
            return
        while True:
            before = self._size
            for offset, data in rows.log_after(connection, self._ti_id, self._dispatch_no, before):
                if offset > self._size:
                    return
                yield from self._piece(data[self._size - offset :])
            if self._size == before:
                return

    def _piece(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), MOST_BYTES):
            part = data[start : start + MOST_BYTES]
            encoded = base64.b64encode(part).decode("ascii")
            yield event(
                Event.LOG,
                {"ti_id": self._name, "dispatch_no": self._dispatch_no, "offset": self._size, "base64": encoded},
            )
            self._size += len(part)
