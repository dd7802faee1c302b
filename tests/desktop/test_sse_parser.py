"""The event-stream format, in pieces of any size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagdeck_desktop.live.sse import MalformedStream, SseEvent, SseParser

TEXTS = st.text(alphabet="ab:é😀 {}", max_size=8)
FIELDS = st.one_of(
    st.tuples(st.sampled_from(["data", "data", "event", "id", "", "unknown"]), st.sampled_from(["", " "]), TEXTS),
    st.none(),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[SseEvent]]:
    """A stream, and its events by the standard's plain words; None stands for a blank line."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines: list[str] = []
    events: list[SseEvent] = []
    kind, data, last_id = "", list[str](), ""
    for drawn in draw(st.lists(FIELDS, max_size=15)):
        if drawn is None:
            lines.append("")
            if data:
                events.append(SseEvent(kind=kind or "message", data="\n".join(data).encode(), last_id=last_id))
            kind, data = "", []
            continue
        name, blank, text = drawn
        lines.append(f"{name}:{blank}{text}")
        value = (blank + text).removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            last_id = value
    return "".join(line + newline for line in lines).encode(), events


@settings(max_examples=60)
@given(streams(), st.lists(st.integers(1, 7), min_size=1), st.booleans())
def test_pieces_of_any_size_give_the_same_events(
    stream: tuple[bytes, list[SseEvent]], sizes: list[int], has_mark: bool
) -> None:
    text, expected = stream
    content = (b"\xef\xbb\xbf" if has_mark else b"") + text
    parser, found, at, turn = SseParser(), [], 0, 0
    while at < len(content):
        size = sizes[turn % len(sizes)]
        found += parser.feed(content[at : at + size])
        at, turn = at + size, turn + 1
    assert found == expected


@settings(max_examples=60)
@given(streams())
def test_the_whole_stream_at_once(stream: tuple[bytes, list[SseEvent]]) -> None:
    text, expected = stream
    assert SseParser().feed(text) == expected


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_break_it(content: bytes, size: int) -> None:
    parser = SseParser()
    for at in range(0, len(content), size):
        parser.feed(content[at : at + size])


def test_the_standards_own_example() -> None:
    text = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert SseParser("0").feed(text) == [
        SseEvent(kind="message", data=b"first event", last_id="1"),
        SseEvent(kind="message", data=b"second event", last_id=""),
        SseEvent(kind="message", data=b" third event", last_id=""),
    ]


def test_an_event_without_its_blank_line_is_not_given() -> None:
    parser = SseParser()
    assert parser.feed(b"event: diff\ndata: {}\n") == []
    assert parser.feed(b"\n") == [SseEvent(kind="diff", data=b"{}", last_id="")]


def test_the_last_id_is_kept_for_events_without_one() -> None:
    parser = SseParser("boot-1")
    (event,) = parser.feed(b"data: x\n\n")
    assert event.last_id == "boot-1"
    parser.feed(b"id: boot-2\ndata: y\n\nid: bad\0id\ndata: z\n\n")
    assert parser.last_id == "boot-2"


def test_an_event_that_never_ends_is_refused() -> None:
    parser = SseParser(max_event_bytes=1_000)
    for _ in range(60):
        parser.feed(b"data: 0123456789\n")
    with pytest.raises(MalformedStream, match="more than"):
        parser.feed(b"data: 0123456789\n" * 40)


def test_a_line_that_never_ends_is_refused() -> None:
    with pytest.raises(MalformedStream):
        SseParser(max_event_bytes=1_000).feed(b"data: " + b"x" * 2_000)


def test_long_lines_are_searched_once() -> None:
    """A megabyte in pieces of a hundred bytes takes a moment, not minutes."""
    parser = SseParser()
    piece = b"x" * 100
    parser.feed(b"data: ")
    for _ in range(10_000):
        parser.feed(piece)
    (event,) = parser.feed(b"\n\n")
    assert len(event.data) == 1_000_000


def test_the_servers_wish_to_wait_is_read() -> None:
    parser = SseParser()
    parser.feed(b"retry: 1500\nretry: soon\n\n")
    assert parser.retry_milliseconds == 1_500
