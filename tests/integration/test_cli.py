"""The `dagdeck` command line against a real control API."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml

from dagdeck_client.cli.connections import parse_uri
from dagdeck_client.cli.exit_codes import ExitCode
from dagdeck_client.cli.output import yaml_lines
from dagdeck_client.cli.root import cli as root
from dagdeck_client.cli.root import run
from dagdeck_client.cli.waiting import describe
from dagdeck_client.errors import BadRequest, ServerFault, Unreachable, VersionMismatch, error_of
from dagdeck_client.requests import runs as run_requests
from dagdeck_client.requests.admin import get_version
from dagdeck_client.requests.base import Request, path, query
from dagdeck_client.transport import Endpoint, HttpTransport
from dagdeck_core.errors import UserError
from dagdeck_io.db.processor_store import ImportFailure
from tests.integration.api_cluster import PASSWORDS, ApiCluster, api_cluster, log_of, sample_specs, unused_port


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> object:
        """Standard output as JSON."""
        return json.loads(self.out)


class Cli:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        code = run(arguments)
        out, err = self._capsys.readouterr()
        return Ended(int(code), out, err)


@pytest.fixture
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine's user: no profiles, no local cluster."""
    for name in [name for name in os.environ if name.startswith("DAGDECK")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def cli(
    cluster: ApiCluster,
    clean_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """The command line, signed in as the administrator."""
    monkeypatch.setenv("DAGDECK_URL", cluster.url)
    monkeypatch.setenv("DAGDECK_TOKEN", cluster.tokens["alice"])
    return Cli(capsys)


class TestDags:
    def test_list_in_every_format(self, cli: Cli) -> None:
        table = cli("dags", "list").out.splitlines()
        assert table[0].split() == ["DAG", "PAUSED", "SCHEDULE", "NEXT", "RUN", "OWNERS", "TAGS"]
        assert [line.split()[0] for line in table[1:]] == ["failing", "holding", "pipeline", "scheduled"]
        plain = cli("dags", "list", "-o", "plain").out.splitlines()
        assert plain[2].split("\t")[:2] == ["pipeline", "false"]
        as_json = cli("-o", "json", "dags", "list").data
        as_yaml = yaml.safe_load(cli("dags", "list", "--output=yaml").out)
        assert isinstance(as_json, list)
        assert as_json[2]["dag_id"] == "pipeline"
        assert as_json == as_yaml

    def test_filters(self, cli: Cli) -> None:
        def ids(*arguments: str) -> list[str]:
            return [line.split("\t")[0] for line in cli("dags", "list", "-o", "plain", *arguments).out.splitlines()]

        assert ids("--tag", "daily") == ["pipeline"]
        assert ids("--owner", "bob") == ["pipeline"]
        assert ids("--pattern", "hold|fail") == ["failing", "holding"]
        assert ids("--paused") == ["scheduled"]
        assert ids("--limit", "2") == ["failing", "holding"]
        nothing = cli("dags", "list", "--pattern", "nothing")
        assert (nothing.code, nothing.out, nothing.err) == (0, "", "No DAGs.\n")

    def test_show(self, cli: Cli) -> None:
        shown = cli("dags", "show", "pipeline", "-o", "json").data
        assert isinstance(shown, dict)
        assert shown["doc_md"] == "# Pipeline"
        assert "# Pipeline" in cli("dags", "show", "pipeline").out

    def test_pause_and_unpause(self, cli: Cli) -> None:
        paused = cli("dags", "pause", "holding", "failing", "-o", "plain")
        assert [line.split("\t")[:2] for line in paused.out.splitlines()] == [["holding", "true"], ["failing", "true"]]
        assert cli("dags", "unpause", "holding", "failing").code == 0

    def test_trigger(self, cli: Cli) -> None:
        made = cli(
            "dags", "trigger", "pipeline", "--run-id", "r1", "--conf", '{"year": 2001}', "--note", "n", "-o", "json"
        )
        assert isinstance(made.data, dict)
        assert (made.data["dag_run_id"], made.data["conf"], made.data["note"]) == ("r1", {"year": 2001}, "n")
        assert made.data["triggered_by"] == "cli"
        again = cli("dags", "trigger", "pipeline", "--run-id", "r1")
        assert again.code == 1
        assert again.err.startswith("error: ")
        assert "already has a run" in again.err

    def test_trigger_with_conf_from_a_file_and_a_logical_date(self, cli: Cli, tmp_path: Path) -> None:
        conf = tmp_path / "conf.json"
        conf.write_text('{"year": 1999}')
        made = cli(
            "dags",
            "trigger",
            "pipeline",
            "--conf",
            f"@{conf}",
            "--logical-date",
            "2021-02-03T04:05:06+02:00",
            "-o",
            "json",
        ).data
        assert isinstance(made, dict)
        assert (made["conf"], made["logical_date"]) == ({"year": 1999}, "2021-02-03T02:05:06Z")

    @pytest.mark.parametrize("conf", ["{", "[1]", "@/nothing/here"])
    def test_bad_conf_is_a_usage_error(self, cli: Cli, conf: str) -> None:
        ended = cli("dags", "trigger", "pipeline", "--conf", conf)
        assert ended.code == 2
        assert "--conf" in ended.err

    def test_conf_against_params(self, cli: Cli) -> None:
        ended = cli("dags", "trigger", "pipeline", "--conf", '{"year": "soon"}')
        assert ended.code == 2
        assert "'year'" in ended.err

    def test_delete_asks_first(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("click.confirm", _decline)
        ended = cli("dags", "delete", "holding")
        assert ended.code == 130
        assert cli("dags", "show", "holding").code == 0

    def test_import_errors(self, cluster: ApiCluster, cli: Cli) -> None:
        assert "No import errors" in cli("import-errors", "list").err
        cluster.publish(sample_specs(), [ImportFailure(filename="b.py", message="invalid syntax", line=3)], "broken")
        assert "invalid syntax" in cli("import-errors", "list").out
        cluster.publish(sample_specs(), content="mended")


def _decline(*arguments: object, **options: object) -> bool:
    import click

    raise click.Abort


class TestWaiting:
    def test_a_run_that_succeeds(self, cli: Cli) -> None:
        ended = cli("dags", "trigger", "pipeline", "--wait")
        assert ended.code == 0
        assert "success after" in ended.err
        assert ended.out == ""

    def test_a_run_that_fails(self, cli: Cli) -> None:
        ended = cli("dags", "trigger", "failing", "--wait", "-o", "json")
        assert ended.code == 1
        assert isinstance(ended.data, dict)
        assert ended.data["state"] == "failed"
        assert "1 failed, 1 upstream_failed, 1 success" in ended.err

    def test_waiting_no_longer_than_asked(self, cli: Cli) -> None:
        ended = cli("dags", "trigger", "holding", "--run-id", "long", "--wait", "--timeout", "0.3")
        assert ended.code == 6
        assert "it goes on" in ended.err
        assert cli("runs", "wait", "holding", "long", "--timeout", "0").code == 6
        assert cli("runs", "mark", "holding", "long", "failed").code == 0
        assert cli("runs", "wait", "holding", "long").code == 1

    def test_the_most_telling_states_come_first(self) -> None:
        from collections import Counter

        assert describe(Counter(success=3, failed=1, none=2)) == "1 failed, 3 success, 2 none"
        assert describe(Counter()) == "no tasks yet"


@pytest.fixture(scope="module")
def run_id(cluster: ApiCluster) -> str:
    """A run of the failing DAG that has ended."""
    where = "/api/v2/dags/failing/dagRuns"
    made = cluster.call("POST", where, json={"dag_run_id": "seen"}).json()
    cluster.until(lambda: cluster.call("GET", f"{where}/seen").json()["state"] == "failed", "it fails")
    return str(made["dag_run_id"])


def first_column(ended: Ended) -> list[str]:
    """The first column of plain output."""
    return [line.split("\t")[0] for line in ended.out.splitlines()]


class TestRunsAndTasks:
    def test_runs(self, cli: Cli, run_id: str) -> None:
        rows = [
            line.split("\t")
            for line in cli("runs", "list", "failing", "--state", "failed", "-o", "plain").out.splitlines()
        ]
        assert [run_id, "failed"] in [row[1:3] for row in rows]
        assert len(cli("runs", "list", "--limit", "1", "-o", "plain").out.splitlines()) == 1
        assert cli("runs", "list", "--since", "2100-01-01", "-o", "plain").out == ""
        shown = cli("runs", "show", "failing", run_id, "-o", "plain").out
        assert "state\tfailed" in shown
        assert cli("runs", "show", "failing", "nothing").code == 5

    def test_tasks(self, cli: Cli, run_id: str) -> None:
        assert first_column(cli("tasks", "list", "failing", "-o", "plain")) == ["after", "fail_here", "first"]
        states = cli("tasks", "states", "failing", run_id, "-o", "json").data
        assert isinstance(states, list)
        assert {each["task_id"]: each["state"] for each in states} == {
            "first": "success",
            "fail_here": "failed",
            "after": "upstream_failed",
        }
        only = cli("tasks", "states", "failing", run_id, "--state", "failed", "-o", "plain").out
        assert only.split("\t")[0] == "fail_here"

    def test_clear(self, cli: Cli, run_id: str) -> None:
        dry = cli("tasks", "clear", "failing", run_id, "first", "--downstream", "--dry-run", "-o", "plain")
        assert sorted(first_column(dry)) == ["after", "fail_here", "first"]
        cleared = cli("tasks", "clear", "failing", run_id, "--only-failed", "--yes")
        assert cleared.code == 0
        assert "cleared 2 task instances" in cleared.err
        assert cli("runs", "wait", "failing", run_id).code == 1

    def test_mark(self, cli: Cli, run_id: str) -> None:
        cli("tasks", "mark", "failing", run_id, "fail_here", "success")
        assert cli("runs", "wait", "failing", run_id).code == 0

    def test_logs(self, cli: Cli, run_id: str) -> None:
        assert cli("logs", "failing", run_id, "fail_here", "--try", "1").out == log_of("fail_here", 1)
        assert cli("logs", "failing", run_id, "first").out == log_of("first", 1)
        assert cli("logs", "failing", run_id, "nothing").code == 5

    def test_following_a_log_to_its_end(self, cluster: ApiCluster, cli: Cli) -> None:
        cluster.call("POST", "/api/v2/dags/holding/dagRuns", json={"dag_run_id": "followed"})
        where = "/api/v2/dags/holding/dagRuns/followed/taskInstances/hold"
        cluster.until(lambda: cluster.call("GET", where).json()["state"] == "running", "the task runs")
        release = threading.Timer(0.3, cluster.worker.released.set)
        release.start()
        followed = cli("logs", "holding", "followed", "hold", "-f")
        release.join()
        cluster.worker.released.clear()
        assert followed.out == log_of("hold", 1)
        cluster.call("DELETE", "/api/v2/dags/holding/dagRuns/followed")

    def test_why(self, cli: Cli, run_id: str) -> None:
        cli("dags", "trigger", "pipeline", "--run-id", "later", "--run-after", "2100-01-01")
        held = cli("runs", "why", "pipeline", "later", "-o", "plain")
        assert first_column(held) == ["run_after"]
        assert "2100-01-01" in held.out
        free = cli("runs", "why", "failing", run_id, "first")
        assert (free.out, free.err) == ("", "No gates hold it; its state is success.\n")

    def test_deleting_a_run(self, cli: Cli) -> None:
        cli("dags", "trigger", "pipeline", "--run-id", "short", "--wait")
        assert cli("runs", "delete", "pipeline", "short", "--yes").code == 0
        assert cli("runs", "show", "pipeline", "short").code == 5


class TestSetUp:
    def test_workers(self, cluster: ApiCluster, cli: Cli) -> None:
        assert "stand-in" in cli("workers", "list").out
        assert "draining" in cli("workers", "drain", "stand-in").out
        assert "active" in cli("workers", "resume", str(cluster.worker.worker_id)).out
        assert cli("workers", "drain", "nobody").code == 2

    def test_pools(self, cli: Cli, tmp_path: Path) -> None:
        assert cli("pools", "set", "small", "2", "two at a time").code == 0
        assert cli("pools", "set", "small", "3", "--include-deferred").code == 0
        pools = cli("pools", "list", "-o", "json").data
        assert isinstance(pools, list)
        small = next(pool for pool in pools if pool["name"] == "small")
        assert (small["slots"], small["description"], small["include_deferred"]) == (3, "two at a time", True)
        file = tmp_path / "pools.json"
        assert cli("pools", "export", str(file)).code == 0
        assert cli("pools", "delete", "small").code == 0
        assert cli("pools", "import", str(file)).code == 0
        assert json.loads(cli("pools", "export").out)["small"]["slots"] == 3
        assert cli("pools", "delete", "default_pool").code == 2
        bad = tmp_path / "bad.json"
        bad.write_text('{"p": {"slots": "many"}}')
        assert cli("pools", "import", str(bad)).code == 2

    def test_variables(self, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert cli("variables", "set", "region", "eu", "--description", "where").code == 0
        assert cli("variables", "set", "region", "us").code == 0
        assert cli("variables", "get", "region").out == "us\n"
        assert cli("variables", "set", "settings", '{"a": [1]}', "--json").code == 0
        assert cli("variables", "set", "settings", "{", "--json").code == 2
        cli("variables", "set", "api_token", "hidden")
        shown = cli("variables", "list", "-o", "json").data
        assert isinstance(shown, list)
        assert {each["key"]: each["value"] for each in shown} == {
            "api_token": "***",
            "region": "us",
            "settings": '{"a": [1]}',
        }
        file = tmp_path / "variables.json"
        exported = cli("variables", "export", str(file))
        assert "api_token" in exported.err
        assert json.loads(file.read_text()) == {"region": "us", "settings": {"a": [1]}}
        for key in ("region", "settings", "api_token"):
            assert cli("variables", "delete", key).code == 0
        assert cli("variables", "get", "region").code == 5
        assert cli("variables", "import", str(file)).code == 0
        assert cli("variables", "get", "region").out == "us\n"

    def test_connections(self, cli: Cli) -> None:
        added = cli("connections", "add", "db", "--uri", "postgres://me:p%40ss@host:5432/main?sslmode=require")
        assert added.code == 0
        shown = cli("connections", "get", "db", "-o", "json").data
        assert isinstance(shown, dict)
        assert (shown["host"], shown["login"], shown["schema"], shown["port"]) == ("host", "me", "main", 5432)
        assert shown["password"] == "***"
        assert json.loads(shown["extra"]) == {"sslmode": "require"}
        assert cli("connections", "add", "web", "--type", "http", "--host", "h").code == 0
        assert cli("connections", "add", "nothing").code == 2
        assert [line.split("\t")[0] for line in cli("connections", "list", "-o", "plain").out.splitlines()] == [
            "db",
            "web",
        ]
        assert cli("connections", "delete", "web").code == 0
        assert cli("connections", "get", "web").code == 5

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("http://h", {"conn_type": "http", "host": "h"}),
            ("google-cloud://", {"conn_type": "google_cloud"}),
            ("x://u@h/a%2Fb", {"conn_type": "x", "login": "u", "host": "h", "schema": "a/b"}),
            ('x://?__extra__={"a": 1}', {"conn_type": "x", "extra": '{"a": 1}'}),
        ],
    )
    def test_uris(self, uri: str, expected: dict[str, object]) -> None:
        assert parse_uri(uri) == expected


class TestSigningIn:
    def test_a_profile_is_kept_and_used(
        self,
        cluster: ApiCluster,
        clean_environment: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        cli = Cli(capsys)
        read, write = os.pipe()
        os.write(write, f"{PASSWORDS['victor']}\n".encode())
        os.close(write)
        with os.fdopen(read) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            ended = cli("--url", cluster.url, "auth", "login", "--username", "victor", "--password-stdin")
        assert ended.code == 0
        file = clean_environment / "config" / "dagdeck" / "profiles.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert cli("dags", "list").code == 0
        assert cli("--profile", "default", "auth", "status", "-o", "json").data == {
            "url": cluster.url,
            "has_token": True,
            "origin": "profile default",
        }
        forbidden = cli("dags", "pause", "pipeline")
        assert forbidden.code == 4
        assert "needs the role operator" in forbidden.err
        assert cli("--profile", "other", "dags", "list").code == 2

    def test_narrow_tokens_are_made_listed_and_ended(
        self,
        cluster: ApiCluster,
        clean_environment: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        cli = Cli(capsys)
        monkeypatch.setenv("DAGDECK_URL", cluster.url)
        monkeypatch.setenv("DAGDECK_TOKEN", cluster.tokens["alice"])
        arguments = ("auth", "token", "--scope", "viewer", "--lifetime", "2h", "--name", "dashboards")
        made: Any = cli(*arguments, "-o", "json").data
        assert (made["token"]["name"], made["token"]["scope"]) == ("dashboards", "viewer")
        listed: Any = cli("auth", "tokens", "-o", "json").data
        assert made["token"]["token_id"] in [each["token_id"] for each in listed]
        monkeypatch.setenv("DAGDECK_TOKEN", made["access_token"])
        assert cli("dags", "list").code == 0
        assert cli("dags", "pause", "pipeline").code == 4
        assert cli("auth", "revoke", str(made["token"]["token_id"])).code == 0
        assert cli("dags", "list").code == 4

    @pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "0s", "ever", "٣d"])
    def test_a_wrong_lifetime_is_told(
        self, cluster: ApiCluster, clean_environment: Path, capsys: pytest.CaptureFixture[str], text: str
    ) -> None:
        ended = Cli(capsys)("--url", cluster.url, "auth", "token", "--lifetime", text)
        assert ended.code == 2
        assert "90d, 12h or 30m" in ended.err

    def test_the_local_cluster_s_token_file(
        self, cluster: ApiCluster, clean_environment: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cli = Cli(capsys)
        file = clean_environment / "data" / "dagdeck" / "token"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"url": cluster.url, "token": cluster.tokens["victor"]}))
        assert cli("dags", "list").code == 0
        assert cli("--url", cluster.url + "/", "dags", "list").code == 0
        file.write_text("{")
        broken = cli("dags", "list")
        assert broken.code == 2
        assert str(file) in broken.err

    def test_without_a_token(
        self, cluster: ApiCluster, clean_environment: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ended = Cli(capsys)("--url", cluster.url, "dags", "list")
        assert ended.code == 4
        assert "dagdeck auth login" in ended.err


class TestFailures:
    def test_nothing_listens(self, clean_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
        port = unused_port()
        ended = Cli(capsys)("--url", f"http://127.0.0.1:{port}", "dags", "pause", "x")
        assert ended.code == 3
        assert f"nothing listens at http://127.0.0.1:{port}" in ended.err
        assert "dagdeckd standalone" in ended.err
        version = Cli(capsys)("--url", f"http://127.0.0.1:{port}", "version")
        assert version.code == 0
        assert "unknown" in version.out

    @pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://"])
    def test_urls_that_are_none(self, url: str, clean_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
        ended = Cli(capsys)("--url", url, "dags", "list")
        assert ended.code == 2
        assert "http://host:port" in ended.err

    def test_unknown_commands_and_options(self, cli: Cli) -> None:
        assert cli("dags", "explode").code == 2
        assert cli("dags", "list", "--colour").code == 2
        assert cli("--help").code == 0


class TestTransport:
    def transport(self, handler: object, url: str = "http://server") -> HttpTransport:
        assert callable(handler)
        return HttpTransport(
            Endpoint(url=url, token="t"), sleep=self.slept.append, transport=httpx.MockTransport(handler)
        )

    @pytest.fixture(autouse=True)
    def _sleeps(self) -> None:
        self.slept: list[float] = []

    def test_reads_are_tried_again(self) -> None:
        answers = [httpx.Response(503, json={"detail": "busy"}), httpx.Response(200, json={"version": "1"})]
        with self.transport(lambda request: answers.pop(0)) as server:
            assert server.send(get_version()).version == "1"
        assert self.slept == [0.2]

    def test_changes_are_sent_once_with_a_key(self) -> None:
        seen: list[httpx.Request] = []

        def busy(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(503, json={"detail": "late", "action_id": 7})

        with self.transport(busy) as server, pytest.raises(ServerFault, match="late") as fault:
            server.send(run_requests.trigger_run("d"))
        assert fault.value.action_id == 7
        assert len(seen) == 1
        assert len(seen[0].headers["idempotency-key"]) == 32
        assert seen[0].headers["authorization"] == "Bearer t"

    def test_another_version_is_named(self) -> None:
        def newer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"version": "9"}, headers={"DagDeck-Api-Version": "9"})

        with self.transport(newer) as server, pytest.raises(VersionMismatch, match="version 9"):
            server.send(get_version())

    def test_an_airflow_server_has_no_version_header(self) -> None:
        with self.transport(lambda request: httpx.Response(200, json={"version": "3.3.2"})) as server:
            assert server.send(get_version()).version == "3.3.2"

    def test_a_web_page_is_not_the_api(self) -> None:
        with self.transport(lambda request: httpx.Response(200, html="<html>")) as server:
            with pytest.raises(ServerFault, match="web page"):
                server.send(get_version())

    def test_an_answer_of_another_shape(self) -> None:
        with self.transport(lambda request: httpx.Response(200, json={"no": 1})) as server:
            with pytest.raises(ServerFault, match="not what the API promises"):
                server.send(get_version())

    def test_time_outs(self) -> None:
        def slow(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("slow", request=request)

        with self.transport(slow) as server, pytest.raises(Unreachable, match="did not answer in time"):
            server.send(get_version())
        assert self.slept == [0.2, 0.4]

    def test_certificates_that_cannot_be_read(self) -> None:
        with pytest.raises(UserError, match="certificates cannot be read"):
            HttpTransport(Endpoint(url="https://server", ca_file="/nothing"))

    def test_details_become_sentences(self) -> None:
        body = {"detail": [{"loc": ["body", "slots"], "msg": "too small"}, {"loc": ["query", "limit"], "msg": "bad"}]}
        error = error_of(422, json.dumps(body).encode())
        assert isinstance(error, BadRequest)
        assert str(error) == "slots: too small; limit: bad"
        assert "HTTP status 502" in str(error_of(502, b"<html>"))

    def test_paths_and_queries_are_quoted(self) -> None:
        assert path("/dags/{}/dagRuns/{}", "a/b", "manual__2024-01-01T00:00:00+00:00") == (
            "/dags/a%2Fb/dagRuns/manual__2024-01-01T00%3A00%3A00%2B00%3A00"
        )
        assert query(a=[1, 2], b=None, c=True) == (("a", "1"), ("a", "2"), ("c", "true"))
        request: Request[None] = Request(method="GET", path="/", answer=None)
        assert request.is_idempotent
        assert request.encoded_body() is None


class TestAsAProcess:
    def dagdeck(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dagdeck_client.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, **environment},
            check=False,
        )

    def test_help_imports_little(self) -> None:
        code = (
            "import sys; from dagdeck_client.cli.root import run; run(['--help']); "
            "print([name for name in ('httpx', 'rich', 'dagdeck_client.cli.dags') if name in sys.modules])"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        assert ended.stdout.splitlines()[-1] == "[]"

    def test_a_reader_that_has_enough(self, cluster: ApiCluster) -> None:
        command = f"{sys.executable} -m dagdeck_client.cli dags list -o json | head -c 10"
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "DAGDECK_URL": cluster.url, "DAGDECK_TOKEN": cluster.tokens["victor"]},
            check=True,
        )
        assert ended.stderr == ""
        assert ended.stdout == "[\n  {\n    "

    def test_completion(self) -> None:
        ended = self.dagdeck(_DAGDECK_COMPLETE="bash_complete", COMP_WORDS="dagdeck da", COMP_CWORD="1")
        assert "dags" in ended.stdout

    def test_start_up_time(self) -> None:
        best = min(self.timed("--help") for _ in range(3))
        assert best < 1.0

    def timed(self, *arguments: str) -> float:
        started = time.perf_counter()
        assert self.dagdeck(*arguments).returncode == 0
        return time.perf_counter() - started


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        [{"a": 1, "b": [True, None, "x: y # z"], "c": {"d": []}}, {"yes": "no", "a b": "line\nline"}],
        [[1, [2, 3]], "text", 1.5],
        {"empty": {}, "list": [[], {}], "unicode": "ünïcode"},
    ],
)
def test_our_yaml_is_yaml(data: Sequence[object] | dict[str, object]) -> None:
    assert yaml.safe_load("\n".join(yaml_lines(data))) == data


def test_the_documentation_names_every_command_and_exit_code() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        inner = list(command.commands) if isinstance(command, click.Group) else [""]
        for each in inner:
            assert f"`{f'{name} {each}'.strip()}`" in page
    assert re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE) == [str(int(code)) for code in ExitCode]
