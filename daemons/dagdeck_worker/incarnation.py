"""Which registration of this worker is the current one.

Decides nothing; the lease thread changes it, all threads read it. Work done under an earlier registration is
void: its tasks have been given to others.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a worker says of itself when it registers."""

    name: str
    hostname: str
    slots: int
    queues: Sequence[str]
    version: str
    pid: int
    trigger_capacity: int = 0


class Incarnation:
    """The current worker_id; `lost` from the moment a lease is known to be lost until the next registration."""

    def __init__(self, identity: Identity, worker_id: int) -> None:
        self.identity = identity
        self.worker_id = worker_id
        self.lost = False
        self.may_register = threading.Event()
        """Set by the main loop when every process of the lost registration is dead."""

    def declare_lost(self) -> None:
        """The lease is gone."""
        self.may_register.clear()
        self.lost = True

    def renew_as(self, worker_id: int) -> None:
        """A new registration is in the database."""
        self.worker_id = worker_id
        self.lost = False
