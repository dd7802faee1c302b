"""One dispatch's output on its way from the runner's file to log chunks.

Decides what is shipped when, that secrets are masked in it, and what is kept of too much: the head, a notice
of how much was left out, and the last lines. It knows the task's secrets, so it also says what of an XCom people may
see. Does not store (the committer does). Called by the main loop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from dagdeck_core.ports import LogChunk
from dagdeck_core.process_port import ProcessHost

CHUNK_BYTES = 256 * 1024
TAIL_BYTES = 64 * 1024
"""Kept of the end of an output that is too long."""
HELD_BACK_BYTES = 8 * 1024
"""Longest unfinished line that waits for its end."""
MASK = b"***"
SHORTEST_SECRET = 3


def log_line(level: str, message: str) -> bytes:
    """A line of the worker's own for a task's log, in the form that tasks' lines have."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"{stamp} {level:<5} dagdeck.worker  {message}\n".encode()


def _is_json(text: str) -> bool:
    """Whether hiding has left it JSON: a number that was a secret has not."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class LogCapture:
    """Reads a dispatch's output piece by piece. `max_bytes` bounds what is kept of it."""

    def __init__(self, *, ti_id: int, dispatch_no: int, try_number: int, max_bytes: int) -> None:
        self._ti_id = ti_id
        self._dispatch_no = dispatch_no
        self._try_number = try_number
        self._head_limit = max(max_bytes - TAIL_BYTES, TAIL_BYTES)
        self._secrets: set[bytes] = set()
        self._pattern: re.Pattern[bytes] | None = None
        self._read = 0
        """Bytes of the runner's file that have been dealt with."""
        self._seen = 0
        """Its bytes at the last look."""
        self._shipped = 0
        """Bytes that went into chunks, after masking."""
        self._last_shipped_at = 0.0

    @property
    def shipped(self) -> int:
        """Bytes that have gone into chunks: the dispatch's log goes on there."""
        return self._shipped

    def mask(self, secret: str) -> None:
        """Hide `secret` in everything shipped from now on. Very short values would blacken everything; they stay."""
        data = secret.encode()
        if len(data) >= SHORTEST_SECRET and data not in self._secrets:
            self._secrets.add(data)
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile(b"|".join(map(re.escape, longest_first)))

    def hide(self, value: str) -> tuple[str, tuple[str, ...]] | None:
        """The JSON text `value` with the secrets in it hidden, and these; None when none occurs, as in most tasks."""
        if self._pattern is None:
            return None
        spelt: dict[str, str] = {}
        for secret in sorted(each.decode() for each in self._secrets):
            for in_json in (json.dumps(secret, ensure_ascii=False), json.dumps(secret)):
                spelt[in_json[1:-1]] = secret
        longest_first = sorted(spelt, key=lambda text: (-len(text), text))
        pattern = re.compile("|".join(map(re.escape, longest_first)))
        found = {spelt[match] for match in pattern.findall(value)}
        if not found:
            return None
        shown = pattern.sub(MASK.decode(), value)
        return (shown if _is_json(shown) else f'"{MASK.decode()}"'), tuple(sorted(found))

    def due(
        self, host: ProcessHost, runner_id: int, now: float, *, interval: float, ship_bytes: int
    ) -> Iterator[LogChunk]:
        """Chunks to store now, while the task runs: after `interval` seconds or `ship_bytes` of new output.

        Of what had been written at the last call: secrets that the task had told before it wrote that have been heard
        since, those of what it writes now may still be on their way.
        """
        size, self._seen = self._seen, host.output_size(runner_id)
        fresh = size - self._read
        if fresh >= ship_bytes or (fresh > 0 and now - self._last_shipped_at >= interval):
            self._last_shipped_at = now
            yield from self._ship(host, runner_id, size, is_end=False)

    def rest(
        self, host: ProcessHost, runner_id: int, size: int, *, closing: bytes = b"", known: bytes = b""
    ) -> list[LogChunk]:
        """The last chunks of the output, whose size is `size`, followed by the line `closing`.

        `known` is the whole output where the runner sent it along.
        """
        if self._read == 0 and size and len(known) == size:
            self._read = size
            chunks = [self._chunk(known)]
        else:
            chunks = list(self._ship(host, runner_id, size, is_end=True)) if size > self._read else []
        if closing:
            chunks.append(self._chunk(closing))
        return chunks

    def line(self, text: bytes) -> LogChunk:
        """A chunk for a line of the worker's own."""
        return self._chunk(text)

    def _ship(self, host: ProcessHost, runner_id: int, size: int, *, is_end: bool) -> Iterator[LogChunk]:
        head_end = min(size, self._head_limit)
        while self._read < head_end:
            data = host.read_output(runner_id, self._read, min(CHUNK_BYTES, head_end - self._read))
            if not data:
                return
            goes_on = self._read + len(data) < head_end or (head_end == size and not is_end)
            if goes_on:
                data = self._cut(data)
                if not data:
                    break
            self._read += len(data)
            yield self._chunk(data)
        if size > self._head_limit:
            yield from self._skip(host, runner_id, size, is_end=is_end)
        host.discard_output(runner_id, self._read)

    def _skip(self, host: ProcessHost, runner_id: int, size: int, *, is_end: bool) -> Iterator[LogChunk]:
        """Pass over the middle of an output that is too long."""
        tail_start = max(self._head_limit, size - TAIL_BYTES)
        if not is_end:
            self._read = max(self._read, tail_start)
            return
        dropped = tail_start - self._head_limit
        if dropped:
            yield self._chunk(
                log_line("WARNING", f"{dropped:,} bytes of output are left out here: the log of one try is limited")
            )
        yield self._chunk(host.read_output(runner_id, tail_start, size - tail_start))
        self._read = size

    def _cut(self, data: bytes) -> bytes:
        """`data` without an unfinished last line, while there are secrets that its end could cut in two."""
        if self._pattern is None:
            return data
        end = data.rfind(b"\n") + 1
        return data[:end] if len(data) - end < HELD_BACK_BYTES else data

    def _chunk(self, data: bytes) -> LogChunk:
        if self._pattern is not None:
            data = self._pattern.sub(MASK, data)
        chunk = LogChunk(
            ti_id=self._ti_id,
            dispatch_no=self._dispatch_no,
            try_number=self._try_number,
            offset=self._shipped,
            data=data,
        )
        self._shipped += len(data)
        return chunk
