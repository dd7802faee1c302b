"""What a task can see of its parents: a task looks for the cluster's key everywhere, and does not find it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dagdeck_io.secrets import generate_key
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such protection"),
]
PR_CAPBSET_DROP = 24
_libc = ctypes.CDLL(None, use_errno=True)


def without_privileges() -> None:
    """Root's processes get what an ordinary user's have: no capability, such as reading closed processes."""
    if os.geteuid() == 0:
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        for capability in range(last + 1):
            if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(f"capability {capability} cannot be given up")


def prey(tmp_path: Path, preparation: Callable[[], None] | None) -> dict[str, list[str]]:
    """What the prying task of a standalone cluster has found."""
    key = generate_key()
    settings = QUICK | {"security.secret_key": key}
    with ClusterUnderTest(tmp_path, dags=[DAGS / "prying.py"], settings=settings) as cluster:
        cluster.start_standalone(preparation=preparation)
        cluster.wait_ready("prying")
        digest = hashlib.sha256(key.encode()).hexdigest()
        run_id = cluster.trigger("prying", {"sha256": digest, "mark": cluster.mark})
        cluster.wait_run(run_id, timeout=60)
        found: dict[str, list[str]] = cluster.database.xcom(run_id, "look")
        return found


def test_a_task_finds_no_credentials(tmp_path: Path) -> None:
    found = prey(tmp_path, without_privileges)
    assert found["found"] == [], found
    assert found["environment"] == []
    assert found["ancestors"][:2] == ["dagdeck-keeper", "dagdeck-worker"]
    assert found["traceable"] == []
    assert {"dagdeck-keeper", "dagdeck-worker", "dagdeck-schedul"}.isdisjoint(found["readable"])
    allowed = re.compile(r"/dev/null|pipe:\[\d+\]|/memfd:dagdeck-output \(deleted\)|/proc/\d+/(fd|statm)")
    assert [name for name in found["open"] if not allowed.fullmatch(name)] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees everything")
def test_the_task_would_find_them_where_it_may_look(tmp_path: Path) -> None:
    """The search itself works: root's tasks, which may trace everything, find the key in the daemons."""
    assert prey(tmp_path, None)["found"] != []
