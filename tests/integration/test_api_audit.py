"""What the audit log tells of people: every changing operation, sign-ins, refusals, and from where they came."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from dagdeck import Asset
from dagdeck_core.human_input import Question
from dagdeck_core.spec import DagSpec, ReferenceSpec, TaskSpec
from dagdeck_core.timetables import AssetTriggeredSpec
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import open_database
from dagdeck_io.db.tables import asset, audit_log, dag_grant, token, user, worker
from dagdeck_master.api import refusals
from dagdeck_master.api.client_address import ClientAddresses
from dagdeck_master.api.permissions import changes_something
from dagdeck_master.api.users import ensure_admin
from dagdeckd.cli import dagdeckd
from tests.integration.api_cluster import FILE, PASSWORDS, ApiCluster, api_cluster, sample_specs

RAW = ReferenceSpec(kind="asset", name="raw", uri="s3://raw/", group="asset")
LONE = ReferenceSpec(kind="asset", name="lone", uri="s3://lone/", group="asset")
OWN = [
    DagSpec(
        dag_id="maker",
        fileloc=FILE,
        is_paused_upon_creation=False,
        tasks=(TaskSpec(task_id="t", task_type="PythonOperator", outlets=(RAW,)),),
    ),
    DagSpec(
        dag_id="waits",
        fileloc=FILE,
        is_paused_upon_creation=False,
        asset_expression=(Asset("raw", "s3://raw") & Asset("lone", "s3://lone")).as_expression(),
        schedule_assets=(RAW, LONE),
        timetable=AssetTriggeredSpec(),
        tasks=(TaskSpec(task_id="t", task_type="PythonOperator"),),
    ),
    DagSpec(
        dag_id="asking",
        fileloc=FILE,
        is_paused_upon_creation=False,
        tasks=(TaskSpec(task_id="which", task_type="HITLOperator"),),
    ),
]
QUESTION = Question(subject="Which one?", options=("left", "right"), next_method="execute_complete")
RUN = "/api/v2/dags/maker/dagRuns/kept"
STORE = RUN + "/taskInstances/t/state-store"
PAUSE = {"is_paused": False}
EVENT = ("create_asset_event", "POST", "/api/v2/assets/events", {"asset_id": "{asset}", "extra": {}})
MARK = {"new_state": "failed"}

CHANGES: list[tuple[str, str, str, Any]] = [
    ("create_token", "POST", "/auth/token", {"username": "olga", "password": PASSWORDS["olga"]}),
    ("create_token_cli", "POST", "/auth/token/cli", {"username": "olga", "password": PASSWORDS["olga"]}),
    ("trigger_dag_run", "POST", "/api/v2/dags/maker/dagRuns", {"dag_run_id": "kept"}),
    ("patch_dag_run", "PATCH", RUN, {"note": "a note"}),
    ("patch_task_instance", "PATCH", RUN + "/taskInstances/t", MARK),
    ("patch_task_instance_by_map_index", "PATCH", RUN + "/taskInstances/t/-1", {"new_state": "success"}),
    ("post_clear_task_instances", "POST", "/api/v2/dags/maker/clearTaskInstances", {
        "dry_run": False, "dag_run_id": "kept", "only_failed": False,
    }),
    ("clear_dag_run", "POST", RUN + "/clear", {"dry_run": False}),
    ("update_hitl_detail", "PATCH", "/api/v2/dags/asking/dagRuns/ask/taskInstances/which/-1/hitlDetails", {
        "chosen_options": ["left"],
    }),
    ("set_task_state_store", "PUT", STORE + "/mark", {"value": 1}),
    ("patch_task_state_store", "PATCH", STORE + "/mark", {"value": 2}),
    ("delete_task_state_store", "DELETE", STORE + "/mark", None),
    ("clear_task_state_store", "DELETE", STORE, None),
    ("materialize_asset", "POST", "/api/v2/assets/{asset}/materialize", {}),
    EVENT,
    ("delete_asset_queued_events", "DELETE", "/api/v2/assets/{asset}/queuedEvents", None),
    EVENT,
    ("delete_dag_asset_queued_events", "DELETE", "/api/v2/dags/waits/assets/queuedEvents", None),
    EVENT,
    ("delete_dag_asset_queued_event", "DELETE", "/api/v2/dags/waits/assets/{asset}/queuedEvents", None),
    ("set_asset_state_store", "PUT", "/api/v2/assets/{asset}/state-store/mark", {"value": 1}),
    ("delete_asset_state_store", "DELETE", "/api/v2/assets/{asset}/state-store/mark", None),
    ("clear_asset_state_store", "DELETE", "/api/v2/assets/{asset}/state-store", None),
    ("favorite_dag", "POST", "/api/v2/dags/maker/favorite", None),
    ("unfavorite_dag", "POST", "/api/v2/dags/maker/unfavorite", None),
    ("patch_dag", "PATCH", "/api/v2/dags/maker", PAUSE),
    ("patch_dags", "PATCH", "/api/v2/dags?dag_id_pattern=maker", PAUSE),
    ("reparse_dag_file", "PUT", "/api/v2/parseDagFile/{file}", None),
    ("post_pool", "POST", "/api/v2/pools", {"name": "audited", "slots": 3}),
    ("patch_pool", "PATCH", "/api/v2/pools/audited", {"slots": 4}),
    ("delete_pool", "DELETE", "/api/v2/pools/audited", None),
    ("post_variable", "POST", "/api/v2/variables", {"key": "audited", "value": "one"}),
    ("patch_variable", "PATCH", "/api/v2/variables/audited", {"key": "audited", "value": "two"}),
    ("delete_variable", "DELETE", "/api/v2/variables/audited", None),
    ("post_connection", "POST", "/api/v2/connections", {"connection_id": "audited", "conn_type": "http"}),
    ("patch_connection", "PATCH", "/api/v2/connections/audited", {"connection_id": "audited", "conn_type": "ftp"}),
    ("delete_connection", "DELETE", "/api/v2/connections/audited", None),
    ("drain_worker", "POST", "/api/dagdeck/v1/workers/{worker}/drain", None),
    ("resume_worker", "POST", "/api/dagdeck/v1/workers/{worker}/resume", None),
    ("create_user", "POST", "/api/dagdeck/v1/users", {"username": "new", "password": "long enough", "role": "viewer"}),
    ("patch_user", "PATCH", "/api/dagdeck/v1/users/new", {"role": "operator"}),
    (
        "create_grant",
        "POST",
        "/api/dagdeck/v1/grants",
        {"subject_kind": "user", "subject": "new", "level": "viewer", "target_kind": "dag", "target": "maker"},
    ),
    ("delete_grant", "DELETE", "/api/dagdeck/v1/grants/{grant}", None),
    ("create_own_token", "POST", "/api/dagdeck/v1/tokens", {"name": "audited"}),
    ("revoke_one_own_token", "DELETE", "/api/dagdeck/v1/tokens/{token}", None),
    ("delete_dag_run", "DELETE", "/api/v2/dags/asking/dagRuns/ask", None),
    ("delete_dag", "DELETE", "/api/v2/dags/asking", None),
    ("revoke_own_token", "DELETE", "/api/dagdeck/v1/tokens/current", None),
]  # fmt: skip
"""One use of each changing operation that has an effect, in an order in which all of them have one."""
STARTING = ("trigger_dag_run", "patch_task_instance", "post_clear_task_instances", "clear_dag_run")
"""After these the tasks of the run go on by themselves, which the next one would meet."""
BY_EVENT = {"create_token": "sign_in", "create_token_cli": "sign_in"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home"), **{"api.trusted_proxies": "127.0.0.1"}) as running:
        running.worker.questions["which"] = QUESTION
        running.publish([*sample_specs(), *OWN])
        running.until(lambda: triggered(running, "asking", "ask").status_code == 200, "the DAGs are known")
        where = "/api/v2/dags/asking/dagRuns/ask/hitlDetails?state=awaiting_input"
        running.until(lambda: running.call("GET", where).json()["total_entries"] == 1, "it asks")
        yield running


def triggered(cluster: ApiCluster, dag_id: str, run_id: str) -> Any:
    return cluster.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id})


def has_ended(cluster: ApiCluster) -> bool:
    return cluster.call("GET", RUN).json()["state"] in ("success", "failed")


def records(cluster: ApiCluster) -> list[Any]:
    with cluster.database.reading() as connection:
        return list(connection.execute(sa.select(audit_log).order_by(audit_log.c.event_log_id)))


def new_records(cluster: ApiCluster, known: list[Any]) -> list[Any]:
    ids = {row.event_log_id for row in known}
    return [row for row in records(cluster) if row.event_log_id not in ids]


def places(cluster: ApiCluster) -> dict[str, str]:
    """What the paths of `CHANGES` leave open."""
    with cluster.database.reading() as connection:
        last_token = sa.select(token.c.token_id).order_by(token.c.token_id.desc()).limit(1)
        return {
            "asset": str(connection.execute(sa.select(asset.c.asset_id).where(asset.c.name == "raw")).scalar_one()),
            "worker": str(connection.execute(sa.select(worker.c.worker_id)).scalars().first()),
            "token": str(connection.execute(last_token).scalar_one()),
            "grant": str(connection.execute(sa.select(dag_grant.c.grant_id)).scalar_one_or_none()),
            "file": cluster.call("GET", "/api/v2/dags/maker").json()["file_token"],
        }


def filled(body: Any, known: dict[str, str]) -> Any:
    if isinstance(body, dict):
        return {key: filled(value, known) for key, value in body.items()}
    return int(known["asset"]) if body == "{asset}" else body


class TestEveryChange:
    def test_the_table_names_every_changing_operation(self, cluster: ApiCluster) -> None:
        document = cluster.http.get("/openapi.json").json()
        changing = {
            operation["operationId"]
            for methods in document["paths"].values()
            for method, operation in methods.items()
            if changes_something(operation["operationId"], method.upper())
        }
        assert {operation for operation, *_ in CHANGES} == changing

    def test_each_leaves_its_record(self, cluster: ApiCluster) -> None:
        for operation, method, path, body in CHANGES:
            known, open_places = records(cluster), places(cluster)
            headers = {"X-Forwarded-For": "192.0.2.7", "Dagdeck-Source": "ui"}
            given = {} if body is None else {"json": filled(body, open_places)}
            answer = cluster.call(method, path.format(**open_places), "alice", headers=headers, **given)
            assert answer.status_code < 300, (operation, answer.text)
            told = new_records(cluster, known)
            if operation in STARTING:
                cluster.until(partial(has_ended, cluster), "what it started has ended")
            assert told, operation
            signs_in = operation in BY_EVENT
            for row in told:
                assert row.owner == ("olga" if signs_in else "alice"), operation
                assert (row.address, row.refused) == ("192.0.2.7", None), operation
                assert row.token_id is not None, operation
            assert all(row.source == "ui" for row in told) or signs_in, operation
            assert BY_EVENT.get(operation, told[0].event) == told[0].event
        # The token that was ended last was alice's own; the tests after this one use a new one.
        body = {"username": "alice", "password": PASSWORDS["alice"]}
        cluster.tokens["alice"] = cluster.http.post("/auth/token", json=body).json()["access_token"]

    def test_each_that_is_refused_by_role_leaves_its_record(
        self, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        document = cluster.http.get("/openapi.json").json()
        # Every one is recorded, however many there are.
        monkeypatch.setattr(refusals.Allowance, "take", lambda self, client: 0.0)
        refused = 0
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                name = operation["operationId"]
                if not changes_something(name, method.upper()) or name == "revoke_own_token":
                    continue
                known = records(cluster)
                url = re.sub(r"{\w*(id|number|index)}", "1", path)
                answer = cluster.call(method.upper(), url, "victor", content=b"[]")
                told = new_records(cluster, known)
                if answer.status_code == 403:
                    (row,) = told
                    assert (row.event, row.owner, row.source) == (name, "victor", "rest_api")
                    assert row.refused is not None
                    assert row.refused.startswith("403: Forbidden")
                    refused += 1
        assert refused > 30


class TestBeforeAndAfter:
    def last(self, cluster: ApiCluster, event: str) -> Any:
        return next(row for row in reversed(records(cluster)) if row.event == event)

    def test_of_a_connection_secrets_are_told_of_but_not_told(self, cluster: ApiCluster) -> None:
        body = {"connection_id": "shop", "conn_type": "http", "host": "a", "login": "me", "password": "hunter-2"}
        path = "/api/v2/connections"
        assert cluster.call("POST", path, json={**body, "extra": '{"token": "t0ken"}'}).status_code == 201
        made = self.last(cluster, "post_connection").extra
        assert made["after"]["host"] == "a"
        assert (made["after"]["password"], made["after"]["extra"]) == ("hidden", "hidden")
        changed = {**body, "host": "b", "password": "hunter-3"}
        mask = "?update_mask=host&update_mask=password&update_mask=login"
        assert cluster.call("PATCH", f"{path}/shop{mask}", json=changed).status_code == 200
        told = self.last(cluster, "patch_connection").extra
        assert (told["before"]["host"], told["after"]["host"]) == ("a", "b")
        assert (told["before"]["password"], told["after"]["password"]) == ("hidden", "changed")
        assert told["after"]["extra"] == "unchanged"
        assert cluster.call("DELETE", f"{path}/shop").status_code == 204
        gone = self.last(cluster, "delete_connection").extra
        assert gone["before"]["host"] == "b"
        assert "after" not in gone
        assert not any(word in str(row.extra) for row in records(cluster) for word in ("hunter", "t0ken"))

    def test_of_a_variable_it_is_told_whether_the_value_changed(self, cluster: ApiCluster) -> None:
        path = "/api/v2/variables"
        cluster.call("POST", path, json={"key": "colour", "value": "red", "description": "of the wall"})
        for value, told in (("red", "unchanged"), ("blue", "changed")):
            cluster.call("PATCH", f"{path}/colour", json={"key": "colour", "value": value, "description": "x"})
            assert self.last(cluster, "patch_variable").extra["after"] == {"description": "x", "value": told}
        assert cluster.call("DELETE", f"{path}/colour").status_code == 204

    def test_of_a_user(self, cluster: ApiCluster) -> None:
        body = {"username": "vera", "password": "first password", "role": "viewer"}
        assert cluster.call("POST", "/api/dagdeck/v1/users", json=body).status_code == 201
        change = {"role": "operator", "password": "second password"}
        assert cluster.call("PATCH", "/api/dagdeck/v1/users/vera", json=change).status_code == 200
        told = self.last(cluster, "patch_user").extra
        assert (told["before"]["role"], told["after"]["role"]) == ("viewer", "operator")
        assert told["after"]["password"] == "changed"
        assert "second" not in str(told)
        assert "argon2" not in str(told)

    def test_of_a_long_value_only_the_length(self, cluster: ApiCluster) -> None:
        body = {"key": "long", "value": "v", "description": "d" * 5_000}
        assert cluster.call("POST", "/api/v2/variables", json=body).status_code == 201
        assert self.last(cluster, "post_variable").extra["after"]["description"] == "(5,000 characters)"

    def test_of_a_mark(self, cluster: ApiCluster) -> None:
        assert triggered(cluster, "holding", "held").status_code == 200
        path = "/api/v2/dags/holding/dagRuns/held"
        assert cluster.call("PATCH", path, json={"state": "failed"}).status_code == 200
        told = self.last(cluster, "set_dag_run_state")
        assert (told.dag_id, told.run_id) == ("holding", "held")
        assert (told.extra["before"]["state"], told.extra["after"]["state"]) == ("running", "failed")


class TestSignIns:
    def sign_in(self, cluster: ApiCluster, name: str, password: str) -> int:
        return cluster.http.post("/auth/token", json={"username": name, "password": password}).status_code

    def test_failures_and_locks_are_recorded_without_what_was_typed(self, tmp_path: Path) -> None:
        two_attempts: dict[str, Any] = {"security.login_attempts": 2}
        with api_cluster(tmp_path, **two_attempts) as own:
            for name, password in (("olga", "wr0ng"), ("olga", "wr0ng"), ("olga", PASSWORDS["olga"])):
                assert self.sign_in(own, name, password) in (401, 429)
            assert self.sign_in(own, "my-s3cret-typed-as-a-name", "x") == 401
            with own.database.writing() as connection:
                connection.execute(user.update().where(user.c.username == "victor").values(is_active=False))
            assert self.sign_in(own, "victor", PASSWORDS["victor"]) == 401
            told = [(row.event, row.owner, row.refused, row.address) for row in records(own)]
            here = "127.0.0.1"
            assert told == [
                ("sign_in", "olga", "the password is wrong", here),
                ("sign_in", "olga", "the password is wrong", here),
                ("lock_user", "olga", None, here),
                ("sign_in", "olga", "the user is locked", here),
                ("sign_in", None, "there is no such user", here),
                ("sign_in", "victor", "the user is inactive", here),
            ]
            text = str([tuple(row) for row in records(own)])
            assert "wr0ng" not in text
            assert "s3cret" not in text

    def test_a_sign_in_names_the_token_that_it_gave(self, cluster: ApiCluster) -> None:
        known = records(cluster)
        assert self.sign_in(cluster, "victor", PASSWORDS["victor"]) == 201
        (row,) = new_records(cluster, known)
        with cluster.database.reading() as connection:
            last = sa.select(token.c.token_id).order_by(token.c.token_id.desc()).limit(1)
            assert row.token_id == connection.execute(last).scalar_one()


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "body", "reason"),
        [
            ("DELETE", "/api/v2/variables/nowhere", None, "404: The Variable with key: `nowhere` was not found"),
            ("POST", "/api/v2/variables", {"value": "s3cret"}, "422: body.key: Field required"),
            ("DELETE", "/api/v2/pools/default_pool", None, None),
            ("PATCH", "/api/v2/dags/maker?update_mask=colour", {"is_paused": True}, "400: Invalid update_mask: colour"),
        ],
    )
    def test_what_is_refused_is_recorded_once_with_its_reason(
        self, cluster: ApiCluster, method: str, path: str, body: Any, reason: str | None
    ) -> None:
        known = records(cluster)
        answer = cluster.call(method, path, **({} if body is None else {"json": body}))
        assert 400 <= answer.status_code < 500
        (row,) = new_records(cluster, known)
        assert row.owner == "alice"
        assert row.refused
        # Without a reason here it was the scheduler that refused the action, and recorded that.
        assert row.refused.startswith(reason) if reason else row.action_id
        assert "s3cret" not in str(tuple(row))

    def test_reading_and_strangers_leave_none(self, cluster: ApiCluster) -> None:
        known = records(cluster)
        assert cluster.call("GET", "/api/v2/variables/nowhere").status_code == 404
        assert cluster.call("GET", "/api/v2/variables", "victor").status_code == 403
        assert cluster.call("DELETE", "/api/v2/dags/maker", None).status_code == 401
        assert new_records(cluster, known) == []

    def test_nobody_fills_the_log_with_nonsense(self, tmp_path: Path) -> None:
        with api_cluster(tmp_path) as own:
            for _ in range(refusals.PER_MINUTE + 30):
                assert own.call("DELETE", "/api/v2/variables/nowhere").status_code == 404
            assert refusals.PER_MINUTE <= len(records(own)) < refusals.PER_MINUTE + 20


class TestAddresses:
    @pytest.mark.parametrize(
        ("trusted", "peer", "forwarded", "found"),
        [
            ((), "10.0.0.1", "192.0.2.1", "10.0.0.1"),
            (("10.0.0.0/8",), "10.0.0.1", "192.0.2.1", "192.0.2.1"),
            (("10.0.0.0/8",), "10.0.0.1", "198.51.100.9, 192.0.2.1, 10.0.0.7", "192.0.2.1"),
            (("10.0.0.0/8",), "203.0.113.5", "192.0.2.1", "203.0.113.5"),
            (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
            (("10.0.0.0/8",), "10.0.0.1", "192.0.2.1, rubbish, 10.0.0.2", "10.0.0.2"),
            (("10.0.0.1",), "::ffff:10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
            (("10.0.0.1",), "10.0.0.1", "192.0.2.1:99", "192.0.2.1"),
            (("0.0.0.0/0",), "10.0.0.1", "192.0.2.1, 192.0.2.2", "192.0.2.1"),
        ],
    )
    def test_only_declared_proxies_are_believed(
        self, trusted: tuple[str, ...], peer: str, forwarded: str, found: str
    ) -> None:
        headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
        scope = {"type": "http", "client": (peer, 1234), "headers": headers}
        assert ClientAddresses(trusted).of(scope) == found

    def test_a_socket_without_an_address(self) -> None:
        assert ClientAddresses(()).of({"type": "http", "client": None, "headers": []}) == "unknown"

    def test_a_server_without_proxies_believes_nobody(self, tmp_path: Path) -> None:
        with api_cluster(tmp_path) as own:
            headers = {"X-Forwarded-For": "192.0.2.7"}
            own.call("POST", "/api/v2/dags/pipeline/favorite", headers=headers)
            assert records(own)[-1].address == "127.0.0.1"


RECORDED_COMMANDS = {
    "admin grants",
    "bundle-keys rotate",
    "bundle-keys sign-stored",
    "certs init",
    "certs next",
    "certs switch",
    "dag-grants add",
    "dag-grants remove",
    "db backup",
    "db copy",
    "db purge",
    "db upgrade",
    "secrets rotate-key",
    "users add",
    "users deactivate",
    "users set-password",
    "users set-role",
    "users set-roles",
}
OTHER_COMMANDS = {
    "runner-env pythons",
    "db archive list", "db archive show", "health",
    "api", "audit export", "audit head", "audit verify", "bundle-keys show", "certs show", "config key", "config list",
    "config template", "dag-grants list", "dag-processor", "db check", "db current", "db estimate", "demo", "doctor",
    "master",
    "preparation", "runner-env create", "runner-env show", "scheduler", "secrets status", "standalone", "users list",
    "version", "worker",
}  # fmt: skip
"""Daemons, and what changes nothing of a cluster."""


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))
    else:
        yield " ".join(path)


class TestOwnCommands:
    def test_every_command_is_known_to_record_or_to_change_nothing(self) -> None:
        assert set(commands(dagdeckd)) == RECORDED_COMMANDS | OTHER_COMMANDS, "say whether it records itself"

    def test_a_new_key_for_bundles(self, cluster: ApiCluster, run: Any) -> None:
        known = records(cluster)
        assert run("bundle-keys", "rotate").exit_code == 0
        assert run("bundle-keys", "sign-stored", "--yes").exit_code == 0
        rotated, signed = new_records(cluster, known)
        assert (rotated.event, signed.event) == ("rotate_bundle_key", "sign_stored_bundles")
        assert rotated.extra["after"]["public_key"] == signed.extra["public_key"]

    def test_a_copy_of_the_database(self, cluster: ApiCluster, run: Any, tmp_path: Path) -> None:
        source = tmp_path / "source.db"
        migrations.upgrade(f"sqlite:///{source}")
        database = open_database(f"sqlite:///{source}")
        ensure_admin(database)
        database.close()
        target = f"sqlite:///{tmp_path}/target.db"
        assert run("db", "copy", "--from", f"sqlite:///{source}", "--to", target).exit_code == 0
        database = open_database(target)
        with database.reading() as connection:
            last = connection.execute(sa.select(audit_log).order_by(audit_log.c.event_log_id.desc()).limit(1)).one()
        database.close()
        assert (last.event, last.extra["from"]) == ("db_copy", str(source))

    @pytest.fixture
    def run(self, cluster: ApiCluster, tmp_path: Path) -> Any:
        def call(*arguments: str, given: str = "") -> Result:
            url = str(cluster.settings.database.url)
            options = ["--set", f"database.url={url}", "--set", f"paths.home={tmp_path}"]
            (tmp_path / "empty.toml").touch()
            key = "x" * 43 + "="
            options += ["--config", str(tmp_path / "empty.toml"), "--set", f"security.secret_key={key}"]
            return CliRunner().invoke(dagdeckd, [*options, *arguments], input=given)

        return call

    def test_accounts(self, cluster: ApiCluster, run: Any) -> None:
        known = records(cluster)
        secret = "a long enough one\n"
        assert run("users", "add", "ada", "--role", "viewer", "--password-stdin", given=secret).exit_code == 0
        assert run("users", "set-role", "ada", "operator").exit_code == 0
        assert run("users", "set-password", "ada", "--password-stdin", given=secret).exit_code == 0
        assert run("users", "deactivate", "ada").exit_code == 0
        told = new_records(cluster, known)
        assert [row.event for row in told] == ["create_user", "patch_user", "patch_user", "patch_user"]
        assert {row.source for row in told} == {"dagdeckd"}
        assert all("@" in row.owner and row.address for row in told)
        assert told[1].extra == {"username": "ada", "before": {"role": "viewer"}, "after": {"role": "operator"}}
        assert told[2].extra["after"]["password_hash"] == "changed"

    def test_certificates(self, cluster: ApiCluster, run: Any) -> None:
        known = records(cluster)
        for command in (("init", "--host", "localhost"), ("next",), ("switch",)):
            assert run("certs", *command).exit_code == 0
        told = new_records(cluster, known)
        assert [row.event for row in told] == ["certs_init", "certs_next", "certs_switch"]
        assert told[1].extra["sha256"] == told[2].extra["sha256"] != told[0].extra["sha256"]

    def test_a_database_that_does_not_answer_is_told_of(self, run: Any, tmp_path: Path) -> None:
        answer = run("--set", "database.url=mysql+pymysql://nobody@127.0.0.1:1/none", "certs", "init")
        assert answer.exit_code == 0
        assert "this is not in the audit log" in answer.output


@pytest.mark.parametrize(("user", "told"), [("alice", True), ("olga", False)])
def test_only_administrators_are_told_addresses_and_tokens(cluster: ApiCluster, user: str, told: bool) -> None:
    assert cluster.call("DELETE", "/api/v2/variables/nowhere").status_code == 404
    listed = cluster.call("GET", "/api/v2/eventLogs?event=delete_variable&order_by=-when&limit=1", user).json()
    (entry,) = listed["event_logs"]
    one = cluster.call("GET", f"/api/v2/eventLogs/{entry['event_log_id']}", user).json()
    for shown in (entry, one):
        extra = json.loads(shown["extra"])
        assert extra["source"] == "rest_api"
        assert extra["refused"].startswith("404: The Variable")
        assert ("address" in extra, "token_id" in extra) == (told, told)


def test_the_scheduler_s_records_name_address_and_token(cluster: ApiCluster) -> None:
    headers = {"X-Forwarded-For": "198.51.100.4"}
    made = cluster.call("POST", "/api/v2/dags/maker/dagRuns", json={"dag_run_id": "from-there"}, headers=headers)
    assert made.status_code == 200
    row = next(each for each in records(cluster) if each.run_id == "from-there")
    assert (row.event, row.address) == ("trigger_dag_run", "198.51.100.4")
    assert row.when - row.when.replace(microsecond=0) < timedelta(seconds=1)
    assert row.token_id
    assert row.action_id
