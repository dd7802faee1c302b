"""Stand-ins for the desktop's API and live feed: what was asked is kept, answers and changes come from the test.

Decides nothing of its own. Used by tests of view models and views.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from dagdeck_client.requests.base import Request
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live import LinkState, Subscription

START = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Asked:
    """One call as the model sent it."""

    request: Request[Any]
    on_done: Callable[[Any], None]
    on_error: Callable[[DagDeckError], None]
    is_over: bool = False

    def answer(self, value: Any) -> None:
        """Answer as the server would: JSON is read as the request reads it."""
        self.is_over = True
        wanted = self.request.answer
        self.on_done(None if wanted is None else msgspec.convert(value, wanted))

    def refuse(self, error: DagDeckError) -> None:
        """Answer with a failure."""
        self.is_over = True
        self.on_error(error)


class FakeApi(QObject):
    """Keeps what is asked. `answers` maps a pattern of "METHOD path" to a value that is answered at once."""

    answered = Signal()
    unreachable = Signal(object)
    sign_in_needed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.answers: dict[str, Any] = {}
        self.is_dagdeck: bool | None = True

    def call(
        self,
        request: Request[Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[DagDeckError], None],
        *,
        owner: QObject | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Keep the call; answer it at once if an answer is prepared."""
        asked = Asked(request=request, on_done=on_done, on_error=on_error)
        self.asked.append(asked)
        said = f"{request.method} {request.path}"
        for pattern, answer in self.answers.items():
            if re.fullmatch(pattern, said):
                value = answer(request) if callable(answer) else answer
                if isinstance(value, DagDeckError):
                    asked.refuse(value)
                else:
                    asked.answer(value)
                return

    def open(self, method: str, path: str) -> Asked:
        """The last unanswered call of a path, as a pattern."""
        for asked in reversed(self.asked):
            if not asked.is_over and asked.request.method == method and re.fullmatch(path, asked.request.path):
                return asked
        waiting = [f"{each.request.method} {each.request.path}" for each in self.asked if not each.is_over]
        raise AssertionError(f"no open call {method} {path}; open are {waiting}")

    def sent(self, method: str, path: str) -> list[Request[Any]]:
        """Every request of a path so far, answered or not."""
        requests = [each.request for each in self.asked]
        return [each for each in requests if each.method == method and re.fullmatch(path, each.path)]


class FakeFeed(QObject):
    """A feed whose snapshots and diffs the test tells."""

    link_state_changed = Signal(str, float)
    snapshot_received = Signal(str, object)
    diff_received = Signal(str, object)
    run_changed = Signal(dict)
    tasks_changed = Signal(str, object)
    worker_sample = Signal(dict)
    log_chunk = Signal(str, object, object, object)
    refresh_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.state = LinkState.LIVE
        self.age_seconds = 0.0
        self.topics: Counter[str] = Counter()

    def subscribe(self, topic: str) -> Subscription:
        """Count the topic."""
        self.topics[topic] += 1
        return Subscription(topic, self._end)

    def _end(self, topic: str) -> None:
        self.topics[topic] -= 1

    def listens_to(self, topic: str) -> bool:
        """True while somebody follows the topic."""
        return self.topics[topic] > 0

    def set_state(self, state: LinkState) -> None:
        """Another state of the link."""
        self.state = state
        self.link_state_changed.emit(state.value, 0.0)


def at(seconds: float) -> str:
    """A time of the test's morning as the API writes it."""
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def run(dag_id: str, number: int, state: str = "success", seconds: float = 60.0, **more: Any) -> dict[str, Any]:
    """A run as REST and the stream tell it; run `number` was due `number` minutes after the start."""
    begin = 60.0 * number
    is_over = state in ("success", "failed")
    return {
        "dag_id": dag_id,
        "dag_run_id": f"run_{number}",
        "state": state,
        "run_type": "manual",
        "run_after": at(begin),
        "queued_at": at(begin),
        "start_date": None if state == "queued" else at(begin),
        "end_date": at(begin + seconds) if is_over else None,
        "duration": seconds if is_over else None,
        "conf": {},
        **more,
    }


def dag(dag_id: str, *tags: str, **more: Any) -> dict[str, Any]:
    """A DAG as REST tells it."""
    return {
        "dag_id": dag_id,
        "dag_display_name": dag_id,
        "is_paused": False,
        "owners": ["data"],
        "tags": [{"name": tag} for tag in tags],
        "timetable_summary": "0 6 * * *",
        "timetable_description": "At 06:00",
        **more,
    }


def page(name: str, *items: Any) -> dict[str, Any]:
    """A page that is the whole list."""
    return {name: list(items), "total_entries": len(items)}


def task(task_id: str, *downstream: str, **more: Any) -> dict[str, Any]:
    """A task as REST tells it."""
    return {"task_id": task_id, "operator_name": "@task", "downstream_task_ids": list(downstream), **more}


def structure(
    dag_id: str, *task_ids: str, edges: Sequence[tuple[str, str]] = (), groups: Sequence[str] = (), version: int = 1
) -> dict[str, Any]:
    """A DAG's shape as the API tells it; a task is in the group that its id begins with."""
    return {
        "dag_id": dag_id,
        "version_number": version,
        "nodes": [
            {
                "task_id": task_id,
                "label": task_id,
                "operator": "@task",
                "group_id": next((name for name in reversed(groups) if task_id.startswith(f"{name}.")), None),
            }
            for task_id in task_ids
        ],
        "edges": [{"source_id": source, "target_id": target} for source, target in edges],
        "groups": [{"group_id": name, "label": name} for name in groups],
    }


def instance(task_id: str, state: str | None = "success", *, map_index: int = -1, **more: Any) -> dict[str, Any]:
    """A task instance as REST tells it."""
    is_over = state in ("success", "failed")
    return {
        "id": f"id-{task_id}-{map_index}",
        "task_id": task_id,
        "dag_id": "churn",
        "dag_run_id": "run_1",
        "map_index": map_index,
        "state": state,
        "try_number": 1 if state else 0,
        "max_tries": 1,
        "pool": "default_pool",
        "start_date": at(60) if state in ("success", "failed", "running") else None,
        "end_date": at(102) if is_over else None,
        "duration": 42.0 if is_over else None,
        **more,
    }


def wire_task(task_id: str, state: str | None, *, map_index: int = -1, try_number: int = 1) -> list[Any]:
    """A task instance as the stream tells it."""
    ended = at(102) if state in ("success", "failed") else None
    return [f"id-{task_id}-{map_index}", state, task_id, map_index, try_number, at(60), ended, None, 7]
