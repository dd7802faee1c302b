"""Exports of the audit log: lines of JSON that carry the chain, so that they can be verified on their own.

Decides the form of a line and that an export which was cut short is told from a whole one. Does not read the database
(`dagdeck_io.db.audit_reading`) and judges nothing (`verification`). Called by `dagdeckd audit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dagdeck_core.errors import UserError
from dagdeck_io.audit.links import FORM, Link
from dagdeck_io.audit.seals import Seal, SealKind
from dagdeck_io.audit.verification import Verification

REMEDY = "Give a file that `dagdeckd audit export` wrote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Behind which link an export or a database begins, with the seals of that link."""

    sequence: int
    hash: str
    seals: tuple[Seal, ...] = ()
    is_excerpt: bool = False
    """There are earlier links, which were not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A record outside the chain. `is_old`: it should have been chained by now."""

    record: Mapping[str, Any]
    is_old: bool


Item = Beginning | Link | Seal | Stray


def lines_of(items: Iterable[Item]) -> Iterator[str]:
    """The lines of an export, without line breaks."""
    count = 0
    for item in items:
        count += 1
        yield _text(_as_line(item))
    yield _text({"kind": "end", "lines": count})


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _as_line(item: Item) -> dict[str, Any]:
    match item:
        case Beginning():
            return {"kind": "chain", "form": FORM, **asdict(item)}
        case Link():
            return {"kind": "record", **asdict(item)}
        case Seal():
            return {"kind": "seal", "seal": asdict(item)}
        case Stray():
            return {"kind": "unchained", "record": item.record, "is_old": item.is_old}


def items_of(lines: Iterable[str]) -> Iterator[Item]:
    """The items of an export. Raises UserError, with the line's number, for what is none or was cut short."""
    expected = 0
    is_whole = False
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            kind = line["kind"]
            if kind == "end":
                is_whole = int(line["lines"]) == expected
                continue
            if is_whole:
                raise ValueError("there is something behind its end")
            yield _item(kind, line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"line {number} is no line of an export: {error}", remedy=REMEDY) from None
        expected += 1
    if not is_whole:
        raise UserError("the export has no end, or not as many lines as it says: it was cut short", remedy=REMEDY)


def _item(kind: str, line: dict[str, Any]) -> Item:
    match kind:
        case "chain":
            if line["form"] != FORM:
                raise ValueError(f"form {line['form']} is not known to this version")
            return Beginning(
                sequence=int(line["sequence"]),
                hash=str(line["hash"]),
                seals=tuple(_seal(each) for each in line["seals"]),
                is_excerpt=bool(line["is_excerpt"]),
            )
        case "record":
            return Link(
                sequence=int(line["sequence"]),
                event_log_id=int(line["event_log_id"]),
                hash=str(line["hash"]),
                record=None if line["record"] is None else dict(line["record"]),
            )
        case "seal":
            return _seal(line["seal"])
        case "unchained":
            return Stray(record=dict(line["record"]), is_old=bool(line["is_old"]))
        case _:
            raise ValueError(f"nothing is called {kind!r}")


def _seal(values: Mapping[str, Any]) -> Seal:
    return Seal(
        sequence=int(values["sequence"]),
        kind=SealKind(values["kind"]),
        hash=str(values["hash"]),
        sealed_at=str(values["sealed_at"]),
        public_key=str(values["public_key"]),
        signature=str(values["signature"]),
    )


def judge(items: Iterable[Item], verification: Verification) -> None:
    """Feed a chain to a verification."""
    for item in items:
        match item:
            case Beginning():
                verification.begin(item.sequence, item.hash, list(item.seals), is_excerpt=item.is_excerpt)
            case Link():
                verification.link(item)
            case Seal():
                verification.seal(item)
            case Stray():
                verification.stray(int(item.record["event_log_id"]), is_old=item.is_old)
