"""The simulation over many seeds: every promise holds whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.cluster import Cluster

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "600"))
CHUNK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_holds(first: int) -> None:
    for seed in range(first, first + CHUNK):
        Cluster(seed).run()


def test_the_same_seed_tells_the_same_story_under_two_hash_seeds() -> None:
    program = (
        "from tests.simulation.cluster import Cluster\n"
        "c = Cluster(7).run()\n"
        "print([(e.ti_id, e.dispatch_no, e.worker, e.start, e.end) for e in c.executions], c.db.moves)\n"
    )
    stories = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert stories[0] == stories[1]
    assert len(stories[0]) > 100
