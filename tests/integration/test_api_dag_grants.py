"""Rights on single DAGs: what somebody with grants sees and may do, for every operation of the API and every topic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from dagdeck_core.errors import Bug
from dagdeck_core.spec import DagSpec, TaskSpec
from dagdeck_io.db.engine import Database
from dagdeck_io.db.processor_store import ImportFailure
from dagdeck_io.db.tables import audit_log, dag_warning, import_error
from dagdeck_io.secrets import generate_key
from dagdeck_master.api.app import operations as declared_operations
from dagdeck_master.api.permissions import REACH, RULES, Reach, Role, changes_something, require_rules
from dagdeck_master.api.users import TokenScope, create_user, issue_token
from dagdeckd.cli import dagdeckd
from tests.integration.api_cluster import FILE, ApiCluster, api_cluster, sample_specs
from tests.integration.push_client import EVENTS, PushClient

HIDDEN = ("failing", "holding", "secret_file", "listed_role")
"""Words of DAGs that the restricted users may not see."""
SAID = DagSpec(
    dag_id="listed_role",
    fileloc="other.py",
    is_paused_upon_creation=True,
    access_control={"auditors": {"DAGs": ["can_read"]}, "keepers": ["can_edit", "can_read"], "nobody": ["menu_access"]},
    tasks=(TaskSpec(task_id="only", task_type="PythonOperator"),),
)
GRANTS = {
    "rita": [("user", "rita", "viewer", "dag", "pipeline")],
    "ole": [("user", "ole", "operator", "pattern", "pipe*")],
    "tess": [("user", "tess", "viewer", "tag", "daily")],
    "vera": [("user", "vera", "operator", "dag", "pipeline")],
    "nora": [],
}
"""vera is a viewer of everything, the others are restricted."""


def add_user(database: Database, name: str, role: Role, roles: list[str] | None = None, **scope: Any) -> str:
    now, user_id = datetime.now(UTC), database.new_id()
    with database.writing() as connection:
        create_user(connection, user_id=user_id, username=name, password=None, role=role, now=now, roles=roles)
    return issue_token(database, user_id=user_id, scope=TokenScope(origin="api", **scope), now=now, lifetime=None)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        running.publish([*sample_specs(), SAID], [ImportFailure(filename="secret_file.py", message="broken")])
        for name, grants in GRANTS.items():
            role = Role.VIEWER if name == "vera" else Role.RESTRICTED
            running.tokens[name] = add_user(running.database, name, role)
            for grant in grants:
                assert give(running, *grant).status_code == 201
        for dag_id in ("pipeline", "failing", "holding"):
            path = f"/api/v2/dags/{dag_id}/dagRuns"
            body = {"dag_run_id": f"{dag_id}_run", "conf": {"region": "eu"}}
            running.until(partial(is_there, running, path, body), "a run")
        running.until(lambda: ended(running, "pipeline") and ended(running, "failing"), "the runs ended")
        with running.database.writing() as connection:
            for dag_id in ("pipeline", "failing"):
                warning = {"dag_id": dag_id, "warning_type": "non-existent pool", "message": dag_id}
                connection.execute(dag_warning.insert().values(**warning, timestamp=datetime.now(UTC)))
        yield running


def is_there(cluster: ApiCluster, path: str, body: dict[str, Any]) -> bool:
    return cluster.call("POST", path, json=body).status_code in (200, 409)


def ended(cluster: ApiCluster, dag_id: str) -> bool:
    state = cluster.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{dag_id}_run").json()["state"]
    return state in ("success", "failed")


def give(cluster: ApiCluster, *grant: str) -> Any:
    names = ("subject_kind", "subject", "level", "target_kind", "target")
    return cluster.call("POST", "/api/dagdeck/v1/grants", json=dict(zip(names, grant, strict=True)))


def served(cluster: ApiCluster) -> list[tuple[str, str, str]]:
    """(operation_id, method, path) of the whole API, from its OpenAPI document."""
    document = cluster.http.get("/openapi.json").json()
    return [
        (operation["operationId"], method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path != EVENTS
    ]


def filled(path: str, dag_id: str) -> str:
    """A path with a DAG, its run and a task of it; everything else is made up."""
    names = {"dag_id": dag_id, "dag_run_id": f"{dag_id}_run" if dag_id != "~" else "~"}
    names["task_id"] = {"pipeline": "extract", "~": "~"}.get(dag_id, "first")
    names |= {"map_index": "-1", "try_number": "1", "task_try_number": "1", "xcom_key": "return_value"}
    return re.sub(r"{(\w+)(?::path)?}", lambda found: names.get(found[1], "1"), path)


def asked(cluster: ApiCluster, method: str, path: str, user: str) -> Any:
    # A body that no operation takes: what is allowed ends as 4xx other than 403, and changes nothing.
    more: dict[str, Any] = {"content": b"[]", "headers": {"Content-Type": "application/json"}}
    return cluster.call(method, path, user, **(more if method in ("POST", "PATCH", "PUT") else {}))


class TestEveryOperation:
    def test_each_says_what_it_is_about(self, cluster: ApiCluster) -> None:
        assert set(declared_operations()) == set(REACH) == set(RULES)
        assert {name for name, _, path in served(cluster) if "{dag_id}" in path} == {
            name for name, reach in REACH.items() if reach in (Reach.DAG, Reach.LISTING)
        } - {name for name, _, path in served(cluster) if "{dag_id}" not in path}

    def test_one_that_does_not_say_it_cannot_be_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dagdeck_master.api.permissions.RULES", {**RULES, "new_operation": Role.VIEWER})
        with pytest.raises(Bug, match=r"permissions\.REACH: new_operation"):
            require_rules(["new_operation"])

    def test_what_is_not_about_a_dag_needs_the_role(self, cluster: ApiCluster) -> None:
        tried = 0
        for name, method, path in served(cluster):
            if REACH[name] is Reach.CLUSTER and RULES[name] is not Role.PUBLIC:
                assert asked(cluster, method, filled(path, "pipeline"), "rita").status_code == 403, name
                assert asked(cluster, method, filled(path, "pipeline"), "ole").status_code == 403, name
                tried += 1
        assert tried > 40

    def test_a_dag_that_is_not_granted_is_not_there(self, cluster: ApiCluster) -> None:
        tried = 0
        for name, method, path in served(cluster):
            if "{dag_id}" in path and not path.endswith("/list"):
                for user in ("rita", "ole", "tess", "nora"):
                    answer = asked(cluster, method, filled(path, "failing"), user)
                    wanted = (403, 404) if RULES[name] is Role.ADMIN else (404,)
                    assert answer.status_code in wanted, (name, user, answer.text)
                tried += 1
        assert tried > 45

    def test_one_that_is_granted_is(self, cluster: ApiCluster) -> None:
        for name, method, path in served(cluster):
            if "{dag_id}" in path and not path.endswith("/list") and name != "wait_dag_run_until_finished":
                url = filled(path, "pipeline")
                assert (asked(cluster, method, url, "rita").status_code == 403) == (RULES[name] > Role.VIEWER), name
                assert (asked(cluster, method, url, "ole").status_code == 403) == (RULES[name] > Role.OPERATOR), name
                assert (asked(cluster, method, url, "vera").status_code == 403) == (RULES[name] > Role.OPERATOR), name

    def test_listings_keep_to_what_is_granted(self, cluster: ApiCluster) -> None:
        shown_to_admin = set()
        for name, method, path in served(cluster):
            if REACH[name] is not Reach.LISTING or changes_something(name, method):
                continue
            given: dict[str, Any] = {"json": {}} if method == "POST" else {"params": {"limit": 1000}}
            url = filled(path, "~")
            everything = cluster.call(method, url, "alice", **given)
            if any(word in everything.text for word in HIDDEN):
                shown_to_admin.add(name)
            for user in ("rita", "ole", "tess", "nora"):
                answer = cluster.call(method, url, user, **given)
                if RULES[name] is Role.OPERATOR and user != "ole":
                    assert answer.status_code == 403, name
                assert not any(word in answer.text for word in HIDDEN), (name, user)
                if user == "nora" and answer.status_code == 200:
                    totals = [v for k, v in answer.json().items() if k == "total_entries"]
                    assert totals in ([], [0]), name
        # Those whose answers hold no DAG's name: an import error of no DAG, one error, one entry of the audit log.
        assert shown_to_admin >= {
            "get_dags", "get_dag_stats", "get_dag_versions", "list_dag_warnings", "get_import_errors", "get_event_logs",
            "get_dag_runs", "get_list_dag_runs_batch", "get_task_instances", "get_task_instances_batch",
            "get_xcom_entries",
        }  # fmt: skip

    def test_counts_are_of_what_is_granted(self, cluster: ApiCluster) -> None:
        for path, count in (("/api/v2/dags", 1), ("/api/v2/dags/~/dagRuns", 1), ("/api/v2/dagStats", 1)):
            assert cluster.call("GET", path, "rita").json()["total_entries"] == count, path
            assert cluster.call("GET", path, "rita", params={"limit": 1, "offset": 1}).json()["total_entries"] == count
            assert cluster.call("GET", path).json()["total_entries"] > count

    def test_whoever_has_a_role_sees_everything_still(self, cluster: ApiCluster) -> None:
        for user in ("victor", "vera", "olga", "alice"):
            assert cluster.call("GET", "/api/v2/dags", user).json()["total_entries"] == 5


class TestSingleOnes:
    def test_an_import_error_is_shown_when_all_dags_of_its_file_are(self, cluster: ApiCluster) -> None:
        with cluster.database.writing() as connection:
            values = {"bundle_name": "test_dags", "timestamp": datetime.now(UTC), "message": "m"}
            first, second = cluster.database.new_id(), cluster.database.new_id()
            for number, file in ((first, FILE), (second, "other.py")):
                connection.execute(import_error.insert().values(import_error_id=number, filename=file, **values))
        try:
            cluster.tokens["nan"] = add_user(cluster.database, "nan", Role.RESTRICTED, ["auditors"])
            shown = cluster.call("GET", "/api/v2/importErrors", "nan").json()
            assert [each["import_error_id"] for each in shown["import_errors"]] == [second]
            assert cluster.call("GET", f"/api/v2/importErrors/{second}", "nan").status_code == 200
            assert cluster.call("GET", f"/api/v2/importErrors/{first}", "nan").status_code == 404
            # pipeline is in a file with others that rita may not see.
            assert cluster.call("GET", "/api/v2/importErrors", "rita").json()["total_entries"] == 0
        finally:
            with cluster.database.writing() as connection:
                connection.execute(import_error.delete().where(import_error.c.import_error_id.in_((first, second))))

    def test_entries_of_the_audit_log(self, cluster: ApiCluster) -> None:
        with cluster.database.reading() as connection:
            rows = connection.execute(sa.select(audit_log.c.event_log_id, audit_log.c.dag_id)).all()
        for number, dag_id in rows:
            answer = cluster.call("GET", f"/api/v2/eventLogs/{number}", "ole")
            assert answer.status_code == (200 if dag_id == "pipeline" else 404)
        # Seeing them needs operator; rita is a viewer of her DAG.
        assert cluster.call("GET", "/api/v2/eventLogs", "rita").status_code == 403

    def test_what_may_be_steered_and_what_not(self, cluster: ApiCluster) -> None:
        body = {"conf": {"region": "eu"}}
        assert cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", "ole", json=body).status_code == 200
        assert cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", "vera", json=body).status_code == 200
        refused = cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", "rita", json=body)
        assert refused.status_code == 403
        assert cluster.call("POST", "/api/v2/dags/failing/dagRuns", "ole", json={}).status_code == 404
        assert cluster.call("POST", "/api/v2/dags/failing/dagRuns", "vera", json={}).status_code == 403

    def test_many_are_paused_only_as_far_as_granted(self, cluster: ApiCluster) -> None:
        path = "/api/v2/dags?dag_id_pattern=~"
        paused = cluster.call("PATCH", path, "ole", json={"is_paused": True}).json()
        assert [each["dag_id"] for each in paused["dags"]] == ["pipeline"]
        states = {each["dag_id"]: each["is_paused"] for each in cluster.call("GET", "/api/v2/dags").json()["dags"]}
        assert states["pipeline"]
        assert not states["failing"]
        assert cluster.call("PATCH", path, "rita", json={"is_paused": False}).status_code == 403
        assert cluster.call("PATCH", path, "ole", json={"is_paused": False}).status_code == 200

    def test_a_token_that_was_narrowed_narrows_grants(self, cluster: ApiCluster) -> None:
        made = cluster.call("POST", "/api/dagdeck/v1/tokens", "vera", json={"scope": "viewer"})
        cluster.tokens["narrow"] = made.json()["access_token"]
        cluster.tokens["wide"] = cluster.call("POST", "/api/dagdeck/v1/tokens", "ole", json={}).json()["access_token"]
        body = {"conf": {"region": "eu"}}
        assert cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", "narrow", json=body).status_code == 403
        assert cluster.call("GET", "/api/v2/dags/pipeline", "narrow").status_code == 200
        assert cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", "wide", json=body).status_code == 200

    def test_what_dag_files_say(self, cluster: ApiCluster) -> None:
        """access_control gives roles rights; who has a role is an administrator's to say."""
        for name, roles, sees, steers in (
            ("sam", ["auditors"], 200, 403),
            ("kim", ["keepers", "other"], 200, 200),
            ("tim", ["nobody"], 404, 404),
        ):
            cluster.tokens[name] = add_user(cluster.database, name, Role.RESTRICTED, roles)
            assert cluster.call("GET", "/api/v2/dags/listed_role", name).status_code == sees
            path, body = "/api/v2/dags/listed_role", {"is_paused": True}
            assert cluster.call("PATCH", path, name, json=body).status_code == steers
        assert cluster.call("GET", "/api/v2/dags", "kim").json()["total_entries"] == 1


