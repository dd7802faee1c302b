"""The executor's sending half: committed dispatches become hints, revocations become messages.

Decides how dispatches are grouped into hints. Does not decide what is dispatched (the machine's
admission) and never sends anything before its commit: the scheduler's rounds call it afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import CHANGES, Broker, revocation_topic
from dagdeck_core.scheduling.decisions import (
    CreateRun,
    CreateTasks,
    Decision,
    DeleteRun,
    ExpandTask,
    MoveRun,
    MoveTask,
    Offer,
    RepinRun,
    Revoke,
    WriteNote,
)
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import HINT_LIMIT, Changed, Hint, Revoked

log = logging.getLogger(__name__)

HINTS_AT_LEAST = 8
"""Few dispatches are spread over about so many hints, so that several workers share them."""
CHANGES_PER_MESSAGE = 500


class Dispatcher:
    """Sends over one broker adapter; used by the scheduler's thread only."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def send(self, decisions: Sequence[Decision]) -> bool:
        """Send what these committed decisions ask for; False when the queue cannot be reached.

        What was not sent is not lost: the rows are committed, and the caller turns to the `ready` table.
        """
        try:
            for decision in decisions:
                if isinstance(decision, Offer):
                    self._broker.offer(decision.queue, hints_of(decision))
                elif isinstance(decision, Revoke):
                    revoked = Revoked(((decision.ti_id, decision.dispatch_no),))
                    self._broker.append(revocation_topic(decision.worker_id), [revoked])
        except EnvironmentFault as fault:
            log.warning("the queue cannot be reached, so work is offered in the database: %s", fault)
            return False
        return True

    def tell_changes(self, decisions: Sequence[Decision]) -> None:
        """Let live views know what moved. Losing this costs them a reading of the rows, so errors are swallowed."""
        moved = list(changes_of(decisions))
        if not moved:
            return
        messages = [
            Changed(tuple(moved[start : start + CHANGES_PER_MESSAGE]))
            for start in range(0, len(moved), CHANGES_PER_MESSAGE)
        ]
        try:
            self._broker.append(CHANGES, messages)
        except EnvironmentFault as fault:
            log.debug("live views were not told: %s", fault)


def changes_of(decisions: Iterable[Decision]) -> Iterator[tuple[int, int, str]]:
    """What committed decisions changed, as `Changed` names it: each run once, and each task instance that moved."""
    runs: dict[int, str] = {}
    for decision in decisions:
        match decision:
            case MoveTask():
                yield decision.run_key, decision.ti_id, decision.new.value
            case CreateRun():
                runs[decision.run.run_key] = decision.run.state.value
            case MoveRun():
                runs[decision.run_key] = decision.new.value
            case ExpandTask():
                yield from ((decision.run_key, ti_id, TaskInstanceState.NONE.value) for ti_id in decision.ti_ids)
                if decision.summary_id is not None and decision.is_last:
                    yield decision.run_key, decision.summary_id, TaskInstanceState.NONE.value
            case CreateTasks() | RepinRun() | DeleteRun() | WriteNote(ti_id=None):
                runs.setdefault(decision.run_key, "")
    yield from ((run_key, 0, state) for run_key, state in runs.items())


def hints_of(offer: Offer) -> list[Hint]:
    """The hints of an offer, highest priority first, each of at most HINT_LIMIT dispatches."""
    size = min(max(len(offer.dispatches) // HINTS_AT_LEAST, 1), HINT_LIMIT)
    pairs = [(ti_id, dispatch_no) for ti_id, dispatch_no, _ in offer.dispatches]
    return [Hint(tuple(pairs[start : start + size])) for start in range(0, len(pairs), size)]
