"""A standalone cluster on a real disk that is filled while it works: it says so, loses nothing, and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dagdeck_core.actions import TriggerDagRun
from tests.e2e.conftest import DAGS
from tests.e2e.harness import ClusterUnderTest, wait_until
from tests.e2e.promises import check_run
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 48) as mounted:
        yield mounted


def test_a_full_disk_stops_nothing_for_good(disk: SmallDisk, standalone: ClusterUnderTest) -> None:
    standalone.add_dag_file(DAGS / "stamped.py")
    home = disk.root / "home"
    home.mkdir(mode=0o700)
    standalone.move_home(home)
    daemon = standalone.start_standalone(
        {"logging.repeat_interval": "0.5", "dag_processor.paused_at_creation": "false"}
    )
    standalone.wait_ready("layers", "line", timeout=60)
    standalone.wait_run(standalone.trigger("line"))
    under_way = standalone.trigger("layers")
    standalone.wait_running(under_way)
    disk.fill()
    accepted = [under_way]
    refused = ""
    for number in range(2000):
        action = TriggerDagRun(dag_id="line", run_id=f"full-{number}", conf={"note": "x" * 2000})
        try:
            standalone.database.act(action)
        except sa.exc.OperationalError as error:
            refused = str(error.orig)
            break
        accepted.append(f"full-{number}")
    assert "full" in refused
    wait_until(lambda: "is full" in daemon.log_tail(400_000), 20.0, "a daemon says that the disk is full")
    assert "Free space on the database's disk" in daemon.log_tail(400_000)
    time.sleep(2.0)
    standalone.check_running()
    disk.empty()
    for run_id in accepted:
        standalone.wait_run(run_id, timeout=60)
    check_run(standalone, under_way)
    later = standalone.trigger("line")
    standalone.wait_run(later)
    check_run(standalone, later)
    standalone.check_running()
