"""Keeps one stream of changes open for everything that the window shows.

Decides when the link is lost (silence longer than the heartbeat allows), when it is tried again, and when views must
ask instead, because something between swallows the stream or the server has none. Does not keep state of the cluster.
Used by view models through `subscribe` and the signals.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtNetwork import QNetworkAccessManager

from dagdeck_client.errors import NotAuthenticated
from dagdeck_client.requests.admin import get_version
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live.link import LinkState
from dagdeck_desktop.live.messages import (
    SIGNED_OUT,
    Bye,
    Diff,
    Heartbeat,
    Hello,
    LogPiece,
    Message,
    Sample,
    Snapshot,
    Source,
)
from dagdeck_desktop.live.ordering import OrderedReader
from dagdeck_desktop.live.stream import EventStream, StreamEnd
from dagdeck_desktop.live.topics import MOST_TOPICS
from dagdeck_desktop.transport.api import Api
from dagdeck_desktop.transport.endpoint import Endpoint
from dagdeck_desktop.transport.network import make_manager, proxy_for
from dagdeck_desktop.transport.trust import PinStore

_logger = logging.getLogger(__name__)

SILENCE_SECONDS = 1.8
"""Longer silence shows the link as lost; the server's heart beats each second."""
GIVE_UP_SECONDS = 4.0
"""After so much silence the connection is made anew."""
FIRST_EVENT_SECONDS = 5.0
"""A stream that was accepted and brings nothing for so long is being held back by something between."""
STALLED_BEATS = 3
POLL_SECONDS = 2.0
RETRY_STREAM_SECONDS = 60.0
FIRST_RETRY, LONGEST_RETRY = 0.2, 5.0
_TICK = 200
_RESUBSCRIBE_DELAY = 30


class Subscription:
    """A wish to hear of a topic; it lasts until `close`."""

    def __init__(self, topic: str, end: Callable[[str], None]) -> None:
        self.topic = topic
        self._end: Callable[[str], None] | None = end

    def close(self) -> None:
        """Hear of it no more. A second call changes nothing."""
        end, self._end = self._end, None
        if end is not None:
            end(self.topic)


