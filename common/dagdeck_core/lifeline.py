"""What a daemon's loops tell whoever watches the process: that they go round, what they do, that they are ending.

Decides the three words only. This one is watched by nobody; the composition root gives a daemon one that is
(`dagdeckd.watching`). Called by the loop that matters in each daemon, never by a thread of its own: a thread lives on
when the loop hangs.
"""

from __future__ import annotations


class Lifeline:
    """Nobody watches. `alive` is called often and costs next to nothing."""

    def alive(self) -> None:
        """The loop has come round once more."""

    def status(self, text: str) -> None:
        """Say in one line what the daemon does now."""

    def stopping(self, text: str) -> None:
        """The daemon ends, in its own time."""


UNWATCHED = Lifeline()
