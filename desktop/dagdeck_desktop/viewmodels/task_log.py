"""The log of one task instance's try: what is stored by REST in pieces, then what is added by the live feed.

Decides which bytes come from where, so that none is missing and none comes twice. Does not draw (`log`). Used by
`views.task_panel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from dagdeck_client.models import LogRange
from dagdeck_client.requests.runs import read_log
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live import Feed, LinkState, log_topic
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import Phase, ViewModel, number_of

POLL_MILLISECONDS = 1_500
"""How often an unfinished log is asked for where the stream does not bring it."""
PIECE = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlace:
    """Which log: a task instance, and a try or None for the newest."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    ti_id: str = ""
    try_number: int | None = None


class TaskLogModel(ViewModel):
    """The bytes of a log in order. `restarted` says that all so far is to be thrown away, `appended(bytes)` adds."""

    WHAT = "The log could not be loaded"
    restarted = Signal()
    appended = Signal(bytes)

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.place: LogPlace | None = None
        self.end = 0
        """Bytes that are known, from the beginning on."""
        self.is_complete = False
        self.try_number = 0
        self._dispatch_no: int | None = None
        self._number = 0
        self._is_asking = False
        self._waiting: list[tuple[int, bytes]] = []
        self._poll = QTimer(self, singleShot=True, interval=POLL_MILLISECONDS)
        self._poll.timeout.connect(self._ask)
        feed.log_chunk.connect(self._piece_came)

    def open(self, place: LogPlace | None) -> None:
        """Show another log, or none."""
        if place == self.place:
            return
        self.place = place
        self._restart(None)
        self.phase = Phase.LOADING
        self.changed.emit()
        self.follow_anew()
        if self.is_active:
            self.load()

    @property
    def topic(self) -> str | None:
        place = self.place
        # Earlier tries no longer grow; the topic is always that of the newest dispatch.
        if place is None or not place.ti_id or place.try_number is not None:
            return None
        return log_topic(place.ti_id)

    @property
    def is_growing(self) -> bool:
        """True while more may come."""
        return self.phase is Phase.READY and not self.is_complete

    def deactivate(self) -> None:
        super().deactivate()
        self._poll.stop()

    def load(self) -> None:
        self._ask()

    # ------------------------------------------------------------ by REST

    def _ask(self) -> None:
        place = self.place
        if place is None or self._is_asking or not self.is_active:
            return
        self._is_asking = True
        number = self._number
        request = read_log(
            place.dag_id,
            place.run_id,
            place.task_id,
            try_number=place.try_number if self._dispatch_no is None else None,
            dispatch_no=self._dispatch_no,
            map_index=place.map_index,
            offset=self.end,
            limit=PIECE,
        )
        self.ask(request, lambda piece: self._range_came(number, piece), lambda error: self._missing(number, error))

    def _range_came(self, number: int, piece: LogRange) -> None:
        if number != self._number:
            return
        self._is_asking = False
        if self._dispatch_no is None:
            self._dispatch_no = piece.dispatch_no
        elif piece.dispatch_no is not None and piece.dispatch_no != self._dispatch_no:
            self._restart(piece.dispatch_no)
            self._ask()
            return
        self.try_number = piece.try_number
        # Offsets count bytes as stored; what could not be read as UTF-8 has another length as text.
        self._add(piece.offset, piece.text.encode(), piece.next_offset)
        self.is_complete = piece.is_complete and piece.next_offset >= piece.size
        self.ready()
        if piece.next_offset < piece.size:
            self._ask()
            return
        self._add_waiting()
        self._plan()

    def _missing(self, number: int, error: DagDeckError) -> None:
        if number != self._number:
            return
        self._is_asking = False
        if getattr(error, "status", None) == 404 and self.end == 0:
            # Nothing was written yet: the task has not started.
            self.ready()
            self._plan()
            return
        self.not_loaded(error)
        self._plan()

    def _plan(self) -> None:
        """Ask again in a moment, where the stream does not bring the rest."""
        if self.is_active and not self.is_complete and not (self.follows_stream and self.feed.state is LinkState.LIVE):
            self._poll.start()

    # ------------------------------------------------------------ by the feed

    def take_snapshot(self, data: Any) -> None:
        if not isinstance(data, dict):
            return
        dispatch_no = data.get("dispatch_no")
        if isinstance(dispatch_no, int) and self._dispatch_no is not None and dispatch_no != self._dispatch_no:
            self._restart(dispatch_no)
        if (number_of(data, "size") or 0) > self.end or not self.is_complete:
            self._ask()

    def take_diff(self, data: dict[str, Any]) -> None:
        size = data.get("size")
        if data.get("is_complete") and isinstance(size, int):
            if self.end >= size:
                self.is_complete = True
                self.changed.emit()
            else:
                self._ask()

    def _piece_came(self, ti_id: str, offset: int, content: bytes, dispatch_no: int) -> None:
        place = self.place
        if not self.is_active or place is None or ti_id != place.ti_id or place.try_number is not None:
            return
        if self._dispatch_no is not None and dispatch_no != self._dispatch_no:
            self._restart(dispatch_no)
        if self._is_asking or self._dispatch_no is None:
            self._waiting.append((offset, content))
            return
        self._take_piece(offset, content)

    def _take_piece(self, offset: int, content: bytes) -> None:
        if offset > self.end:
            self._waiting.append((offset, content))
            self._ask()
            return
        self._add(offset, content, offset + len(content))

    def _add_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for offset, content in sorted(waiting, key=lambda each: each[0]):
            self._take_piece(offset, content)

    # ------------------------------------------------------------ bytes

    def _add(self, offset: int, content: bytes, next_offset: int) -> None:
        """Take what is new of a piece that begins at or before the end."""
        if offset > self.end or next_offset <= self.end:
            return
        new = content[self.end - offset :]
        self.end = next_offset
        if new:
            self.appended.emit(new)

    def _restart(self, dispatch_no: int | None) -> None:
        self._number += 1
        self._dispatch_no = dispatch_no
        self._is_asking = False
        self.end, self.is_complete, self.try_number = 0, False, 0
        self._waiting.clear()
        self._poll.stop()
        self.restarted.emit()
