"""The frame of all view models: loading, following a topic of the live feed, failing, and sending intents.

Decides when REST is asked and when the stream's data counts more than an answer. Does not know any resource. Base of
every other module here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from PySide6.QtCore import QObject, Signal

from dagdeck_client.models import DagRun
from dagdeck_client.requests.base import Request
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live import Feed, LinkState, Subscription
from dagdeck_desktop.transport import Api

T = TypeVar("T")
RunKey = tuple[str, str]
"""dag_id and dag_run_id."""


class Phase(StrEnum):
    """What a view can show."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class _Following:
    """The subscription of a model; it ends with the model, whether that was told to or not."""

    def __init__(self) -> None:
        self._subscription: Subscription | None = None

    def begin(self, subscription: Subscription) -> None:
        """Hold this one, instead of another."""
        self.end()
        self._subscription = subscription

    def end(self) -> None:
        """Follow nothing."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None


class ViewModel(QObject):
    """State of one screen. GUI thread only.

    `changed` follows each change of the state. `told(text)` says what an intent has done, `failed(error, what)` why it
    or a later load failed. While a view is shown it is active: it follows its topic.
    """

    changed = Signal()
    told = Signal(str)
    failed = Signal(object, str)

    WHAT = "The data could not be loaded"
    """What to say when the first load fails."""

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.api = api
        self.feed = feed
        self.phase = Phase.LOADING
        self.error: DagDeckError | None = None
        self.is_active = False
        self._following = _Following()
        self._has_snapshot = False
        self.destroyed.connect(self._following.end)
        feed.snapshot_received.connect(self._snapshot)
        feed.diff_received.connect(self._diff)
        feed.refresh_wanted.connect(self._polled)

    # ------------------------------------------------------------ life

    def activate(self) -> None:
        """The view is shown: load, and follow the changes."""
        if not self.is_active:
            self.is_active = True
            self._follow()
            self.load()

    def deactivate(self) -> None:
        """The view is hidden: follow no longer."""
        self.is_active = False
        self._unfollow()

    def retry(self) -> None:
        """Load anew, from nothing if nothing is known."""
        if self.phase is Phase.FAILED:
            self.phase, self.error = Phase.LOADING, None
            self.changed.emit()
        self.load()

    @property
    def follows_stream(self) -> bool:
        """True while the stream tells this topic, so that a REST answer about it would be the older one."""
        return self._has_snapshot and self.feed.state in (LinkState.LIVE, LinkState.STALLED)

    # ------------------------------------------------------------ what each model defines

    @property
    def topic(self) -> str | None:
        """What to follow; None for nothing."""
        return None

    def load(self) -> None:
        """Ask for everything by REST."""

    def take_snapshot(self, data: Any) -> None:
        """Replace what is known by a snapshot of the topic; `data` is None for what does not exist."""

    def take_diff(self, data: dict[str, Any]) -> None:
        """Apply a change of the topic."""

    # ------------------------------------------------------------ for subclasses

    def ask(self, request: Request[T], on_done: Callable[[T], None], on_error: Callable[[DagDeckError], None]) -> None:
        """Send a request whose answer is dropped when this model is gone."""
        self.api.call(request, on_done, on_error, owner=self)

    def ready(self) -> None:
        """The state is whole and right as of now."""
        self.phase, self.error = Phase.READY, None
        self.changed.emit()

    def not_loaded(self, error: DagDeckError) -> None:
        """A load failed: shown in place of nothing, told beside what is known."""
        if self.phase is Phase.READY:
            self.failed.emit(error, self.WHAT)
            return
        self.phase, self.error = Phase.FAILED, error
        self.changed.emit()

    def act(
        self,
        request: Request[T],
        what: str,
        done: str,
        on_done: Callable[[T], None] | None = None,
        on_error: Callable[[DagDeckError], None] | None = None,
    ) -> None:
        """Do what a person asked for; `what` is said when it fails, `done` when it is done ("" for nothing)."""

        def succeeded(answer: T) -> None:
            if done:
                self.told.emit(done)
            if on_done is not None:
                on_done(answer)

        def refused(error: DagDeckError) -> None:
            self.failed.emit(error, what)
            if on_error is not None:
                on_error(error)

        self.ask(request, succeeded, refused)

    def follow_anew(self) -> None:
        """The topic has changed: follow the new one."""
        self._unfollow()
        if self.is_active:
            self._follow()

    # ------------------------------------------------------------ the feed

    def _follow(self) -> None:
        topic = self.topic
        if topic is not None:
            self._following.begin(self.feed.subscribe(topic))

    def _unfollow(self) -> None:
        self._has_snapshot = False
        self._following.end()

    def _snapshot(self, topic: str, data: object) -> None:
        if self.is_active and topic == self.topic:
            self._has_snapshot = True
            self.take_snapshot(data)

    def _diff(self, topic: str, data: object) -> None:
        if self.is_active and topic == self.topic and isinstance(data, dict):
            self.take_diff(data)

    def _polled(self, topic: str) -> None:
        if self.is_active and topic == self.topic:
            self.load()


def run_of(data: object) -> DagRun | None:
    """A run as the stream tells it; None for what cannot be read, which a newer server may send."""
    try:
        return msgspec.convert(data, DagRun)
    except msgspec.ValidationError:
        return None


def runs_of(data: object) -> list[DagRun]:
    """The runs of a list that can be read."""
    items = data if isinstance(data, (list, tuple)) else ()
    return [run for item in items if (run := run_of(item)) is not None]


def items_of(data: dict[str, Any], name: str) -> list[Any]:
    """A member that is a list; an empty one for anything else, which a faulty or newer server may send."""
    found = data.get(name)
    return found if isinstance(found, list) else []


def keys_of(data: dict[str, Any], name: str) -> list[RunKey]:
    """A member that is a list of pairs of dag_id and dag_run_id."""
    pairs = [pair for pair in items_of(data, name) if isinstance(pair, (list, tuple)) and len(pair) == 2]
    return [(dag_id, run_id) for dag_id, run_id in pairs if isinstance(dag_id, str) and isinstance(run_id, str)]


def number_of(data: dict[str, Any], name: str) -> float | None:
    """A member that is a finite number."""
    found = data.get(name)
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
    return float(found) if is_number and found is not None else None


def time_of(data: dict[str, Any], name: str) -> datetime | None:
    """A member that is a time with its zone."""
    found = data.get(name)
    try:
        moment = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def key_of(run: DagRun) -> RunKey:
    """What names a run in the whole cluster."""
    return run.dag_id, run.dag_run_id


def newest_first(runs: dict[RunKey, DagRun]) -> list[DagRun]:
    """Runs by when they were due, the newest first."""
    return sorted(runs.values(), key=lambda run: (run.run_after, run.dag_run_id), reverse=True)
