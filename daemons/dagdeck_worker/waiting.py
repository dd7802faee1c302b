"""The claimed dispatches that wait for a runner, by the code that they need.

Decides their order: first come, first served within the same code, and between codes by who waits longest. Does not
decide which runner serves whom (`runners`). Owned by the main loop's `execution`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from dagdeck_worker.dispatches import Code, Dispatch


class WaitingLine:
    """See the module. Dispatches in it have a `code`."""

    def __init__(self) -> None:
        self._groups: dict[Code, deque[Dispatch]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, dispatch: Dispatch) -> None:
        """Put it at the end."""
        assert dispatch.code is not None
        group = self._groups.get(dispatch.code)
        if group is None:
            group = self._groups[dispatch.code] = deque()
        group.append(dispatch)

    def put_back(self, dispatch: Dispatch) -> None:
        """Put it at the beginning: it was here before."""
        assert dispatch.code is not None
        self._groups.setdefault(dispatch.code, deque()).appendleft(dispatch)

    def groups(self) -> list[tuple[Code, deque[Dispatch]]]:
        """Every code that is waited for with its dispatches, the one whose first has waited longest first.

        The caller may take from the left of each and calls `tidy` after that.
        """
        if len(self._groups) < 2:
            return list(self._groups.items())
        return sorted(self._groups.items(), key=lambda item: item[1][0].claimed_at)

    def tidy(self) -> None:
        """Forget codes that nobody waits for any more."""
        for code in [code for code, group in self._groups.items() if not group]:
            del self._groups[code]

    def discard(self, dispatch: Dispatch) -> None:
        """Take it out if it is here."""
        group = self._groups.get(dispatch.code) if dispatch.code is not None else None
        if group is not None and dispatch in group:
            group.remove(dispatch)
            self.tidy()

    def overdue(self, claimed_before: float) -> Iterator[Dispatch]:
        """Take out, one by one, those that were claimed before that monotonic time."""
        for group in list(self._groups.values()):
            while group and group[0].claimed_at < claimed_before:
                yield group.popleft()
        self.tidy()

    def clear(self) -> None:
        """Forget all."""
        self._groups.clear()