class TestTopics:
    def test_what_topics_show(self, cluster: ApiCluster) -> None:
        with PushClient(cluster.http, cluster.tokens["rita"], "home", "dags") as client:
            home, dags = client.first("snapshot", "home"), client.first("snapshot", "dags")
        assert {run["dag_id"] for run in home["data"]["runs"]} == {"pipeline"}
        assert [each["dag_id"] for each in dags["data"]["dags"]] == ["pipeline"]
        assert home["data"]["dags"]["total"] == 1
        assert home["data"]["import_errors"] == 0
        with PushClient(cluster.http, cluster.tokens["alice"], "home", "dags") as client:
            everything = client.first("snapshot", "dags")["data"]["dags"]
            assert client.first("snapshot", "home")["data"]["dags"]["total"] == 5
        assert len(everything) == 5

    def test_changes_reach_only_who_may_see_them(self, cluster: ApiCluster) -> None:
        with (
            PushClient(cluster.http, cluster.tokens["rita"], "home", "dags") as hers,
            PushClient(cluster.http, cluster.tokens["victor"], "home") as his,
        ):
            hers.first("snapshot", "dags")
            his.first("snapshot", "home")
            cluster.call("POST", "/api/v2/dags/failing/dagRuns", json={"dag_run_id": "unseen"})
            cluster.call("POST", "/api/v2/dags/pipeline/dagRuns", json={"dag_run_id": "seen", "conf": {"region": "eu"}})
            for client in (hers, his):
                client.until(lambda it: any("'seen'" in str(each.data) for each in it.events), "the run is told")
            his.until(lambda it: any("'unseen'" in str(each.data) for each in it.events), "so is the other")
            assert not any("unseen" in str(each.data) for each in hers.events)

    @pytest.mark.parametrize(
        ("topic", "status"),
        [
            ("dag:pipeline", 200),
            ("dag:failing", 404),
            ("dag:none", 404),
            ("run:pipeline/pipeline_run", 200),
            ("run:failing/failing_run", 404),
            ("workers", 403),
        ],
    )
    def test_topics_of_one_dag(self, cluster: ApiCluster, topic: str, status: int) -> None:
        headers = {"Authorization": f"Bearer {cluster.tokens['rita']}"}
        with cluster.http.stream("GET", EVENTS, params={"subscribe": topic}, headers=headers) as answer:
            assert answer.status_code == status

    def test_logs(self, cluster: ApiCluster) -> None:
        for dag_id, task_id, status in (("pipeline", "extract", 200), ("failing", "first", 404)):
            path = f"/api/v2/dags/{dag_id}/dagRuns/{dag_id}_run/taskInstances/{task_id}"
            topic = "log:" + cluster.call("GET", path).json()["id"]
            headers = {"Authorization": f"Bearer {cluster.tokens['rita']}"}
            with cluster.http.stream("GET", EVENTS, params={"subscribe": topic}, headers=headers) as answer:
                assert answer.status_code == status, dag_id

    def test_a_stream_ends_when_rights_change(self, cluster: ApiCluster) -> None:
        cluster.tokens["tom"] = add_user(cluster.database, "tom", Role.RESTRICTED)
        streams = cluster.app.state.context.streams
        with PushClient(cluster.http, cluster.tokens["tom"], "dags") as client:
            assert client.first("snapshot", "dags")["data"]["dags"] == []
            made = give(cluster, "user", "tom", "viewer", "dag", "holding").json()
            streams._check_seconds = 0.0
            client.until(lambda it: it.of("bye"), "it ends", timeout=25.0)
            assert client.of("bye")[0].data == {"reason": "access_changed"}
        with PushClient(cluster.http, cluster.tokens["tom"], "dags") as client:
            assert [each["dag_id"] for each in client.first("snapshot", "dags")["data"]["dags"]] == ["holding"]
        assert cluster.call("DELETE", f"/api/dagdeck/v1/grants/{made['grant_id']}").status_code == 204


