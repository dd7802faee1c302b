"""The lease: a counter in the database that says this worker lives, and the deadline that follows from it.

Decides when it is raised, and until when tasks may run: 0.7 of the lease's time after the last confirmed renewal
was *sent*. The process host enforces that deadline even when this process stands still. Has a thread and a database
connection of its own, so that it never waits behind the committer. When the lease is lost, registers anew
after every process of the lost registration is dead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import LeaseLost, WorkerStore
from dagdeck_core.process_port import ProcessHost
from dagdeck_worker.incarnation import Incarnation
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

SAFE_SHARE = 0.7
"""Share of the lease's time in which this worker's tasks may run on after a renewal was sent."""
RENEWALS_PER_LEASE = 10
LONGEST_RENEWAL_PAUSE = 2.0
RETRY_PAUSE = 0.25
DRAIN_CHECK_SECONDS = 2.0


class LeaseKeeper(WorkerThread):
    """See the module. Callbacks run in this thread: `on_revoked` gets (ti_id, dispatch_no) pairs, `on_drain` whether an
    operator asked the worker to take nothing new, `on_lost` the worker_id of the lost registration, `on_registered`
    nothing.
    """

    def __init__(
        self,
        store: WorkerStore,
        host: ProcessHost,
        incarnation: Incarnation,
        *,
        lease_timeout: float,
        on_revoked: Callable[[list[tuple[int, int]]], None],
        on_drain: Callable[[bool], None],
        on_lost: Callable[[int], None],
        on_registered: Callable[[], None],
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("lease", on_crash)
        self._store = store
        self._host = host
        self._incarnation = incarnation
        self._lease_timeout = lease_timeout
        self._pause = min(lease_timeout / RENEWALS_PER_LEASE, LONGEST_RENEWAL_PAUSE)
        self._on_revoked = on_revoked
        self._on_drain = on_drain
        self._on_lost = on_lost
        self._on_registered = on_registered
        self._next_drain_check = 0.0

    def _run(self) -> None:
        while not self.stopping.is_set():
            self._goes_on()
            try:
                self._renew()
                pause = self._pause
            except LeaseLost:
                self._register_anew()
                pause = 0.0
            except EnvironmentFault as error:
                _log.warning("the lease could not be renewed; trying again: %s", error.message)
                pause = RETRY_PAUSE
            self.stopping.wait(pause)

    def _renew(self) -> None:
        worker_id = self._incarnation.worker_id
        if self._incarnation.lost:
            raise LeaseLost("the lease was found lost while results were stored")
        sent = self._host.boot_clock()
        revoked = self._store.renew(worker_id)
        self._host.set_deadline(sent + SAFE_SHARE * self._lease_timeout)
        if revoked:
            self._on_revoked(revoked)
        if time.monotonic() >= self._next_drain_check:
            self._next_drain_check = time.monotonic() + DRAIN_CHECK_SECONDS
            self._on_drain(self._store.is_draining(worker_id))

    def _register_anew(self) -> None:
        lost = self._incarnation.worker_id
        _log.warning("the lease of worker %s is lost: its tasks are ended and it registers anew", lost)
        self._incarnation.declare_lost()
        self._on_lost(lost)
        while not self.stopping.is_set():
            self._goes_on()
            if self._incarnation.may_register.wait(0.5) and self._register():
                return

    def _register(self) -> bool:
        identity = self._incarnation.identity
        try:
            worker_id = self._store.register(
                name=identity.name,
                hostname=identity.hostname,
                slots=identity.slots,
                queues=identity.queues,
                version=identity.version,
                pid=identity.pid,
                trigger_capacity=identity.trigger_capacity,
            )
        except EnvironmentFault as error:
            _log.warning("the worker could not register anew; trying again: %s", error.message)
            self.stopping.wait(RETRY_PAUSE)
            return False
        self._incarnation.renew_as(worker_id)
        _log.info("registered anew as worker %s", worker_id)
        self._on_registered()
        return True
