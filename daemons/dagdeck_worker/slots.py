"""How many dispatches this worker may claim now, and which tasks are short enough to be claimed ahead.

Decides the room: free slots, and beyond them an allowance while everything that the worker holds is known to be
short. Does not claim (the consumer does) nor place tasks on runners (`runners`). The consumer waits and
holds, the main loop frees; both through `SlotGate`, which is thread-safe.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

PREFETCH_PER_SLOT = 16
KNOWN_TASKS = 20_000
"""Tasks whose durations are remembered."""
SHORT_IN_A_ROW = 32
"""After so many short ends of a DAG's tasks without a long one, a task of it that was never seen counts as short."""
MOST_AHEAD = 8
"""Tasks that one runner is sent ahead at most; its pipe holds 16 frames."""
AHEAD_SECONDS = 0.005
"""What is sent ahead is expected to take no longer in sum: it might as well run elsewhere."""
_WEIGHT = 0.3
"""Share of the newest duration in the moving average."""


class SlotGate:
    """Counts what is held: dispatches being claimed, waiting for a runner, or running."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._changed = threading.Condition()
        self._held = 0
        self._allowance = 0
        self._open = True

    def room(self) -> int:
        """How many more dispatches may be claimed now; 0 while closed."""
        with self._changed:
            return self._room()

    def free_slots(self) -> int:
        """Slots that nothing occupies, claims under way included."""
        with self._changed:
            return max(0, self.slots - self._held) if self._open else 0

    def await_room(self, timeout: float) -> int:
        """Wait until claiming is worth while, at most `timeout` seconds; the room then, 0 when it still is not.

        Any free slot is worth a claim. The allowance beyond the slots is filled again when half of it is used
        up: claiming every few tasks anew would cost more than short tasks themselves.
        """
        with self._changed:
            self._changed.wait_for(self._is_worth_claiming, timeout)
            return self._room() if self._is_worth_claiming() else 0

    def hold(self, count: int) -> None:
        """Occupy room for dispatches that are being claimed. Only the consumer's thread does this."""
        with self._changed:
            self._held += count

    def free(self, count: int = 1) -> None:
        """Give room back: a claim was not won, or a dispatch has ended."""
        if count:
            with self._changed:
                self._held -= count
                if self._is_worth_claiming():
                    self._changed.notify_all()

    def allow(self, ahead: int) -> None:
        """Set how many dispatches may be held beyond the slots."""
        if ahead != self._allowance:
            with self._changed:
                self._allowance = ahead
                if self._is_worth_claiming():
                    self._changed.notify_all()

    def set_open(self, open_: bool) -> None:
        """Let dispatches be claimed, or none."""
        with self._changed:
            self._open = open_
            self._changed.notify_all()

    def _is_worth_claiming(self) -> bool:
        room = self._room()
        return room > 0 and room >= self._allowance // 2

    def _room(self) -> int:
        return max(0, self.slots + self._allowance - self._held) if self._open else 0


class Durations:
    """Moving averages of tasks' durations, and how long a row of short ends each DAG has shown."""

    def __init__(self, *, short_below: float, limit: int, slots: int) -> None:
        self.short_below = short_below
        """Seconds."""
        self._ahead = min(limit, PREFETCH_PER_SLOT * slots)
        self._averages: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._short_in_a_row: OrderedDict[str, int] = OrderedDict()
        self._of_dag: OrderedDict[str, float] = OrderedDict()
        """Moving averages over all tasks of a DAG; infinite for one whose tasks send requests."""

    def seen(self, dag_id: str, task_id: str, seconds: float) -> None:
        """Note that the task ran for `seconds`, or has run for so long already."""
        key = (dag_id, task_id)
        average = self._averages.get(key)
        self._averages[key] = seconds if average is None else average + _WEIGHT * (seconds - average)
        self._averages.move_to_end(key)
        if len(self._averages) > KNOWN_TASKS:
            self._averages.popitem(last=False)
        self._short_in_a_row[dag_id] = self._short_in_a_row.get(dag_id, 0) + 1 if seconds < self.short_below else 0
        self._short_in_a_row.move_to_end(dag_id)
        if len(self._short_in_a_row) > KNOWN_TASKS:
            self._short_in_a_row.popitem(last=False)

        average = self._of_dag.get(dag_id)
        if average is None:
            self._of_dag[dag_id] = seconds
        elif average < math.inf:
            self._of_dag[dag_id] = average + _WEIGHT * (seconds - average)
        if len(self._of_dag) > KNOWN_TASKS:
            self._of_dag.popitem(last=False)

    def asks(self, dag_id: str) -> None:
        """Note that a task of the DAG waits for answers: a runner gives back what it was sent ahead meanwhile."""
        self._of_dag[dag_id] = math.inf
        self._of_dag.move_to_end(dag_id)

    def ahead(self, dag_id: str) -> int:
        """How many tasks of the DAG a runner may be sent behind the one that it executes."""
        average = self._of_dag.get(dag_id, math.inf)
        return min(MOST_AHEAD, int(AHEAD_SECONDS / average)) if average > 0.0 else MOST_AHEAD

    def is_short(self, dag_id: str, task_id: str) -> bool:
        """Whether the task is taken to be short: as it was before, or else as the last tasks of its DAG were."""
        average = self._averages.get((dag_id, task_id))
        if average is None:
            return self._short_in_a_row.get(dag_id, 0) >= SHORT_IN_A_ROW
        return average < self.short_below

    def allowance(self, held: int, not_short: int) -> int:
        """Dispatches that may be claimed beyond the slots while `held` are there, `not_short` of them not short."""
        return self._ahead if held and not not_short else 0
