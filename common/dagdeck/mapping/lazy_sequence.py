"""LazyXComSequence: what all instances of an expanded task gave, read as it is used.

Decides how it is read: in pages, and the length by a question of its own. Made when an XComArg is resolved; task
code sees it as a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

PAGE = 100
"""Values read with one question."""


class LazyXComSequence(Sequence[Any]):
    """The values pushed under `key` by the instances of `task_id`, by map index; those that pushed none are left out.

    `ti` is the task instance that reads. It behaves like a list that cannot be changed, and equals a list of the
    same values.
    """

    def __init__(self, task_id: str, key: str, ti: Any) -> None:
        self._task_id = task_id
        self._key = key
        self._ti = ti
        self._length: int | None = None
        self._page: tuple[int, list[Any]] = (0, [])

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._ti.count_xcoms(self._task_id, self._key)
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._read(start, stop - start) if stop > start else []
            return [self[position] for position in range(start, stop, step)]
        position = index.__index__()
        if position < 0:
            position += len(self)
        if position < 0:
            raise IndexError(index)
        begin, values = self._page
        if not begin <= position < begin + len(values):
            begin = position - position % PAGE
            values = self._read(begin, PAGE)
            self._page = (begin, values)
        if position - begin >= len(values):
            raise IndexError(index)
        return values[position - begin]

    def __iter__(self) -> Iterator[Any]:
        begin = 0
        while values := self._read(begin, PAGE):
            yield from values
            begin += len(values)
            if len(values) < PAGE:
                return

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return list(self) == list(other)

    def __hash__(self) -> int:
        return hash((self._task_id, self._key))

    def __repr__(self) -> str:
        if self._length is None:
            return "LazyXComSequence(<unevaluated length>)"
        return f"LazyXComSequence([{self._length} item{'' if self._length == 1 else 's'}])"

    def _read(self, begin: int, count: int) -> list[Any]:
        values: list[Any] = self._ti.read_xcoms(self._task_id, self._key, begin, count)
        return values
