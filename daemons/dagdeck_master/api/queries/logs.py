"""A try's log out of its stored pieces.

Decides how pieces of several dispatches become one log, where a reader may stop and go on, and how a line is taken
apart. The database's pieces are the truth; a piece that is not there yet ends the answer. Called by the log routes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_core.states import DISPATCHED
from dagdeck_io.db.tables import log_chunk
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.models.own import LogRangeResponse
from dagdeck_master.api.models.runs import StructuredLogMessage
from dagdeck_master.api.queries.versions import unpacked

PIECE = 1024 * 1024
"""Bytes of a log in one answer, unless all of it was asked for."""
WHOLE = 32 * 1024 * 1024
"""Most bytes in one answer even then; a continuation token leads on."""
_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) "
    r"(?P<level>[A-Z]{4,8}) +(?P<logger>\S+) {2}(?P<text>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands: a dispatch, and bytes of its log already read."""

    dispatch_no: int
    offset: int

    def token(self) -> str:
        """For the next request."""
        data = msgspec.json.encode([self.dispatch_no, self.offset])
        return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")

    @classmethod
    def of_token(cls, token: str) -> Place:
        """Raises ApiProblem 400 when `token` is not one of ours."""
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            dispatch_no, offset = msgspec.json.decode(data, type=tuple[int, int])
        except (ValueError, msgspec.MsgspecError):
            raise ApiProblem(400, "Bad Signature. Please use only the tokens provided by the API.") from None
        return cls(dispatch_no, offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPart:
    """A part of a try's log, ending at a line's end unless it is the last; `next` is None when nothing will follow."""

    data: bytes
    next: Place | None


def read_try(connection: sa.Connection, ti: Any, try_number: int, place: Place | None, limit: int) -> LogPart:
    """The part of a try's log after `place`. Raises ApiProblem 404 for a try that never was."""
    dispatches = _dispatches(connection, ti, try_number)
    collected: list[bytes] = []
    room = limit
    here = place or Place(dispatches[0] if dispatches else 0, 0)
    for dispatch_no in dispatches:
        if dispatch_no < here.dispatch_no:
            continue
        if dispatch_no > here.dispatch_no:
            here = Place(dispatch_no, 0)
        data = _bytes_from(connection, ti.ti_id, dispatch_no, here.offset, room)
        is_over = not _is_live(ti, dispatch_no) and len(data) < room
        if not is_over:
            data = _whole_lines(data, room)
        collected.append(data)
        room -= len(data)
        here = Place(dispatch_no, here.offset + len(data))
        if not is_over:
            return LogPart(data=b"".join(collected), next=here)
    may_follow = try_number == ti.try_number and ti.state in DISPATCHED
    return LogPart(data=b"".join(collected), next=here if may_follow else None)


def _dispatches(connection: sa.Connection, ti: Any, try_number: int) -> list[int]:
    """Dispatches of a try that have a log, oldest first, and the live one. Raises ApiProblem 404."""
    statement = (
        sa.select(log_chunk.c.dispatch_no)
        .where(log_chunk.c.ti_id == ti.ti_id, log_chunk.c.try_number == try_number)
        .distinct()
        .order_by(log_chunk.c.dispatch_no)
    )
    found = list(connection.execute(statement).scalars())
    if try_number == ti.try_number and ti.dispatch_no and ti.dispatch_no not in found and ti.state in DISPATCHED:
        found.append(ti.dispatch_no)
    if not found and not 0 <= try_number <= ti.try_number:
        not_found("The Task Instance", task_id=ti.task_id, try_number=try_number)
    return found


def _is_live(ti: Any, dispatch_no: int) -> bool:
    return bool(ti.dispatch_no == dispatch_no and ti.state in DISPATCHED)


def _whole_lines(data: bytes, room: int) -> bytes:
    """`data` up to its last line's end; a single line that fills all room is given as it is."""
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) >= room:
        return _whole_characters(data)
    return data[:end]


def _whole_characters(data: bytes) -> bytes:
    """`data` without the beginning of a UTF-8 character at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
    return data


def _bytes_from(connection: sa.Connection, ti_id: int, dispatch_no: int, offset: int, limit: int) -> bytes:
    """At most `limit` bytes of a dispatch's log from `offset` on, up to the first gap."""
    parts: list[bytes] = []
    room = limit
    for start, size in _pieces(connection, ti_id, dispatch_no):
        if start + size <= offset:
            continue
        if start > offset or room <= 0:
            break
        data = _piece(connection, ti_id, dispatch_no, start)[offset - start :][:room]
        parts.append(data)
        room -= len(data)
        offset += len(data)
    return b"".join(parts)


def _pieces(connection: sa.Connection, ti_id: int, dispatch_no: int) -> Sequence[tuple[int, int]]:
    """(offset, size) of a dispatch's pieces."""
    statement = (
        sa.select(log_chunk.c.offset, log_chunk.c.size)
        .where(log_chunk.c.ti_id == ti_id, log_chunk.c.dispatch_no == dispatch_no)
        .order_by(log_chunk.c.offset)
    )
    return [(row.offset, row.size) for row in connection.execute(statement)]


def _piece(connection: sa.Connection, ti_id: int, dispatch_no: int, offset: int) -> bytes:
    row = connection.execute(
        sa.select(log_chunk.c.encoding, log_chunk.c.data).where(
            log_chunk.c.ti_id == ti_id, log_chunk.c.dispatch_no == dispatch_no, log_chunk.c.offset == offset
        )
    ).one_or_none()
    return b"" if row is None else unpacked(row.encoding, row.data)


def read_range(
    connection: sa.Connection, ti: Any, *, try_number: int | None, dispatch_no: int | None, offset: int, limit: int
) -> LogRangeResponse:
    """Bytes of one dispatch's log: the given one, or the last of the given or the last try."""
    number = ti.try_number if try_number is None else try_number
    if dispatch_no is None:
        dispatches = _dispatches(connection, ti, number)
        dispatch_no = dispatches[-1] if dispatches else ti.dispatch_no
    pieces = _pieces(connection, ti.ti_id, dispatch_no)
    size = max((start + length for start, length in pieces), default=0)
    data = _bytes_from(connection, ti.ti_id, dispatch_no, offset, limit)
    if offset + len(data) < size or _is_live(ti, dispatch_no):
        data = _whole_characters(data)
    following = offset + len(data)
    return LogRangeResponse(
        text=data.decode("utf-8", "replace"),
        offset=offset,
        next_offset=following,
        size=size,
        is_complete=following >= size and not _is_live(ti, dispatch_no),
        try_number=number,
        dispatch_no=dispatch_no,
    )


def messages(data: bytes) -> Iterator[StructuredLogMessage]:
    """The lines of a log, taken apart; what does not look like a log record is an event without a time."""
    for line in data.decode("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line)
        at = None if found is None else _instant(found["at"])
        if found is None or at is None:
            yield StructuredLogMessage(timestamp=None, event=line, level=None, logger=None)
        else:
            yield StructuredLogMessage(
                timestamp=at, event=found["text"], level=found["level"].lower(), logger=found["logger"]
            )


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
