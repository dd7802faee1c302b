"""What is selected in a log: from one place to another, each a line and a column of its shown text.

Decides what copying takes: whole lines as they were written, pieces as they are shown. Used by `area`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """A gap between characters: in a line (number in the buffer) before a column."""

    line: int
    column: int


@dataclass(slots=True)
class Selection:
    """From where the mouse went down to where it is."""

    anchor: Place
    head: Place

    @property
    def first(self) -> Place:
        """The earlier end."""
        return min(self.anchor, self.head)

    @property
    def last(self) -> Place:
        """The later end."""
        return max(self.anchor, self.head)

    @property
    def is_empty(self) -> bool:
        """True when nothing is between the ends."""
        return self.anchor == self.head

    def columns_in(self, line: int, length: int) -> tuple[int, int] | None:
        """The selected columns of a line whose shown text has a length; the end is one more where the line's end is
        selected too."""
        first, last = self.first, self.last
        if self.is_empty or not first.line <= line <= last.line:
            return None
        begin = first.column if line == first.line else 0
        end = last.column if line == last.line else length + 1
        return (begin, end) if begin < end else None

    def dropped(self, lines: int) -> Selection | None:
        """The same after a buffer dropped its first lines; None when nothing is left."""
        moved = [Place(place.line - lines, place.column) for place in (self.anchor, self.head)]
        if all(place.line < 0 for place in moved):
            return None
        kept = [place if place.line >= 0 else Place(0, 0) for place in moved]
        return Selection(kept[0], kept[1])
