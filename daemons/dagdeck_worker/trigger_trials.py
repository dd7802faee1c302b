"""Finding the trigger whose code kills the triggerer's process, among thousands that die with it.

Decides which triggers run in the next process after it has died several times in a row: half of the suspects at a time,
so that a dozen deaths find one among thousands while all others go on. Does not start or end anything (`trigger_host`
does). Pure of clocks: the caller says what time it is.
"""

from __future__ import annotations

from collections.abc import Iterable

DEATHS = 3
"""So many deaths in a row, each soon after the process began, raise suspicion."""
STEADY_SECONDS = 60.0
"""A process that lived so long has not died of what it was given at its start."""
PROVE_SECONDS = 5.0
"""Who ran so long in a trial is cleared."""


class Trials:
    """The suspects of one worker; empty nearly always."""

    def __init__(self) -> None:
        self._deaths = 0
        self._suspects: list[int] = []
        self._on_trial: list[int] = []
        self._since = 0.0

    def may_run(self, trigger_id: int) -> bool:
        """Whether this trigger may run now."""
        return not self._suspects or trigger_id not in self._suspects or trigger_id in self._on_trial

    def began(self, now: float) -> None:
        """A process was begun with those that may run. `now` is monotonic, as everywhere here."""
        self._since = now

    def died(self, running: Iterable[int], now: float) -> int | None:
        """The process died by itself while these ran: the trigger that must have killed it, once that is known."""
        found = list(running)
        if not self._suspects:
            self._deaths = self._deaths + 1 if now - self._since < STEADY_SECONDS else 1
            if self._deaths >= DEATHS:
                self._try(found)
            return None
        tried = [trigger_id for trigger_id in self._on_trial if trigger_id in found]
        if len(tried) == 1:
            self._try([])
            return tried[0]
        # The others did not run: whoever it was is among those that did.
        self._try(tried)
        return None

    def tick(self, now: float) -> list[int]:
        """Clear those that have run for long enough; the ids of those that may run as well from now on."""
        if not self._suspects or now - self._since < PROVE_SECONDS:
            return []
        cleared = set(self._on_trial)
        self._try([trigger_id for trigger_id in self._suspects if trigger_id not in cleared])
        self._since = now
        return list(self._on_trial)

    def forget(self, trigger_id: int) -> None:
        """A trigger is gone."""
        if trigger_id in self._suspects:
            self._suspects.remove(trigger_id)
            if trigger_id in self._on_trial:
                self._on_trial.remove(trigger_id)

    def _try(self, suspects: list[int]) -> None:
        self._suspects = suspects
        self._on_trial = suspects[: (len(suspects) + 1) // 2]
        if not suspects:
            self._deaths = 0
