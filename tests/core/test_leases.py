"""Leases: when silence proves that a worker is gone."""

from __future__ import annotations

import msgspec
import pytest

from dagdeck_core.records import WorkerRecord, WorkerState
from dagdeck_core.scheduling.leases import LeaseWatch
from dagdeck_core.wire import WIRE_VERSION

LEASE = 20.0


def worker(worker_id: int = 1, counter: int = 0, **fields: object) -> WorkerRecord:
    row = {"name": "w", "state": WorkerState.ACTIVE, "slots": 4, **fields}
    return WorkerRecord(worker_id=worker_id, counter=counter, **row)  # type: ignore[arg-type]


def expired_at(watch: LeaseWatch, reads: list[tuple[float, int]]) -> list[float]:
    """Times of those reads (time, counter) that call worker 1 lost."""
    return [at for at, counter in reads if watch.seen([worker(counter=counter)], at)]


def test_a_still_counter_is_counted_from_the_read_after_the_one_that_saw_it_move() -> None:
    reads = [(float(at), 1) for at in range(0, 30, 2)]
    assert expired_at(LeaseWatch(LEASE), reads)[0] == 22.0


def test_a_counter_that_moves_begins_anew() -> None:
    reads = [(float(at), 1 if at < 18 else 2) for at in range(0, 60, 2)]
    assert expired_at(LeaseWatch(LEASE), reads)[0] == 40.0


@pytest.mark.parametrize(("gap", "restarts"), [(10.0, False), (10.5, True)])
def test_a_gap_of_more_than_half_the_lease_begins_anew(gap: float, restarts: bool) -> None:
    watch = LeaseWatch(LEASE)
    assert expired_at(watch, [(0.0, 1), (8.0, 1), (16.0, 1)]) == []
    late = 16.0 + gap
    assert expired_at(watch, [(late, 1), (late + 4.0, 1)]) == ([] if restarts else [late + 4.0])


def test_restarting_forgets_everything() -> None:
    watch = LeaseWatch(LEASE)
    watch.seen([worker()], 0.0)
    watch.seen([worker()], 9.0)
    watch.restart()
    assert not watch.is_live(1)
    assert watch.seen([worker()], 18.0) == []
    assert watch.seen([worker()], 27.0) == []
    assert watch.seen([worker()], 36.0) == []
    assert watch.seen([worker()], 46.0) == []
    assert [lost.worker_id for lost in watch.seen([worker()], 47.0)] == [1]


def test_who_has_no_row_is_not_live() -> None:
    watch = LeaseWatch(LEASE)
    watch.seen([worker(1), worker(2)], 0.0)
    watch.seen([worker(2)], 1.0)
    assert (watch.is_live(1), watch.is_live(2)) == (False, True)


def test_slots_count_where_new_work_may_go() -> None:
    watch = LeaseWatch(LEASE)
    watch.seen(
        [
            worker(1, slots=4),
            worker(2, slots=2, queues=("default", "gpu")),
            worker(3, slots=8, state=WorkerState.DRAINING),
            worker(4, slots=16, wire_version=WIRE_VERSION + 1),
        ],
        0.0,
    )
    assert (watch.slots_of("default"), watch.slots_of("gpu"), watch.slots_of("none")) == (6, 2, 0)
    watch.set_state(3, WorkerState.ACTIVE)
    assert watch.slots_of("default") == 14
    watch.forget(3)
    assert watch.slots_of("default") == 6
    assert msgspec.structs.astuple(watch.records[0])[0] == 1