class TestGrants:
    def test_they_are_listed_with_what_dag_files_say(self, cluster: ApiCluster) -> None:
        found = cluster.call("GET", "/api/dagdeck/v1/grants").json()["grants"]
        told = {(each["subject"], each["level"], each["target"], each["origin"]) for each in found}
        assert {
            ("ole", "operator", "pipe*", "granted"),
            ("auditors", "viewer", "listed_role", "dag_file"),
            ("keepers", "operator", "listed_role", "dag_file"),
        } <= told
        assert "nobody" not in {each["subject"] for each in found}

    def test_they_act_at_once_and_are_recorded(self, cluster: ApiCluster) -> None:
        cluster.tokens["una"] = add_user(cluster.database, "una", Role.RESTRICTED, ["crew"])
        assert cluster.call("GET", "/api/v2/dags/holding", "una").status_code == 404
        made = give(cluster, "role", "crew", "viewer", "dag", "holding").json()
        assert cluster.call("GET", "/api/v2/dags/holding", "una").status_code == 200
        assert cluster.call("DELETE", f"/api/dagdeck/v1/grants/{made['grant_id']}").status_code == 204
        assert cluster.call("GET", "/api/v2/dags/holding", "una").status_code == 404
        with cluster.database.reading() as connection:
            events = connection.execute(sa.select(audit_log.c.event).where(audit_log.c.dag_id == "holding")).scalars()
            assert {"create_grant", "delete_grant"} <= set(events)

    def test_mistakes_are_named(self, cluster: ApiCluster) -> None:
        assert give(cluster, "user", "stranger", "viewer", "dag", "x").status_code == 404
        assert give(cluster, *GRANTS["rita"][0]).status_code == 409
        assert give(cluster, "user", "rita", "admin", "dag", "x").status_code == 422
        assert cluster.call("DELETE", "/api/dagdeck/v1/grants/1").status_code == 404

    def test_patterns_mean_what_they_say(self, cluster: ApiCluster) -> None:
        cluster.tokens["pat"] = add_user(cluster.database, "pat", Role.RESTRICTED)
        for pattern, expected in (
            ("PIPE*", []),
            ("pipelin?", ["pipeline"]),
            ("[p]ipeline", []),
            ("*l*ing", ["failing"]),
        ):
            made = give(cluster, "user", "pat", "viewer", "pattern", pattern).json()
            found = cluster.call("GET", "/api/v2/dags?dag_id_pattern=i", "pat").json()["dags"]
            assert [each["dag_id"] for each in found if each["dag_id"] != "holding"] == expected, pattern
            cluster.call("DELETE", f"/api/dagdeck/v1/grants/{made['grant_id']}")

    def test_the_unrestricted_pay_no_query(self, cluster: ApiCluster) -> None:
        """Neither those with a role that reaches, nor a viewer without grants, cost another statement."""
        counted: list[str] = []

        def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            counted.append(statement)

        authority = cluster.app.state.context.authority
        sa.event.listen(cluster.database.engine, "before_cursor_execute", count)
        try:
            for user, grants in (("alice", False), ("olga", False), ("victor", False), ("vera", True), ("rita", True)):
                authority.recognise(cluster.tokens[user])  # whether the use was recorded is not counted
                counted.clear()
                principal = authority.recognise(cluster.tokens[user])
                mine = [each for each in counted if "dag_grant" in each]
                assert len(mine) == (2 if grants else 1), user
                assert (principal.grants is not None) == grants
        finally:
            sa.event.remove(cluster.database.engine, "before_cursor_execute", count)


