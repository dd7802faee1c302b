"""A holder of the lease counts as dead only where its process number can be looked up."""

from __future__ import annotations

import subprocess
import sys

from dagdeck_master.scheduler.identity import is_dead_owner, owner_name


def name_of_a_dead_process() -> str:
    program = "from dagdeck_master.scheduler.identity import owner_name; print(owner_name())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_this_process_is_alive() -> None:
    assert not is_dead_owner(owner_name())


def test_a_process_of_this_machine_that_ended_is_dead() -> None:
    assert is_dead_owner(name_of_a_dead_process())


def test_nothing_is_known_of_other_places() -> None:
    process = name_of_a_dead_process().rpartition("@")[0]
    assert not is_dead_owner(f"{process}@another-boot.1")
    assert not is_dead_owner(f"{process}@")
    assert not is_dead_owner("somebody")
