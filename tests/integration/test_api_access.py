"""Who may use the control API, and how it answers when something is wrong."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from dagdeck_core.errors import Bug, EnvironmentFault, UserError
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.tables import action, token, user
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import load_settings
from dagdeck_master.api.app import bind, check_exposure, create_app
from dagdeck_master.api.app import operations as declared_operations
from dagdeck_master.api.permissions import RULES, Role, require_rules
from dagdeck_master.api.reference import with_table
from dagdeck_master.api.users import TokenScope, ensure_admin, issue_local_token, issue_token, password_matches
from tests.integration.api_cluster import PASSWORDS, ROLES, ApiCluster, api_cluster, serving
from tests.integration.push_client import EVENTS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    with api_cluster(tmp_path_factory.mktemp("home")) as running:
        yield running


def operations(cluster: ApiCluster) -> list[tuple[str, str, str]]:
    """(operation_id, method, path with made-up names) of the whole API, from its OpenAPI document."""
    document = cluster.http.get("/openapi.json").json()
    # A stream goes on for ever: ask for a topic that there is not.
    document["paths"][EVENTS + "?subscribe=nothing"] = document["paths"].pop(EVENTS)
    return [
        (operation["operationId"], method.upper(), re.sub(r"{\w*(id|number|index)}", "1", path))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


_SCOPES = {"viewer": Role.VIEWER, "operator": Role.OPERATOR, "admin": Role.ADMIN}


class TestPermissions:
    def test_every_operation_has_a_rule_and_every_rule_an_operation(self, cluster: ApiCluster) -> None:
        served = {name for name, _, _ in operations(cluster)}
        assert served == set(RULES)
        assert sorted(declared_operations()) == sorted(served)

    def test_an_operation_without_a_rule_cannot_be_served(self) -> None:
        with pytest.raises(Bug, match="new_operation"):
            require_rules(["get_dags", "new_operation"])

    def test_nobody_gets_in_without_a_token(self, cluster: ApiCluster) -> None:
        for name, method, path in operations(cluster):
            answer = cluster.call(method, path, None)
            if RULES[name] is Role.PUBLIC:
                assert answer.status_code != 401, name
            else:
                assert answer.status_code == 401, name
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "Not authenticated" in answer.json()["detail"]

    @pytest.mark.parametrize("name", list(ROLES))
    def test_each_role_gets_exactly_what_the_table_says(self, cluster: ApiCluster, name: str) -> None:
        for operation, method, path in operations(cluster):
            if operation == "revoke_own_token":
                continue
            # A body that no operation takes: what is allowed ends as 4xx other than 403, and changes nothing.
            body: dict[str, Any] = {"content": b"[]", "headers": {"Content-Type": "application/json"}}
            status = self.status_of(cluster, method, path, name, **(body if method in ("POST", "PATCH") else {}))
            is_refused = status == 403
            assert is_refused == (ROLES[name] < RULES[operation]), (operation, status)

    @pytest.mark.parametrize("scope", list(_SCOPES))
    def test_a_token_s_scope_narrows_its_user_for_every_operation(self, cluster: ApiCluster, scope: str) -> None:
        made = cluster.call("POST", "/api/dagdeck/v1/tokens", "alice", json={"scope": scope})
        secret = made.json()["access_token"]
        for operation, method, path in operations(cluster):
            if operation == "revoke_own_token":
                continue
            body = {"content": b"[]", "headers": {"Content-Type": "application/json"}}
            more: dict[str, Any] = body if method in ("POST", "PATCH") else {}
            status = self.status_of(cluster, method, path, "alice", secret=secret, **more)
            assert (status == 403) == (_SCOPES[scope] < RULES[operation]), (operation, status)

    def status_of(
        self, cluster: ApiCluster, method: str, path: str, name: str, *, secret: str = "", **arguments: Any
    ) -> int:
        """An answer's status, without waiting for the end of one that is a stream."""
        headers = {**arguments.pop("headers", {}), "Authorization": f"Bearer {secret or cluster.tokens[name]}"}
        with cluster.http.stream(method, path, headers=headers, **arguments) as answer:
            return answer.status_code

    def test_a_wrong_token(self, cluster: ApiCluster) -> None:
        answer = cluster.call("GET", "/api/v2/dags", None, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        assert "sign in again" in answer.json()["detail"]


class TestSignIn:
    def sign_in(self, cluster: ApiCluster, name: str, password: str, path: str = "/auth/token") -> httpx.Response:
        return cluster.http.post(path, json={"username": name, "password": password})

    @pytest.mark.parametrize("path", ["/auth/token", "/auth/token/cli"])
    def test_a_token_for_a_password(self, cluster: ApiCluster, path: str) -> None:
        answer = self.sign_in(cluster, "victor", PASSWORDS["victor"], path)
        assert answer.status_code == 201
        secret = answer.json()["access_token"]
        assert cluster.http.get("/api/v2/dags", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
        with cluster.database.reading() as connection:
            hashes = set(connection.execute(sa.select(token.c.token_hash)).scalars())
            stored = connection.execute(sa.select(user.c.password_hash)).scalars().all()
        assert secret not in hashes
        assert all(each.startswith("$argon2id$") for each in stored)

    def test_a_token_can_be_given_back(self, cluster: ApiCluster) -> None:
        secret = self.sign_in(cluster, "victor", PASSWORDS["victor"]).json()["access_token"]
        headers = {"Authorization": f"Bearer {secret}"}
        where = "/api/dagdeck/v1/tokens/current"
        assert cluster.http.delete(where, headers=headers).status_code == 204
        assert cluster.http.delete(where, headers=headers).status_code == 401

    def test_tokens_expire(self, cluster: ApiCluster) -> None:
        now = datetime.now(UTC)
        with cluster.database.reading() as connection:
            user_id = connection.execute(sa.select(user.c.user_id).where(user.c.username == "victor")).scalar_one()
        old = issue_token(
            cluster.database,
            user_id=user_id,
            scope=TokenScope(origin="api"),
            now=now - timedelta(hours=2),
            lifetime=timedelta(hours=1),
        )
        answer = cluster.http.get("/api/v2/dags", headers={"Authorization": f"Bearer {old}"})
        assert answer.status_code == 401

    def test_a_narrow_token_for_a_password(self, cluster: ApiCluster) -> None:
        body = {"username": "alice", "password": PASSWORDS["alice"], "scope": "viewer", "lifetime": 60}
        secret = cluster.http.post("/auth/token", json=body).json()["access_token"]
        headers = {"Authorization": f"Bearer {secret}"}
        assert cluster.http.get("/api/v2/dags", headers=headers).status_code == 200
        refused = cluster.http.get("/api/v2/variables", headers=headers)
        assert refused.status_code == 403
        assert "needs the role operator, and alice's token is viewer" in refused.json()["detail"]
        [newest, *_] = cluster.http.get("/api/dagdeck/v1/tokens", headers=headers).json()["tokens"]
        assert (newest["origin"], newest["scope"]) == ("api", "viewer")
        begin, end = (datetime.fromisoformat(newest[name]) for name in ("created_at", "expires_at"))
        assert end - begin == timedelta(seconds=60)

    @pytest.mark.parametrize("body", [{"scope": "root"}, {"scope": ""}, {"lifetime": 0}, {"lifetime": "ever"}])
    def test_a_wrong_scope_or_lifetime_is_named(self, cluster: ApiCluster, body: dict[str, Any]) -> None:
        answer = cluster.call("POST", "/api/dagdeck/v1/tokens", "alice", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][-1] == next(iter(body))

    def test_a_scope_never_widens(self, cluster: ApiCluster) -> None:
        """Neither at sign-in, where it is the lesser of two, nor for a further token, where asking is refused."""
        body = {"username": "victor", "password": PASSWORDS["victor"], "scope": "admin"}
        secret = cluster.http.post("/auth/token", json=body).json()["access_token"]
        headers = {"Authorization": f"Bearer {secret}"}
        assert cluster.http.get("/api/v2/variables", headers=headers).status_code == 403
        where = "/api/dagdeck/v1/tokens"
        refused = cluster.http.post(where, headers=headers, json={"scope": "operator"})
        assert refused.status_code == 403
        assert "ask for viewer or less" in refused.json()["detail"]
        # A narrow token of a mighty user makes no mighty one.
        narrow = cluster.call("POST", where, "alice", json={"scope": "viewer"}).json()["access_token"]
        child = cluster.http.post(where, headers={"Authorization": f"Bearer {narrow}"}, json={})
        assert child.json()["token"]["scope"] == "viewer"

    def test_a_further_token_lasts_no_longer_than_the_one_it_was_asked_with(self, cluster: ApiCluster) -> None:
        body = {"username": "olga", "password": PASSWORDS["olga"], "lifetime": 120}
        secret = cluster.http.post("/auth/token", json=body).json()["access_token"]
        headers = {"Authorization": f"Bearer {secret}"}
        made = cluster.http.post("/api/dagdeck/v1/tokens", headers=headers, json={"lifetime": 9_999, "name": "ci"})
        assert made.status_code == 201
        told = made.json()["token"]
        assert (told["name"], told["origin"], told["scope"]) == ("ci", "issued", "operator")
        left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
        assert timedelta(0) < left <= timedelta(seconds=120)

    def test_one_s_own_tokens_can_be_ended_and_no_others(self, cluster: ApiCluster) -> None:
        where = "/api/dagdeck/v1/tokens"
        made = cluster.call("POST", where, "olga", json={"scope": "viewer"}).json()
        headers = {"Authorization": f"Bearer {made['access_token']}"}
        one = f"{where}/{made['token']['token_id']}"
        assert cluster.call("DELETE", one, "alice").status_code == 404
        assert cluster.http.get("/api/v2/dags", headers=headers).status_code == 200
        assert cluster.call("DELETE", one, "olga").status_code == 204
        assert cluster.http.get("/api/v2/dags", headers=headers).status_code == 401
        listed = cluster.call("GET", where, "olga").json()["tokens"]
        assert made["token"]["token_id"] not in [each["token_id"] for each in listed]

    def test_wrong_ones_look_alike(self, cluster: ApiCluster) -> None:
        answers = [self.sign_in(cluster, "olga", "wrong"), self.sign_in(cluster, "nobody", "wrong")]
        assert {each.status_code for each in answers} == {401}
        assert len({each.text for each in answers}) == 1

    def test_too_many_wrong_ones_lock_for_a_while(self, tmp_path: Path) -> None:
        overrides: dict[str, Any] = {"security.login_attempts": 3, "security.login_lockout": 1.0}
        with api_cluster(tmp_path, **overrides) as own:
            assert [self.sign_in(own, "olga", "wrong").status_code for _ in range(3)] == [401] * 3
            locked = self.sign_in(own, "olga", PASSWORDS["olga"])
            assert locked.status_code == 429
            assert int(locked.headers["retry-after"]) >= 1
            assert self.sign_in(own, "victor", PASSWORDS["victor"]).status_code == 201
            own.until(
                lambda: self.sign_in(own, "olga", PASSWORDS["olga"]).status_code == 201, "the lock ends", timeout=3.0
            )

    def test_a_missing_user_costs_as_much_as_a_wrong_password(self) -> None:
        assert not password_matches(None, "anything")


class TestUsers:
    def test_an_administrator_manages_users(self, cluster: ApiCluster) -> None:
        body = {"username": "new", "password": "long enough", "role": "viewer"}
        made = cluster.call("POST", "/api/dagdeck/v1/users", json=body)
        assert (made.status_code, made.json()["role"]) == (201, "viewer")
        assert "password" not in made.text
        assert cluster.call("POST", "/api/dagdeck/v1/users", json=body).status_code == 409
        names = [each["username"] for each in cluster.call("GET", "/api/dagdeck/v1/users").json()["users"]]
        assert names == ["alice", "new", "olga", "victor"]
        secret = cluster.http.post("/auth/token", json={"username": "new", "password": "long enough"}).json()
        headers = {"Authorization": f"Bearer {secret['access_token']}"}
        assert cluster.http.get("/api/v2/dags", headers=headers).status_code == 200
        changed = cluster.call("PATCH", "/api/dagdeck/v1/users/new", json={"is_active": False})
        assert changed.json()["is_active"] is False
        assert cluster.http.get("/api/v2/dags", headers=headers).status_code == 401

    def test_the_last_administrator_stays_one(self, cluster: ApiCluster) -> None:
        answer = cluster.call("PATCH", "/api/dagdeck/v1/users/alice", json={"role": "viewer"})
        assert answer.status_code == 409
        assert "last active administrator" in answer.json()["detail"]

    def test_weak_passwords_are_refused(self, cluster: ApiCluster) -> None:
        body = {"username": "weak", "password": "short", "role": "viewer"}
        assert cluster.call("POST", "/api/dagdeck/v1/users", json=body).status_code == 422


class TestActions:
    trigger = "/api/v2/dags/pipeline/dagRuns"

    def test_a_repeated_request_with_the_same_key_acts_once(self, cluster: ApiCluster) -> None:
        headers = {"Idempotency-Key": "once"}
        first = cluster.call("POST", self.trigger, json={"conf": {"year": 2001}}, headers=headers)
        again = cluster.call("POST", self.trigger, json={"conf": {"year": 2001}}, headers=headers)
        assert first.json()["dag_run_id"] == again.json()["dag_run_id"]
        other = cluster.call("POST", self.trigger, json={"conf": {"year": 2002}}, headers=headers)
        assert other.status_code == 409
        assert "Idempotency-Key" in other.json()["detail"]
        stranger = cluster.call("POST", self.trigger, "olga", json={"conf": {"year": 2001}}, headers=headers)
        assert stranger.json()["dag_run_id"] != first.json()["dag_run_id"]

    def test_who_acted_by_what_is_kept(self, cluster: ApiCluster) -> None:
        run = cluster.call("POST", self.trigger, "olga", json={}, headers={"DagDeck-Source": "cli"}).json()
        assert (run["triggered_by"], run["triggering_user_name"]) == ("cli", "olga")

    def test_without_a_scheduler_the_action_is_kept_and_named(self, tmp_path: Path) -> None:
        with _api_alone(tmp_path, {"api.action_wait": 1.0}) as (url, database, secret):
            headers = {"Authorization": f"Bearer {secret}"}
            body = {"name": "p", "slots": 1}
            answer = httpx.post(f"{url}/api/v2/pools", json=body, headers=headers)
            assert answer.status_code == 503
            assert "has not carried this out within 1 s" in answer.json()["detail"]
            action_id = answer.json()["action_id"]
            status = httpx.get(f"{url}/api/dagdeck/v1/actions/{action_id}", headers=headers).json()
            assert (status["state"], status["kind"], status["actor"]) == ("pending", "put_pool", "admin")

            def refuse_the_next() -> None:
                changed = 0
                while not changed:
                    with database.writing() as connection:
                        later = action.update().where(action.c.action_id > action_id)
                        values = {"state": "refused", "refused": "no", "result": {"kind": "invalid"}}
                        changed = connection.execute(later.values(**values)).rowcount

            scheduler = threading.Thread(target=refuse_the_next)
            scheduler.start()
            late = httpx.post(f"{url}/api/v2/pools", json=body, headers=headers)
            scheduler.join()
            assert (late.status_code, late.json()["detail"]) == (400, "no")

    def test_others_actions_are_not_a_viewer_s_business(self, cluster: ApiCluster) -> None:
        cluster.call("POST", self.trigger, json={})
        with cluster.database.reading() as connection:
            newest = connection.execute(sa.select(sa.func.max(action.c.action_id))).scalar_one()
        where = f"/api/dagdeck/v1/actions/{newest}"
        assert cluster.call("GET", where).json()["state"] == "done"
        assert cluster.call("GET", where, "victor").status_code == 404


def _api_alone(home: Path, overrides: dict[str, Any]) -> Any:
    """An API without a scheduler: (url, database, an administrator's token)."""
    import contextlib

    @contextlib.contextmanager
    def running() -> Iterator[tuple[str, Database, str]]:
        url = f"sqlite:///{home / 'dagdeck.db'}"
        migrations.upgrade(url)
        database = open_database(url, key=generate_key())
        settings = load_settings(environ={}, config_files=[], overrides={"database.url": url, **overrides})
        secret = issue_local_token(database, home / "token", url="http://127.0.0.1:1")
        with contextlib.closing(database), serving(create_app(database, None, settings), settings) as api_url:
            yield api_url, database, secret

    return running()


class TestWhenThingsGoWrong:
    def test_every_answer_has_a_request_id(self, cluster: ApiCluster) -> None:
        assert len(cluster.call("GET", "/api/v2/dags").headers["x-request-id"]) == 16
        mine = cluster.call("GET", "/api/v2/nothing", headers={"X-Request-ID": "my-id.1"})
        assert mine.headers["x-request-id"] == "my-id.1"
        odd = cluster.call("GET", "/api/v2/dags", headers={"X-Request-ID": "a b"})
        assert odd.headers["x-request-id"] != "a b"

    def test_unknown_paths_and_methods(self, cluster: ApiCluster) -> None:
        assert cluster.call("GET", "/api/v2/nothing").json() == {"detail": "Not Found"}
        assert cluster.call("PUT", "/api/v2/dags").status_code == 405

    def test_a_body_that_is_not_json(self, cluster: ApiCluster) -> None:
        answer = cluster.call("POST", "/api/v2/pools", content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == "json_invalid"

    def test_a_body_that_is_too_large(self, tmp_path: Path) -> None:
        with _api_alone(tmp_path, {"api.max_request_bytes": 2048}) as (url, _, secret):
            headers = {"Authorization": f"Bearer {secret}"}
            body = {"key": "k", "value": "x" * 5000}
            answer = httpx.post(f"{url}/api/v2/variables", json=body, headers=headers)
            assert answer.status_code == 413
            assert "api.max_request_bytes" in answer.json()["detail"]
            chunks = iter([b"x" * 1000] * 5)
            streamed = httpx.post(
                f"{url}/api/v2/variables", content=chunks, headers={**headers, "Content-Type": "application/json"}
            )
            assert streamed.status_code == 413

    def test_a_database_that_is_down_is_a_503(self, tmp_path: Path) -> None:
        with _api_alone(tmp_path, {}) as (url, database, secret):
            database.engine.dispose()
            (tmp_path / "dagdeck.db").rename(tmp_path / "away.db")
            for leftover in ("dagdeck.db-wal", "dagdeck.db-shm"):
                (tmp_path / leftover).unlink(missing_ok=True)
            (tmp_path / "dagdeck.db").mkdir()
            answer = httpx.get(f"{url}/api/v2/dags", headers={"Authorization": f"Bearer {secret}"})
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "Traceback" not in answer.text
            health = httpx.get(f"{url}/api/v2/monitor/health")
            assert health.status_code == 200
            assert health.json()["metadatabase"]["status"] == "unhealthy"

    def test_a_bug_is_a_500_without_a_traceback_and_logged_with_its_id(
        self, cluster: ApiCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*arguments: object) -> None:
            raise RuntimeError("kaboom")

        monkeypatch.setattr("dagdeck_master.api.queries.cluster.get_pool", broken)
        answer = cluster.call("GET", "/api/v2/pools/default_pool", headers={"X-Request-ID": "find-me"})
        assert answer.status_code == 500
        assert answer.json()["request_id"] == "find-me"
        assert "kaboom" not in answer.text
        assert any("find-me" in record.getMessage() and record.exc_info for record in caplog.records)


class TestStart:
    def settings(self, **overrides: Any) -> Any:
        return load_settings(environ={}, config_files=[], overrides=overrides)

    def test_beyond_loopback_only_with_tls(self, tmp_path: Path) -> None:
        check_exposure(self.settings(**{"api.host": "127.0.0.1"}))
        check_exposure(self.settings(**{"api.host": "::1"}))
        with pytest.raises(UserError, match="without TLS"):
            check_exposure(self.settings(**{"api.host": "0.0.0.0"}))
        check_exposure(self.settings(**{"api.host": "0.0.0.0", "api.allow_plain_http": True}))
        with pytest.raises(UserError, match=r"api\.tls_key"):
            check_exposure(self.settings(**{"api.tls_certificate": str(tmp_path / "c.pem")}))

    def test_a_taken_port_is_named_with_its_setting(self) -> None:
        with bind("127.0.0.1", 0) as listener:
            port = listener.getsockname()[1]
            with pytest.raises(EnvironmentFault, match=rf"port {port} of 127.0.0.1 is taken.*api\.port"):
                bind("127.0.0.1", port)

    def test_the_local_token(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'dagdeck.db'}"
        migrations.upgrade(url)
        database = open_database(url, key=generate_key())
        path = tmp_path / "token"
        secret = issue_local_token(database, path, url="http://127.0.0.1:8080")
        assert json.loads(path.read_text()) == {"url": "http://127.0.0.1:8080", "token": secret}
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert issue_local_token(database, path, url="http://127.0.0.1:9090") == secret
        assert json.loads(path.read_text())["url"] == "http://127.0.0.1:9090"
        path.unlink()
        assert issue_local_token(database, path, url="http://127.0.0.1:9090") != secret
        with database.reading() as connection:
            live = connection.execute(sa.select(sa.func.count()).where(token.c.revoked_at.is_(None))).scalar_one()
            users = connection.execute(sa.select(user.c.username, user.c.role)).all()
        assert live == 1
        assert [tuple(each) for each in users] == [("admin", "admin")]
        assert ensure_admin(database) == ensure_admin(database)
        with pytest.raises(EnvironmentFault, match="cannot be written"):
            issue_local_token(database, tmp_path / "missing" / "token", url="http://127.0.0.1:1")
        database.close()


def test_the_documented_operations_are_the_served_ones() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert with_table(page) == page, "run python -m dagdeck_master.api.reference"