class Feed(QObject):
    """Changes of a cluster as Qt signals. GUI thread only.

    `snapshot_received(topic, data)` replaces what was known of a topic (`data` is None for what does not exist),
    `diff_received(topic, data)` changes it; docs/push.md says what is in them. The signals below repeat parts of diffs
    for those who need no more: `run_changed(run)`, `tasks_changed("<dag_id>/<dag_run_id>", tasks)`. Further:
    `worker_sample(sample)`, `log_chunk(ti_id, offset, content, dispatch_no)`. While polling, `refresh_wanted(topic)`
    asks views to load that topic by the API.
    """

    link_state_changed = Signal(str, float)
    snapshot_received = Signal(str, object)
    diff_received = Signal(str, object)
    run_changed = Signal(dict)
    tasks_changed = Signal(str, object)
    worker_sample = Signal(dict)
    log_chunk = Signal(str, object, object, object)
    refresh_wanted = Signal(str)
    sign_in_needed = Signal()
    refused = Signal(object)

    def __init__(
        self, api: Api, pins: PinStore, parent: QObject | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(parent)
        self._api = api
        self._pins = pins
        self._clock = clock
        self._endpoint: Endpoint | None = None
        self._topics: Counter[str] = Counter()
        self._manager: QNetworkAccessManager | None = None
        self._stream: EventStream | None = None
        self._streamed: tuple[str, ...] = ()
        self._fresh: set[str] = set()
        self._reader = OrderedReader(self)
        self._reader.read.connect(self._take)
        self._state = LinkState.OFFLINE
        self._last_id = ""
        self._boot = ""
        self._heard_at = self._opened_at = clock()
        self._has_heard = False
        self._told_age = -1
        self._failures = 0
        self._sourceless_beats = 0
        self._next_stream_at: float | None = None
        self._next_poll_at = 0.0
        self._tick_timer = QTimer(self, interval=_TICK)
        self._tick_timer.timeout.connect(self.tick)
        self._resubscribe = QTimer(self, singleShot=True, interval=_RESUBSCRIBE_DELAY)
        self._resubscribe.timeout.connect(self._topics_changed)
        api.answered.connect(self._api_answered)
        api.unreachable.connect(self._api_unreachable)

    # ------------------------------------------------------------ what others call

    @property
    def state(self) -> LinkState:
        """How changes come now."""
        return self._state

    @property
    def age_seconds(self) -> float:
        """Seconds since the server was heard of."""
        return max(0.0, self._clock() - self._heard_at)

    @property
    def topics(self) -> tuple[str, ...]:
        """What is listened to, each once."""
        return tuple(sorted(topic for topic, count in self._topics.items() if count > 0))[:MOST_TOPICS]

    def start(self, endpoint: Endpoint) -> None:
        """Listen to this server from now on, instead of an earlier one."""
        self.stop()
        self._endpoint = endpoint
        self._heard_at = self._clock()
        self._set_state(LinkState.CONNECTING)
        self._tick_timer.start()
        self._open()

    def stop(self) -> None:
        """Listen to nobody; subscriptions stay for the next server."""
        self._close_stream()
        self._tick_timer.stop()
        self._endpoint = None
        self._last_id, self._boot, self._failures = "", "", 0
        self._fresh.clear()
        self._has_heard = False
        self._next_stream_at = None
        self._set_state(LinkState.OFFLINE)

    def close(self) -> None:
        """Stop, and wait for the reading thread."""
        self.stop()
        self._reader.close()

    def subscribe(self, topic: str) -> Subscription:
        """Hear of a topic until the subscription is closed. A snapshot comes first, also when the topic is on the
        stream already: another view of it gets one too, and replaces what it knew by what it knew."""
        self._topics[topic] += 1
        if topic in self._streamed:
            self._fresh.add(topic)
        self._resubscribe.start()
        return Subscription(topic, self._unsubscribe)

    def retry_now(self) -> None:
        """Try the stream at once, whatever was planned."""
        if self._endpoint is not None:
            self._failures = 0
            self._open()

    # ------------------------------------------------------------ the stream

    def _open(self) -> None:
        self._close_stream()
        endpoint = self._endpoint
        if endpoint is None:
            return
        self._next_stream_at = None
        self._opened_at = self._clock()
        self._has_heard = False
        self._streamed = self.topics
        try:
            manager = self._manager_for(endpoint)
            fresh = [topic for topic in self._streamed if topic in self._fresh]
            stream = EventStream(manager, endpoint, self._pins, self._streamed, self._last_id, self, fresh=fresh)
        except DagDeckError as error:
            self.refused.emit(error)
            self._set_state(LinkState.LOST)
            return
        stream.received.connect(self._bytes_came)
        stream.ended.connect(lambda why, error: self._ended(why, error, stream.retry_after))
        self._stream = stream

    def _manager_for(self, endpoint: Endpoint) -> QNetworkAccessManager:
        """The one network manager of all streams, made for the first and kept: see `stream`."""
        if self._manager is None:
            self._manager = make_manager(endpoint, self)
        else:
            self._manager.setProxy(proxy_for(endpoint))
        return self._manager

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        self._reader.forget()
        self._streamed = ()
        if stream is not None:
            stream.received.disconnect(self._bytes_came)
            stream.close()

    def _bytes_came(self, events: object) -> None:
        self._heard()
        self._has_heard = True
        self._failures = 0
        if self._state is not LinkState.STALLED:
            self._set_state(LinkState.LIVE)
        self._reader.submit(events)  # type: ignore[arg-type]

    def _ended(self, why: StreamEnd, error: DagDeckError, retry_after: float | None = None) -> None:
        self._stream = None
        self._streamed = ()
        self._failures += 1
        if isinstance(error, NotAuthenticated):
            self._set_state(LinkState.LOST)
            self.sign_in_needed.emit()
        elif why is StreamEnd.REFUSED:
            self._set_state(LinkState.LOST)
            self.refused.emit(error)
        elif why is StreamEnd.ABSENT:
            self._poll_instead()
        else:
            _logger.info("the event stream ended: %s", error)
            if self._state is not LinkState.POLLING:
                self._set_state(LinkState.LOST if self._failures > 1 or not self._has_heard else self._state)
            self._plan_retry(retry_after)

    def _plan_retry(self, at_least: float | None = None) -> None:
        pause = max(at_least or 0.0, min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(10, max(0, self._failures - 1))))
        # Many desktops whose server was restarted must not all come back at the same moment.
        self._next_stream_at = self._clock() + pause * random.uniform(1.0, 1.3)

    def _topics_changed(self) -> None:
        wanted = set(self.topics)
        self._fresh &= wanted
        if self._endpoint is not None and (wanted != set(self._streamed) or self._fresh):
            if self._state is LinkState.POLLING:
                self._poll()
            elif self._stream is not None:
                self._open()

    def _unsubscribe(self, topic: str) -> None:
        self._topics[topic] -= 1
        if self._topics[topic] <= 0:
            del self._topics[topic]
            self._resubscribe.start()

    # ------------------------------------------------------------ time

    def tick(self) -> None:
        """Look at the clock: silence, retries, polls. Called by a timer, and by tests."""
        now = self._clock()
        if self._state is LinkState.POLLING and now >= self._next_poll_at:
            self._poll()
        if self._next_stream_at is not None and now >= self._next_stream_at:
            self._open()
        elif self._stream is not None:
            self._watch_silence(now)
        self._tell_age()

    def _watch_silence(self, now: float) -> None:
        if not self._has_heard:
            if now - self._opened_at >= FIRST_EVENT_SECONDS:
                self._close_stream()
                self._probe()
            elif self._state is LinkState.LIVE and now - self._heard_at >= SILENCE_SECONDS:
                self._set_state(LinkState.LOST)
            return
        silence = now - self._heard_at
        if silence >= GIVE_UP_SECONDS:
            self._failures += 1
            self._set_state(LinkState.LOST)
            self._close_stream()
            self._plan_retry()
        elif silence >= SILENCE_SECONDS:
            self._set_state(LinkState.LOST)

    def _probe(self) -> None:
        """The stream brings nothing: is the server gone, or is the stream held back on its way?"""
        self._next_stream_at = self._clock() + LONGEST_RETRY
        self._api.call(get_version(), lambda _version: self._poll_instead(), self._probe_failed, owner=self)

    def _probe_failed(self, error: DagDeckError) -> None:
        _logger.info("neither stream nor API answers: %s", error)
        self._failures += 1
        self._set_state(LinkState.LOST)
        self._plan_retry()

    # ------------------------------------------------------------ polling

    def _poll_instead(self) -> None:
        if self._endpoint is None:
            return
        self._next_stream_at = self._clock() + RETRY_STREAM_SECONDS
        self._set_state(LinkState.POLLING)
        self._poll()

    def _poll(self) -> None:
        self._next_poll_at = self._clock() + POLL_SECONDS
        for topic in self.topics:
            self.refresh_wanted.emit(topic)
        if not self.topics:
            self._api.call(get_version(), lambda _version: None, lambda _error: None, owner=self)

    def _api_answered(self) -> None:
        if self._state is LinkState.POLLING:
            self._heard()
            self._emit_state()

    def _api_unreachable(self, _error: object) -> None:
        if self._state is LinkState.POLLING:
            self._set_state(LinkState.LOST)
            self._failures += 1
            self._plan_retry()

    # ------------------------------------------------------------ messages

    def _take(self, messages: list[tuple[Message, str]]) -> None:
        for message, last_id in messages:
            self._last_id = last_id or self._last_id
            self._handle(message)

    def _handle(self, message: Message) -> None:
        match message:
            case Heartbeat():
                self._note_source(message)
            case Bye():
                self._left(message)
            case Hello():
                self._fresh.clear()
                if self._boot and message.boot != self._boot:
                    _logger.info("the server was started anew")
                self._boot = message.boot
            case Snapshot():
                self.snapshot_received.emit(message.topic, message.data)
            case Diff():
                self.diff_received.emit(message.topic, message.data)
                self._tell_run(message)
            case Sample():
                self.worker_sample.emit(message.data)
            case LogPiece():
                self.log_chunk.emit(message.ti_id, message.offset, message.content, message.dispatch_no)

    def _tell_run(self, diff: Diff) -> None:
        """The changes of runs and of their tasks, for those who need no more."""
        runs = diff.data.get("runs")
        for run in (diff.data.get("run"), *(runs if isinstance(runs, list) else ())):
            if isinstance(run, dict):
                self.run_changed.emit(run)
        tasks = diff.data.get("tasks")
        if isinstance(tasks, list) and tasks and diff.topic.startswith("run:"):
            self.tasks_changed.emit(diff.topic.removeprefix("run:"), tasks)

    def _note_source(self, beat: Heartbeat) -> None:
        """A server without its sources is shown as stalled, unless nothing is asked of it or it has just begun."""
        is_without = beat.source == Source.NONE and bool(self._streamed)
        self._sourceless_beats = self._sourceless_beats + 1 if is_without else 0
        if self._sourceless_beats >= STALLED_BEATS:
            self._set_state(LinkState.STALLED)
        elif self._sourceless_beats == 0:
            self._set_state(LinkState.LIVE)

    def _left(self, bye: Bye) -> None:
        """The server closes the stream on purpose."""
        if bye.reason == SIGNED_OUT:
            self._close_stream()
            self._set_state(LinkState.LOST)
            self.sign_in_needed.emit()
        else:
            _logger.info("the server closes the stream: %s", bye.reason)

    # ------------------------------------------------------------ state

    def _heard(self) -> None:
        self._heard_at = self._clock()

    def _set_state(self, state: LinkState) -> None:
        if state is not self._state:
            self._state = state
            self._emit_state()

    def _tell_age(self) -> None:
        """While nothing is heard, say each second how old everything is."""
        if self._state in (LinkState.LOST, LinkState.CONNECTING) and int(self.age_seconds) != self._told_age:
            self._emit_state()

    def _emit_state(self) -> None:
        age = self.age_seconds
        self._told_age = int(age)
        self.link_state_changed.emit(self._state.value, age)
