"""The benchmarks' own code, in a short form: a small fan-out and one chain on a standalone cluster.

Decides nothing about speed: a busy machine must not fail a test.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import cases
from tests.benchmarks.__main__ import main, run_backend
from tests.benchmarks.report import Measurement

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_fan_out_and_chain_are_measured(tmp_path: Path) -> None:
    wanted = {
        "chain40": cases.WARM["chain40"],
        "fanout100": cases.Case(dag_ids=("fanout_100",), runs=1, measure=cases.fanout(100)),
    }
    results = run_backend("standalone", wanted, 1, say=print)
    assert set(results) == {"chain40", "chain40_hop", "chain40_cpu", "fanout100", "fanout100_cpu"}
    assert results["chain40_hop"].unit == "ms"
    assert len(results["chain40_hop"].runs) == 39
    assert 0 < results["chain40"].median < 60
    assert results["fanout100"].median > 1
    assert results["fanout100_cpu"].median > 0
    assert "runner" in results["fanout100_cpu"].note


@pytest.mark.slow
def test_two_thousand_tasks_wait_in_little_memory() -> None:
    results = run_backend("standalone", {"deferred2000": cases.WARM["deferred2000"]}, 1, say=print)
    assert results["deferred2000_memory"].median < 150
    assert results["deferred2000_worker_growth"].median < 50


def test_file_has_the_promised_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "bench.json"
    assert (
        main(["--cases", "trigger_to_start", "--backends", "standalone", "--runs", "2", "--output", str(output)]) == 0
    )
    written = json.loads(output.read_text())
    assert list(written) == ["standalone/trigger_to_start"]
    entry = written["standalone/trigger_to_start"]
    assert set(entry) == {"median", "p95", "unit", "runs"}
    assert entry["unit"] == "ms"
    assert len(entry["runs"]) == 2
    assert "trigger_to_start" in capsys.readouterr().out


def test_statistics() -> None:
    slow_is_bad = Measurement(unit="s", runs=[float(n) for n in range(1, 101)])
    assert (slow_is_bad.median, slow_is_bad.p95) == (50.5, 95.0)
    slow_is_low = Measurement(unit="tasks/s", runs=[float(n) for n in range(1, 101)])
    assert slow_is_low.p95 == 6.0
    assert Measurement(unit="s", runs=[7.0]).p95 == 7.0


def test_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--cases", "chain41"])
    assert refused.value.code == 2
    assert "chain41 is none of" in capsys.readouterr().err
