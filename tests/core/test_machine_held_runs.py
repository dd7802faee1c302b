"""A scheduled run that is due and has no room under max_active_runs: whatever makes room, it is created."""

from __future__ import annotations

from datetime import timedelta

from dagdeck_core.actions import DeleteDagRun
from tests.core.machine_driver import START, Driver
from tests.core.test_machine_runs import hourly, runs


def test_deleting_the_run_that_took_its_place_makes_room() -> None:
    driver = Driver(hourly(start_date=START - timedelta(hours=2), max_active_runs=1), workers=0)
    assert runs(driver) == ["22 running"]
    assert driver.machine.world.dags["d"].held
    (run_key,) = driver.db.runs
    told = driver.act(DeleteDagRun(run_key=run_key))
    assert "create scheduled__2026-01-01T00:00:00+00:00" in told
    assert runs(driver) == ["23 running"]
