"""A client of the event stream for tests: reads in a thread, keeps every event, and waits for what a test expects.

Decides nothing. Used by test_push*.py.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import httpx

EVENTS = "/api/dagdeck/v1/events"


@dataclass(frozen=True, slots=True)
class Heard:
    """One event. `id` is that of this event itself, empty when it had none; `at` is on the monotonic clock."""

    kind: str
    data: Any
    id: str
    at: float


class PushClient:
    """An open stream; a context manager."""

    def __init__(
        self,
        http: httpx.Client,
        token: str,
        *topics: str,
        last_id: str = "",
        fresh: tuple[str, ...] = (),
    ) -> None:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        query: list[tuple[str, Any]] = [("subscribe", topic) for topic in topics] + [
            ("fresh", topic) for topic in fresh
        ]
        self._request = http.build_request("GET", EVENTS, params=query, headers=headers, timeout=20.0)
        self._http = http
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.events: list[Heard] = []
        self.is_over = False
        self.response: httpx.Response | None = None

    def __enter__(self) -> Self:
        self.response = self._http.send(self._request, stream=True)
        assert self.response.status_code == 200, self.response.read()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.response is not None
        self.response.close()
        self._thread.join(5.0)

    @property
    def last_id(self) -> str:
        """The id to go on after."""
        with self._news:
            return next((each.id for each in reversed(self.events) if each.id), "")

    def until(self, condition: Callable[[Self], Any], what: str, timeout: float = 10.0) -> Any:
        """The first true value of `condition`, which is asked after each event."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (value := condition(self)):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {timeout} s: {what}; heard {[each.kind for each in self.events][-30:]}"
                self._news.wait(left)
            return value

    def first(self, kind: str, topic: str | None = None, after: int = 0) -> Any:
        """The data of the first event of a kind, and topic, after so many events; waits for it."""

        def find(client: PushClient) -> Any:
            return next(iter(client.of(kind, topic, after)), None)

        return self.until(find, f"{kind} of {topic}").data

    def of(self, kind: str, topic: str | None = None, after: int = 0) -> list[Heard]:
        """Events of a kind, and topic."""
        return [
            each for each in self.events[after:] if each.kind == kind and (topic is None or each.data["topic"] == topic)
        ]

    def _read(self) -> None:
        assert self.response is not None
        kind, data, own_id = "", [], ""
        try:
            for line in self.response.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data":
                        data.append(value)
                    elif name == "id":
                        own_id = value
                    continue
                heard = Heard(kind, json.loads("\n".join(data)), own_id, time.monotonic())
                kind, data, own_id = "", [], ""
                with self._news:
                    self.events.append(heard)
                    self._news.notify_all()
        except (httpx.HTTPError, httpx.StreamError):
            pass
        finally:
            with self._news:
                self.is_over = True
                self._news.notify_all()


def tasks_of(client: PushClient, topic: str) -> dict[str, Any]:
    """task_id → state of a run's topic as the client knows it now, its snapshots and diffs put together."""
    known: dict[str, Any] = {}
    for each in list(client.events):
        if each.kind not in ("snapshot", "diff") or each.data["topic"] != topic:
            continue
        content = each.data["data"]
        if each.kind == "snapshot":
            known = {}
        if content is not None:
            for task in content.get("tasks", []):
                known[task[2] if task[3] < 0 else f"{task[2]}[{task[3]}]"] = task[1]
    return known


def run_of(client: PushClient, topic: str) -> Any:
    """The run of a run's topic as the client knows it now."""
    found = None
    for each in list(client.events):
        if each.kind in ("snapshot", "diff") and each.data["topic"] == topic:
            content = each.data["data"]
            found = None if content is None else content.get("run", found)
    return found
