"""The event stream over real HTTP: what each topic tells while a real scheduler works, ids and gaps, who may listen."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from dagdeck_core.ports import LOGS, SAMPLES, LogChunk
from dagdeck_core.wire import LogTail, WorkerSample
from dagdeck_io.broker import MemoryBroker
from dagdeck_io.db.tables import task_instance
from dagdeck_master.api.identity import id_of, uuid_of
from dagdeck_master.api.push.streams import EventStreams
from tests.integration.api_cluster import ApiCluster, api_cluster
from tests.integration.push_client import EVENTS, PushClient, run_of, tasks_of


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


def listen(cluster: ApiCluster, *topics: str, user: str = "victor", **more: Any) -> PushClient:
    return PushClient(cluster.http, cluster.tokens[user], *topics, **more)


def trigger(cluster: ApiCluster, dag_id: str, dag_run_id: str) -> None:
    answer = cluster.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"dag_run_id": dag_run_id})
    assert answer.status_code == 200, answer.text


def is_running(client: PushClient, topic: str, task_id: str) -> bool:
    return tasks_of(client, topic).get(task_id) == "running"


def has_ended(client: PushClient, topic: str) -> bool:
    return (run_of(client, topic) or {}).get("state") in ("success", "failed")


class TestTopics:
    def test_a_run_from_before_it_exists_to_its_end(self, cluster: ApiCluster) -> None:
        topic = "run:pipeline/told"
        with listen(cluster, topic) as client:
            assert client.first("snapshot", topic) == {"topic": topic, "data": None}
            trigger(cluster, "pipeline", "told")
            client.until(lambda it: has_ended(it, topic), "the run's end")
            shown = cluster.call("GET", "/api/v2/dags/pipeline/dagRuns/told").json()
            assert run_of(client, topic) == shown
            listed = cluster.call("GET", "/api/v2/dags/pipeline/dagRuns/told/taskInstances").json()["task_instances"]
            client.until(
                lambda it: tasks_of(it, topic) == {each["task_id"]: each["state"] for each in listed}, "all tasks"
            )
            told = [task for each in client.of("diff", topic) for task in each.data["data"].get("tasks", ())]
            last = {task[0]: task for task in told}
            for each in listed:
                if each["id"] in last:
                    assert last[each["id"]][2:7] == [
                        each["task_id"],
                        each["map_index"],
                        each["try_number"],
                        each["start_date"],
                        each["end_date"],
                    ]

    def test_home_shows_runs_of_all_dags_and_counts(self, cluster: ApiCluster) -> None:
        with listen(cluster, "home") as client:
            shown = client.first("snapshot", "home")["data"]
            assert shown["health"]["scheduler"]["status"] == "healthy"
            assert shown["dags"] == {"total": 4, "active": 3, "paused": 1}
            assert shown["workers"] == {"active": 1, "draining": 0, "slots": 4}
            before = shown["run_counts"]["failed"]
            trigger(cluster, "failing", "at-home")

            def told(it: PushClient) -> Any:
                runs = [run for each in it.of("diff", "home") for run in each.data["data"].get("runs", ())]
                return [run["state"] for run in runs if run["dag_run_id"] == "at-home"][-1:] == ["failed"]

            client.until(told, "the failed run")
            client.until(
                lambda it: any(
                    each.data["data"].get("run_counts", {}).get("failed") == before + 1
                    for each in it.of("diff", "home")
                ),
                "the count of failed runs",
            )

    def test_a_dag_and_the_list_of_dags(self, cluster: ApiCluster) -> None:
        with listen(cluster, "dag:pipeline", "dags", "dag:unknown") as client:
            listed = client.first("snapshot", "dags")["data"]["dags"]
            assert [each["dag_id"] for each in listed] == ["failing", "holding", "pipeline", "scheduled"] or len(
                listed
            ) == 4
            assert client.first("snapshot", "dag:unknown")["data"] is None
            one = client.first("snapshot", "dag:pipeline")["data"]
            assert one["dag"] == next(each for each in listed if each["dag_id"] == "pipeline")
            cluster.call("PATCH", "/api/v2/dags/pipeline", "alice", json={"is_paused": True})

            def is_paused(it: PushClient) -> bool:
                single = [
                    each.data["data"]["dag"] for each in it.of("diff", "dag:pipeline") if "dag" in each.data["data"]
                ]
                many = [
                    dag
                    for each in it.of("diff", "dags")
                    for dag in each.data["data"].get("dags", ())
                    if dag["dag_id"] == "pipeline"
                ]
                return bool(single and many and single[-1]["is_paused"] and many[-1]["is_paused"])

            client.until(is_paused, "the switch in both topics")
            cluster.call("PATCH", "/api/v2/dags/pipeline", "alice", json={"is_paused": False})
            trigger(cluster, "pipeline", "of-the-dag")

            def has_succeeded(it: PushClient, topic: str) -> bool:
                runs = [run for each in it.of("diff", topic) for run in each.data["data"].get("runs", ())]
                return any(run["dag_run_id"] == "of-the-dag" and run["state"] == "success" for run in runs)

            client.until(lambda it: has_succeeded(it, "dags"), "the run in the list")
            client.until(lambda it: has_succeeded(it, "dag:pipeline"), "the run of the DAG")

    def test_a_deleted_run(self, cluster: ApiCluster) -> None:
        trigger(cluster, "pipeline", "short-lived")
        topic = "run:pipeline/short-lived"
        with listen(cluster, topic, "dag:pipeline") as client:
            client.until(lambda it: has_ended(it, topic), "its end")
            heard = len(client.events)
            assert cluster.call("DELETE", "/api/v2/dags/pipeline/dagRuns/short-lived").status_code == 204
            assert client.first("snapshot", topic, heard)["data"] is None
            client.until(
                lambda it: any(
                    each.data["data"].get("removed_runs") == [["pipeline", "short-lived"]]
                    for each in it.of("diff", "dag:pipeline", heard)
                ),
                "its removal from the DAG's runs",
            )

    def test_workers_and_their_samples(self, cluster: ApiCluster) -> None:
        worker_id = cluster.worker.worker_id
        ti_id = cluster.database.new_id()
        with listen(cluster, "workers") as client:
            shown = client.first("snapshot", "workers")["data"]
            assert [each["worker_id"] for each in shown["workers"]] == [worker_id]
            assert shown["queues"] == [{"name": "default", "depth": 0, "workers": 1}]
            sample = WorkerSample(
                worker_id, datetime(2026, 1, 1, tzinfo=UTC), 4, 1, 0.5, 10, 20, 0.25, 1.0, 2.0, ((ti_id, 0.75, 99),)
            )
            MemoryBroker(cluster.queues).append(SAMPLES, [sample])
            assert client.first("sample") == {
                "worker_id": worker_id,
                "at": "2026-01-01T00:00:00Z",
                "slots": 4,
                "running": 1,
                "cpu": 0.5,
                "memory_used": 10,
                "memory_total": 20,
                "load1": 0.25,
                "net_received": 1.0,
                "net_sent": 2.0,
                "tasks": [[str(uuid_of(ti_id)), 0.75, 99]],
                "triggers": 0,
            }
            cluster.call("POST", f"/api/dagdeck/v1/workers/{worker_id}/drain", "alice")

            def states(it: PushClient) -> list[str]:
                return [
                    each["state"]
                    for event in it.of("diff", "workers")
                    for each in event.data["data"].get("workers", ())
                    if each["worker_id"] == worker_id
                ]

            client.until(lambda it: "draining" in states(it), "the worker drains")
            cluster.call("POST", f"/api/dagdeck/v1/workers/{worker_id}/resume", "alice")
            client.until(lambda it: states(it)[-1] == "active", "the worker is back")


class TestLogs:
    def test_pieces_follow_each_other_to_the_end(self, cluster: ApiCluster) -> None:
        run_topic = "run:holding/logged"
        trigger(cluster, "holding", "logged")
        with listen(cluster, run_topic) as watching:
            watching.until(lambda it: is_running(it, run_topic, "hold"), "the task runs")
        with cluster.database.reading() as connection:
            row = connection.execute(
                sa.select(task_instance).where(task_instance.c.task_id == "hold", task_instance.c.state == "running")
            ).one()
        store = cluster.database.worker_store()

        def write(offset: int, data: bytes, tell: bool) -> None:
            chunk = LogChunk(ti_id=row.ti_id, dispatch_no=row.dispatch_no, try_number=1, offset=offset, data=data)
            store.transact(cluster.worker.worker_id, [], [], [chunk])
            if tell:
                MemoryBroker(cluster.queues).append(LOGS, [LogTail(row.ti_id, row.dispatch_no, offset, data)])

        write(0, b"before anybody looks\n", tell=True)
        topic = f"log:{uuid_of(row.ti_id)}"
        with listen(cluster, topic) as client:
            shown = client.first("snapshot", topic)["data"]
            assert (shown["dag_id"], shown["dag_run_id"], shown["task_id"]) == ("holding", "logged", "hold")
            assert (shown["size"], shown["is_complete"]) == (21, False)
            assert (shown["try_number"], shown["dispatch_no"]) == (1, row.dispatch_no)
            write(21, b"one ", tell=True)
            write(25, b"two ", tell=False)  # the queue lost it
            write(29, bytes(range(256)) * 600, tell=True)
            expected = b"one two " + bytes(range(256)) * 600

            def heard(it: PushClient) -> bytes:
                collected = b""
                for each in it.of("log"):
                    assert each.data["offset"] == 21 + len(collected)
                    collected += base64.b64decode(each.data["base64"])
                return collected

            client.until(lambda it: len(heard(it)) >= len(expected), "all pieces")
            assert heard(client) == expected
            cluster.worker.released.set()
            end = client.until(lambda it: it.of("diff", topic), "the end")[0].data["data"]
            assert end == {"size": 21 + len(expected), "is_complete": True}
        cluster.worker.released.clear()

    def test_a_new_dispatch_begins_anew(self, cluster: ApiCluster) -> None:
        topic = "run:pipeline/cleared"
        trigger(cluster, "pipeline", "cleared")
        with listen(cluster, topic) as client:
            client.until(lambda it: has_ended(it, topic), "its end")
        listed = cluster.call("GET", "/api/v2/dags/pipeline/dagRuns/cleared/taskInstances").json()["task_instances"]
        ti_id = next(each["id"] for each in listed if each["task_id"] == "extract")
        with listen(cluster, f"log:{ti_id}") as client:
            shown = client.first("snapshot", f"log:{ti_id}")["data"]
            assert shown["is_complete"]
            body = {"dag_run_id": "cleared", "task_ids": ["extract"], "dry_run": False, "only_failed": False}
            assert cluster.call("POST", "/api/v2/dags/pipeline/clearTaskInstances", json=body).status_code == 200
            client.until(
                lambda it: any(
                    each.data["data"]["dispatch_no"] > shown["dispatch_no"] for each in it.of("snapshot")[1:]
                ),
                "the second dispatch's log",
            )


class TestContinuity:
    def test_a_cut_stream_goes_on_without_a_gap(self, cluster: ApiCluster) -> None:
        topic = "run:pipeline/cut"
        with listen(cluster, topic, "workers") as client:
            client.first("heartbeat")
            known = client.last_id
        trigger(cluster, "pipeline", "cut")
        with listen(cluster, "home") as other:
            other.until(
                lambda it: any(
                    run["dag_run_id"] == "cut" and run["state"] == "success"
                    for each in [*it.of("diff", "home"), *it.of("snapshot", "home")]
                    for run in each.data["data"].get("runs", ())
                ),
                "the run ends while nobody listens to it",
            )
        with listen(cluster, topic, "workers", "dags", last_id=known) as client:
            hello = client.first("hello")
            assert hello["resumed"]
            client.until(lambda it: has_ended(it, topic), "what was missed")
            client.first("snapshot", "dags")
            assert not client.of("snapshot", "workers")
            client.until(lambda it: set(tasks_of(it, topic).values()) == {"success"}, "all tasks")
            numbers = [int(each.id.split("-")[1]) for each in client.events if each.id]
            assert numbers == sorted(numbers)

    def test_topics_dropped_and_wanted_again_begin_with_a_snapshot(self, cluster: ApiCluster) -> None:
        with listen(cluster, "dags", "workers") as client:
            client.first("heartbeat")
            first = client.last_id
        with listen(cluster, "workers", last_id=first) as client:
            client.first("heartbeat")
            assert not client.of("snapshot")
            second = client.last_id
        assert second.split("-")[2] != first.split("-")[2]
        with listen(cluster, "dags", "workers", last_id=second) as client:
            client.first("heartbeat")
            assert [each.data["topic"] for each in client.of("snapshot")] == ["dags"]

    def test_a_view_opened_anew_may_ask_for_a_snapshot(self, cluster: ApiCluster) -> None:
        with listen(cluster, "dags", "workers") as client:
            client.first("heartbeat")
            known = client.last_id
        with listen(cluster, "dags", "workers", last_id=known, fresh=("workers",)) as client:
            client.first("heartbeat")
            assert [each.data["topic"] for each in client.of("snapshot")] == ["workers"]

    @pytest.mark.parametrize("strange", ["0123456789abcdef-3-1", "nonsense", "x" * 5000])
    def test_an_unknown_id_gets_snapshots(self, cluster: ApiCluster, strange: str) -> None:
        with listen(cluster, "dags", last_id=strange) as client:
            assert not client.first("hello")["resumed"]
            client.first("snapshot", "dags")


class TestWhoMayListen:
    def test_heartbeats_come_each_second(self, cluster: ApiCluster) -> None:
        with listen(cluster) as client:
            beats = client.until(lambda it: len(it.of("heartbeat")) >= 3 and it.of("heartbeat"), "three heartbeats")
            assert 0.5 < beats[2].at - beats[1].at < 1.8
            assert client.events[0].kind == "hello"

    @pytest.mark.parametrize("topic", ["", "nothing", "dag:", "run:pipeline", "run:/x", "log:7", "home:x", "x" * 1000])
    def test_a_misspelt_topic_is_named(self, cluster: ApiCluster, topic: str) -> None:
        answer = cluster.call("GET", EVENTS, params={"subscribe": topic})
        assert answer.status_code == 400
        assert "subscribe" in answer.json()["detail"]

    def test_too_many_topics(self, cluster: ApiCluster) -> None:
        answer = cluster.call("GET", EVENTS, params=[("subscribe", f"dag:d{number}") for number in range(65)])
        assert answer.status_code == 400
        assert "at most 64" in answer.json()["detail"]

    def test_a_token_given_back_ends_the_stream(self, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        streams: EventStreams = cluster.app.state.context.streams
        monkeypatch.setattr(streams, "_check_seconds", 0.1)
        cluster.until(lambda: streams.open_streams == 0, "no stream is open")
        body = {"username": "victor", "password": "viewers only"}
        token = cluster.http.post("/auth/token", json=body).json()["access_token"]
        with PushClient(cluster.http, token, "home") as client, listen(cluster, "home") as other:
            client.first("heartbeat")
            headers = {"Authorization": f"Bearer {token}"}
            assert cluster.http.delete("/api/dagdeck/v1/tokens/current", headers=headers).status_code == 204
            assert client.first("bye") == {"reason": "signed_out"}
            client.until(lambda it: it.is_over, "the end")
            assert not other.is_over
        assert cluster.http.get(EVENTS, headers=headers).status_code == 401

    def test_a_closed_client_is_forgotten(self, cluster: ApiCluster) -> None:
        streams: EventStreams = cluster.app.state.context.streams
        with listen(cluster, "home") as client:
            client.first("hello")
            assert streams.open_streams >= 1
        cluster.until(lambda: streams.open_streams == 0, "the stream is forgotten")

    def test_one_user_cannot_take_all_streams(self, tmp_path: Any) -> None:
        overrides: dict[str, Any] = {"api.max_streams_per_user": 2, "api.max_streams": 3}
        with api_cluster(tmp_path, **overrides) as own:
            with listen(own) as one, listen(own) as two:
                one.first("hello")
                two.first("hello")
                refused = own.call("GET", EVENTS, "victor")
                assert refused.status_code == 429
                assert refused.headers["retry-after"] == "5"
                with listen(own, user="alice"):
                    full = own.call("GET", EVENTS, "olga")
                    assert full.status_code == 503
                    assert "api.max_streams" in full.json()["detail"]

    def test_a_server_that_stops_says_so_and_does_not_wait(self, tmp_path: Any) -> None:
        with contextlib.ExitStack() as listening:
            with api_cluster(tmp_path) as own:
                # A connection of its own: the cluster closes its client before the server.
                http = listening.enter_context(httpx.Client(base_url=own.url, verify=False))
                client = listening.enter_context(PushClient(http, own.tokens["victor"], "home"))
                client.first("heartbeat")
                leaving = time.monotonic()
            assert time.monotonic() - leaving < 4.0
            assert client.first("bye") == {"reason": "stopping"}


def test_ids_of_task_instances_are_those_of_rest() -> None:
    assert id_of(uuid_of(95877750832758784)) == 95877750832758784
