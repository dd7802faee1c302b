"""What monitoring systems and load balancers read of a cluster: /metrics, /health/live, /health/ready."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.measures import SHORT, Histogram, ProcessorFigures
from dagdeck_core.wire import Hint
from dagdeck_io.broker import MemoryBroker
from dagdeck_io.db.measurements import DAG_PROCESSOR
from dagdeck_io.db.tables import lease
from dagdeck_master.api.metrics.exposition import Exposition
from tests.integration.api_cluster import ApiCluster, api_cluster

TOKEN = "a token for scraping only"
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]
_SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\.)*)"')


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    overrides: dict[str, Any] = {"metrics.interval": 1.0, "metrics.scrape_token": TOKEN}
    with api_cluster(tmp_path_factory.mktemp("home"), **overrides) as running:
        yield running


def parsed(text: str) -> Samples:
    """Every sample of an answer; whatever the format does not allow fails here."""
    found: Samples = defaultdict(dict)
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert len(line.split(" ", 3)) == 4, line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, f"{name} is told twice"
            assert kind in ("gauge", "counter", "histogram")
            assert (kind == "counter") == name.endswith("_total"), line
            kinds[name] = kind
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None, line
            name, labels, value = match.groups()
            family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in kinds else name
            assert family in kinds, line
            key = tuple(_LABEL.findall(labels or ""))
            assert key not in found[name], line
            found[name][key] = float(value)
    return found


def scrape(cluster: ApiCluster) -> Samples:
    answer = cluster.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(answer.text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name][tuple(labels.items())]


def ran(cluster: ApiCluster, dag_id: str, run_id: str, state: str) -> None:
    path = f"/api/v2/dags/{dag_id}/dagRuns"
    assert cluster.call("POST", path, json={"dag_run_id": run_id, "logical_date": None}).status_code == 200
    cluster.until(lambda: cluster.call("GET", f"{path}/{run_id}").json()["state"] == state, f"{run_id} is {state}")


def until_scraped(cluster: ApiCluster, name: str, wanted: float, **labels: str) -> Samples:
    def look() -> Samples | None:
        samples = scrape(cluster)
        return samples if samples.get(name, {}).get(tuple(labels.items())) == wanted else None

    found: Samples = cluster.until(look, f"{name} {labels} is {wanted}")
    return found


def test_a_cluster_s_life_can_be_read(cluster: ApiCluster) -> None:
    ran(cluster, "pipeline", "good", "success")
    ran(cluster, "failing", "bad", "failed")
    samples = until_scraped(cluster, "dagdeck_dag_run_moves_total", 1, state="failed")
    assert value(samples, "dagdeck_task_instance_moves_total", state="success") == 5
    assert value(samples, "dagdeck_task_instance_moves_total", state="failed") == 1
    assert value(samples, "dagdeck_task_instance_moves_total", state="up_for_retry") == 1
    assert value(samples, "dagdeck_dag_run_moves_total", state="success") == 1
    assert value(samples, "dagdeck_dag_run_duration_seconds_count", state="success") == 1
    assert value(samples, "dagdeck_task_dispatch_latency_seconds_count") == 7
    assert value(samples, "dagdeck_task_dispatch_latency_seconds_bucket", le="+Inf") == 7
    assert value(samples, "dagdeck_scheduler_round_duration_seconds_count") > 0
    assert value(samples, "dagdeck_open_failures") == 1
    assert value(samples, "dagdeck_database_up") == 1
    assert value(samples, "dagdeck_dags", paused="false") == 3
    assert value(samples, "dagdeck_api_requests_total", method="POST", status="200") >= 2
    assert value(samples, "dagdeck_process_resident_memory_bytes", process="scheduler") > 1_000_000
    assert value(samples, "dagdeck_process_cpu_seconds_total", process="api") > 0
    assert value(samples, "dagdeck_leader", component="scheduler") == 1
    assert value(samples, "dagdeck_leader", component="dag_processor") == 0
    assert value(samples, "dagdeck_heartbeat_age_seconds", component="scheduler") < 10


def test_what_runs_is_seen_by_state_pool_and_worker(cluster: ApiCluster) -> None:
    cluster.worker.released.clear()
    path = "/api/v2/dags/holding/dagRuns"
    assert cluster.call("POST", path, json={"dag_run_id": "held", "logical_date": None}).status_code == 200
    samples = until_scraped(cluster, "dagdeck_task_instances", 1, state="running")
    assert value(samples, "dagdeck_dag_runs", state="running") == 1
    assert value(samples, "dagdeck_pool_slots_used", pool="default_pool", state="running") == 1
    assert value(samples, "dagdeck_pool_slots", pool="default_pool") == 128
    here = {"worker": "stand-in", "hostname": "test"}
    assert value(samples, "dagdeck_worker_running_tasks", **here) == 1
    assert value(samples, "dagdeck_worker_slots", **here) == 4
    assert value(samples, "dagdeck_worker_info", **here, version="test", state="active") == 1
    assert value(samples, "dagdeck_worker_heartbeat_age_seconds", **here) < 10
    assert value(samples, "dagdeck_workers", state="active") == 1
    cluster.worker.released.set()
    until_scraped(cluster, "dagdeck_task_instances", 0, state="running")


def test_hints_that_wait_are_seen_by_queue(cluster: ApiCluster) -> None:
    cluster.worker.released.clear()
    path = "/api/v2/dags/holding/dagRuns"
    for number in range(4):  # until the worker takes nothing more
        cluster.call("POST", path, json={"dag_run_id": f"fills {number}", "logical_date": None})
    until_scraped(cluster, "dagdeck_task_instances", 4, state="running")
    MemoryBroker(cluster.queues).offer("default", [Hint(((1, 1),)), Hint(((2, 2),))])
    samples = until_scraped(cluster, "dagdeck_queue_hints", 2, queue="default")
    assert value(samples, "dagdeck_queue_up") == 1
    cluster.worker.released.set()


def test_what_the_dag_processor_published(cluster: ApiCluster) -> None:
    parses = Histogram.over(SHORT)
    parses.observe(0.3)
    told = ProcessorFigures(
        rounds={"quiet": 2}, parses=parses, publishing=Histogram.over(SHORT), files=7, failed_parses=1
    )
    cluster.database.measurements(DAG_PROCESSOR, "here:1").publish(told)
    samples = until_scraped(cluster, "dagdeck_dag_files", 7)
    assert value(samples, "dagdeck_dag_processor_rounds_total", result="quiet") == 2
    assert value(samples, "dagdeck_dag_file_parse_duration_seconds_bucket", le="0.25") == 0
    assert value(samples, "dagdeck_dag_file_parse_duration_seconds_bucket", le="0.5") == 1
    assert value(samples, "dagdeck_dag_file_failed_parses_total") == 1
    assert value(samples, "dagdeck_figures_age_seconds", component="dag_processor") < 10


def test_every_label_value_can_be_written() -> None:
    out = Exposition()
    out.gauge("dagdeck_x", "x", [({"name": 'a "b" \\ c\nd'}, 0.1), ({"name": "left out"}, None)])
    text = out.text().decode()
    assert text == '# HELP dagdeck_x x\n# TYPE dagdeck_x gauge\ndagdeck_x{name="a \\"b\\" \\\\ c\\nd"} 0.1\n'
    with pytest.raises(ValueError, match="twice"):
        out.gauge("dagdeck_x", "again", 1)


# ---------------------------------------------------------------- who may


def test_only_users_and_the_scrape_token_may_read_metrics(cluster: ApiCluster) -> None:
    assert cluster.call("GET", "/metrics", None).status_code == 401
    assert cluster.call("GET", "/metrics", "victor").status_code == 200
    for wrong in ("x", TOKEN + "x", TOKEN[:-1]):
        answer = cluster.http.get("/metrics", headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401, wrong


def test_the_scrape_token_opens_nothing_else(cluster: ApiCluster) -> None:
    for path in ("/api/v2/dags", "/api/dagdeck/v1/workers", "/api/v2/pools"):
        assert cluster.http.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401


def test_loopback_is_open_only_by_a_setting_and_not_through_a_proxy(tmp_path: Path) -> None:
    overrides: dict[str, Any] = {"metrics.open_on_loopback": True}
    with api_cluster(tmp_path, **overrides) as cluster:
        assert cluster.call("GET", "/metrics", None).status_code == 200
        for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
            answer = cluster.http.get("/metrics", headers={name: "203.0.113.7"})
            assert answer.status_code == 401, name
        assert cluster.http.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 401
        assert cluster.call("GET", "/api/v2/dags", None).status_code == 401


# ---------------------------------------------------------------- health


def health(cluster: ApiCluster, path: str) -> tuple[int, Any]:
    answer: httpx.Response = cluster.http.get(f"/health/{path}")
    return answer.status_code, answer.json()["reasons"]


def test_live_and_ready_are_open_to_all(cluster: ApiCluster) -> None:
    assert health(cluster, "live") == (200, [])
    assert health(cluster, "ready") == (200, [])
    cluster.until(lambda: health(cluster, "ready?of=scheduler&of=worker") == (200, []), "scheduler and worker work")
    assert health(cluster, "ready?of=dag_processor") == (503, ["no DAG processor is in charge"])
    assert cluster.http.get("/health/ready?of=nonsense").status_code == 422


def test_a_component_whose_lease_stands_still_is_not_ready(cluster: ApiCluster) -> None:
    old = datetime.now(UTC) - timedelta(minutes=5)
    with cluster.database.writing() as connection:
        connection.execute(
            sa.insert(lease).values(
                name="dag_processor", shard=0, owner="x", epoch=1, counter=1, renewed_at=old, acquired_at=old
            )
        )
    assert health(cluster, "ready?of=dag_processor") == (503, ["no DAG processor is in charge"])
    with cluster.database.writing() as connection:
        connection.execute(sa.update(lease).where(lease.c.name == "dag_processor").values(renewed_at=datetime.now(UTC)))
    assert health(cluster, "ready?of=dag_processor") == (200, [])


def test_without_a_database_it_lives_and_is_not_ready_and_says_so(
    cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: object) -> None:
        raise EnvironmentFault("the database is away")

    cluster.app.state.scrapes = None
    monkeypatch.setattr(type(cluster.database), "reading", away)
    assert health(cluster, "live") == (200, [])
    assert health(cluster, "ready?of=worker") == (503, ["the metadata database does not answer"])
    samples = scrape(cluster)
    assert value(samples, "dagdeck_database_up") == 0
    assert value(samples, "dagdeck_api_streams") == 0
    cluster.app.state.scrapes = None


# ---------------------------------------------------------------- documentation


def test_the_documented_metrics_are_those_of_a_real_answer(cluster: ApiCluster) -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(dagdeck_\w+)` \| (\w+) \|", page, re.MULTILINE))
    parses = Histogram.over(SHORT)
    cluster.database.measurements(DAG_PROCESSOR, "here:1").publish(
        ProcessorFigures(rounds={}, parses=parses, publishing=parses, last_published=1.0)
    )
    until_scraped(cluster, "dagdeck_dag_processor_last_published_timestamp_seconds", 1)
    answer = cluster.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    told = dict(re.findall(r"^# TYPE (\w+) (\w+)$", answer.text, re.MULTILINE))
    assert documented == told
    in_alerts = set(re.findall(r"dagdeck_\w+", page.partition("## Alerts")[2].partition("```\n")[0]))
    assert {re.sub("_bucket$", "", name) for name in in_alerts} <= set(told)
