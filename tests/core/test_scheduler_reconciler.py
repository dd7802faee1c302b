"""When the scheduler reads runs again: after silence, rarely while news flow, and never for what is under way."""

from __future__ import annotations

from dagdeck_core.scheduling.events import DispatchesFinished, RunLoaded
from dagdeck_core.wire import Report
from dagdeck_master.scheduler.reconciler import BUSY_INTERVALS, SECOND_LOOK, Reconciler
from tests.core.machine_driver import Driver, dag, tasks

INTERVAL = 5.0


class Desk:
    """A reconciler over a driven machine, with one run of tasks that all were released."""

    def __init__(self) -> None:
        self.driver = Driver(dag("d", specs=tasks("a", "b", "c")))
        self.driver.trigger()
        self.reconciler = Reconciler(self.driver.machine)
        self.run_key = self.driver.run().run_key

    def hear(self, event: DispatchesFinished, mono: float) -> None:
        """A report arrives."""
        self.reconciler.hear([Report(1, event.finished)], mono)
        self.driver.settle(event)

    def to_look_at(self, mono: float) -> list[int]:
        return self.reconciler.to_look_at(mono, INTERVAL)

    def look(self, mono: float, *, second: bool = False) -> list[RunLoaded]:
        """Read the run."""
        loaded = self.driver.store.load_runs(self.driver.epoch, [self.run_key])
        events = self.reconciler.differing(loaded, mono, INTERVAL, second=second)
        return [event for event in events if isinstance(event, RunLoaded)]


def test_a_silent_run_is_looked_at_and_taken_in_when_it_differs() -> None:
    desk = Desk()
    assert desk.to_look_at(0.0) == [desk.run_key]
    assert desk.look(0.0) == []
    desk.driver.finished("r.a")  # its report is lost
    (event,) = desk.look(5.0)
    desk.driver.settle(event)
    assert desk.look(10.0) == []


def test_a_run_of_which_news_flow_is_left_alone_but_not_for_ever() -> None:
    desk = Desk()
    desk.hear(desk.driver.finished("r.a"), 1.0)
    assert desk.to_look_at(2.0) == []
    for second in range(2, 32):
        desk.reconciler.hear([Report(1, claimed=((desk.run_key, 1, 1),))], float(second))
        looked = desk.to_look_at(second + 0.5)
        assert looked == ([desk.run_key] if second + 0.5 - 1.0 >= INTERVAL * BUSY_INTERVALS else [])
    assert desk.to_look_at(32.0) == []
    assert desk.to_look_at(31.0 + INTERVAL) == [desk.run_key]


def test_what_is_under_way_is_no_difference_at_the_second_look() -> None:
    desk = Desk()
    desk.hear(desk.driver.finished("r.a"), 1.0)
    under_way = desk.driver.finished("r.b")
    assert desk.look(1.5) == []
    assert desk.reconciler.suspects(1.5) == []
    assert desk.reconciler.second_look == 1.5 + SECOND_LOOK
    desk.hear(under_way, 1.6)
    desk.driver.finished("r.c")
    assert desk.reconciler.suspects(2.5) == [desk.run_key]
    assert desk.look(2.5, second=True) == []
    assert desk.reconciler.second_look == float("inf")


def test_what_is_still_unknown_at_the_second_look_is_taken_in() -> None:
    desk = Desk()
    desk.hear(desk.driver.finished("r.a"), 1.0)
    desk.driver.finished("r.b")  # its report is lost
    assert desk.look(1.5) == []
    assert desk.reconciler.suspects(2.5) == [desk.run_key]
    (event,) = desk.look(2.5, second=True)
    desk.driver.settle(event)
    assert desk.driver.machine.differences(event.run, event.tasks) == []


def test_after_trouble_every_run_is_looked_at() -> None:
    desk = Desk()
    desk.hear(desk.driver.finished("r.a"), 1.0)
    assert desk.to_look_at(2.0) == []
    desk.reconciler.forget()
    assert desk.to_look_at(2.0) == [desk.run_key]