class TestCommands:
    @pytest.fixture
    def run(self, cluster: ApiCluster, tmp_path: Path) -> Any:
        def call(*arguments: str) -> Result:
            (tmp_path / "empty.toml").touch()
            options = ["--config", str(tmp_path / "empty.toml"), "--set", f"paths.home={tmp_path}"]
            options += ["--set", f"security.secret_key={generate_key()}"]
            return CliRunner().invoke(
                dagdeckd, [*options, "--set", f"database.url={cluster.settings.database.url}", *arguments]
            )

        return call

    def test_grants_by_command(self, cluster: ApiCluster, run: Any) -> None:
        cluster.tokens["cleo"] = add_user(cluster.database, "cleo", Role.RESTRICTED)
        assert run("dag-grants", "add", "viewer", "--user", "cleo", "--tag", "etl").exit_code == 0
        cluster.app.state.context.authority.forget()
        shown = cluster.call("GET", "/api/v2/dags", "cleo").json()["dags"]
        assert [each["dag_id"] for each in shown] == ["failing", "pipeline"]
        assert (
            "cleo is operator of tag etl"
            in run("dag-grants", "add", "operator", "--user", "cleo", "--tag", "etl").output
        )
        listed = run("dag-grants", "list").output.splitlines()
        assert "user\tcleo\toperator\ttag\tetl" in listed
        assert "role\tkeepers\toperator\tdag\tlisted_role\t(its file says so)" in listed
        assert run("dag-grants", "remove", "--user", "cleo", "--tag", "etl").exit_code == 0
        assert "there is no such grant" in str(run("dag-grants", "remove", "--user", "cleo", "--tag", "etl").exception)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--dag", "x"), "--user or --role"),
            (("--user", "a", "--role", "b", "--dag", "x"), "--user or --role"),
            (("--role", "a"), "--dag or --pattern or --tag"),
            (("--role", "a", "--dag", "x", "--tag", "y"), "--dag or --pattern or --tag"),
            (("--user", "stranger", "--dag", "x"), "there is no such user"),
        ],
    )
    def test_mistakes(self, run: Any, arguments: tuple[str, ...], reason: str) -> None:
        assert reason in str(run("dag-grants", "add", "viewer", *arguments).exception)

    def test_roles_of_an_account(self, cluster: ApiCluster, run: Any) -> None:
        add_user(cluster.database, "dora", Role.RESTRICTED)
        assert run("users", "set-roles", "dora", "keepers", "auditors").output == "dora has auditors, keepers\n"
        users = {each["username"]: each for each in cluster.call("GET", "/api/dagdeck/v1/users").json()["users"]}
        assert users["dora"]["roles"] == ["auditors", "keepers"]
        assert run("users", "set-roles", "dora").output == "dora has no roles\n"
