"""A whole cluster on the accounts that `dagdeckd admin grants` makes: everything works, and nothing else is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest
import redis
import sqlalchemy as sa

from dagdeck_core.actions import RespondToInput
from dagdeck_core.states import TaskInstanceState
from dagdeck_io.db import tables as t
from dagdeck_io.secrets import generate_key
from tests.e2e.conftest import DAGS
from tests.e2e.harness import ADMIN_PASSWORD, QUICK, SECRET_KEY, ClusterUnderTest, wait_until
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]
FORBIDDEN_TO_WORKERS = (
    "SELECT * FROM user",
    "SELECT * FROM token",
    "SELECT * FROM audit_log",
    "SELECT * FROM audit_chain",
    "INSERT INTO audit_log (event_log_id) VALUES (1)",
    "UPDATE lease SET epoch = epoch + 1",
    "UPDATE dag_run SET state = 'success'",
    "UPDATE connection SET login = 'me'",
    "DELETE FROM task_instance",
    "DELETE FROM bundle_content",
    "INSERT INTO bundle_file (bundle_id) VALUES (1)",
    "INSERT INTO bundle_signature (bundle_id) VALUES (1)",
    "INSERT INTO bundle_key_succession (old_key) VALUES ('k')",
    "DELETE FROM transition",
    "UPDATE action SET state = 'pending'",
    "DROP TABLE variable",
    "CREATE TABLE mine (a INT)",
    "CREATE USER mine",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The cluster and what its accounts are."""

    cluster: ClusterUnderTest
    redis: RedisServer
    urls: dict[str, dict[str, str]]
    """Role → settings."""


@pytest.fixture(scope="module")
def site(mariadb: MariaDb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A master and a worker, each with its own accounts."""
    folder: Path = tmp_path_factory.mktemp("least")
    database = f"least_{os.getpid()}"
    mariadb.create_database(database)
    mariadb.execute("GRANT ALL PRIVILEGES ON *.* TO 'boss'@'127.0.0.1' IDENTIFIED BY 'of-all' WITH GRANT OPTION")
    dags = [DAGS / f"{name}.py" for name in ("asking", "mapped", "deferring", "lineage")]
    with (
        RedisServer(password="of-all") as queue,
        ClusterUnderTest(
            folder,
            dags=dags,
            database_url=mariadb.url(database, user="boss", password="of-all"),
            queue_url=queue.url(),
            settings={**QUICK, "security.audit_seal_interval": "0.5"},
        ) as cluster,
    ):
        cluster.command("db", "upgrade")
        printed = cluster.command("admin", "grants", "--apply", "--host", "127.0.0.1", "--name", database)
        urls = settings_of(printed)
        cluster.settings |= urls["master"]
        cluster.command("users", "add", "admin", "--role", "admin", "--password-stdin", given=ADMIN_PASSWORD + "\n")
        cluster.start_master()
        cluster.start_worker("worker-1", settings=urls["worker"])
        cluster.wait_ready("asking", "lineage_producer", workers=["worker-1"])
        yield Site(cluster=cluster, redis=queue, urls=urls)


def settings_of(printed: str) -> dict[str, dict[str, str]]:
    """Role → setting → value of what the command printed."""
    found: dict[str, dict[str, str]] = {}
    role = ""
    for line in printed.splitlines():
        if line.startswith("# settings of the "):
            role = line.rpartition(" ")[2]
        elif line.startswith("DAGDECK__"):
            name, _, value = line.partition("=")
            found.setdefault(role, {})[name.removeprefix("DAGDECK__").lower().replace("__", ".")] = value
    return found


def test_the_cluster_does_everything(site: Site) -> None:
    cluster = site.cluster
    with cluster.client() as client:
        assert client is not None
    produced = cluster.trigger("lineage_producer")
    asked = cluster.trigger("asking")
    wait_until(lambda: cluster.database.states(asked).get("publish") is TaskInstanceState.AWAITING_INPUT, 40, "it asks")
    run_key = cluster.database.task_instances(asked)[0].run_key
    for task_id, option, given in (("publish", "Approve", {}), ("name", "OK", {"who": "Bob"})):
        (target,) = cluster.database.targets(asked, task_id)
        answer = RespondToInput(
            run_key=run_key,
            ti_id=target.ti_id,
            task_id=task_id,
            chosen_options=(option,),
            params_input=given,
            user_id="1",
            user_name="bob",
        )
        assert str(cluster.database.act_and_wait(answer)["state"]) == "done"
    cluster.wait_run(produced)
    cluster.wait_run(asked)
    consumers = sa.select(t.dag_run.c.run_id).where(t.dag_run.c.dag_id == "lineage_consumer")
    wait_until(lambda: cluster.database.rows(consumers), 30, "the asset started its consumer")
    cluster.wait_run(cluster.database.rows(consumers)[0]["run_id"])


def test_what_people_did_is_chained_and_verifies(site: Site) -> None:
    def told() -> str:
        return site.cluster.command("audit", "verify")

    wait_until(lambda: ", 0 not chained yet" in told(), 30, "everything is chained")
    lines = told().splitlines()
    assert lines[-1] == "The chain fits."
    assert lines[0] != "records   0 (none), 0 not chained yet"


def test_the_masters_account_may_change_the_key(site: Site) -> None:
    old, new = SECRET_KEY, generate_key()
    told = site.cluster.command("secrets", "status")
    assert "workers without the newest key: none" in told
    site.cluster.settings["security.secret_key"] = f"{new},{old}"
    try:
        told = site.cluster.command("secrets", "rotate-key", "--force")
        assert "take the old key out" in told
        site.cluster.settings["security.secret_key"] = f"{old},{new}"
        site.cluster.command("secrets", "rotate-key", "--wait", "5")  # back again, to what the daemons have
    finally:
        site.cluster.settings["security.secret_key"] = old


def test_nothing_was_refused(site: Site) -> None:
    for daemon in site.cluster.daemons.values():
        for word in ("command denied", "NOPERM", "may not do this", "forbids a command"):
            assert word not in daemon.log()
    with redis.Redis.from_url(site.redis.url()) as boss:
        refused = {entry["object"] for entry in boss.acl_log() if entry["reason"] != "auth"}
    # redis-py tells its name and version, and goes on when it may not.
    assert refused <= {"client|setinfo", "client"}


@pytest.mark.parametrize("statement", FORBIDDEN_TO_WORKERS)
def test_a_worker_may_not(site: Site, statement: str) -> None:
    url = sa.make_url(site.urls["worker"]["database.url"])
    connection = pymysql.connect(
        host=url.host, port=url.port or 0, user=url.username, password=str(url.password), database=url.database
    )
    try:
        with connection.cursor() as cursor, pytest.raises(pymysql.err.Error) as refused:
            cursor.execute(statement)
    finally:
        connection.close()
    assert refused.value.args[0] in (1142, 1143, 1227), refused.value


def test_the_master_may_not_rewrite_the_audit_log_or_change_the_schema(site: Site) -> None:
    url = sa.make_url(site.urls["master"]["database.url"])
    connection = pymysql.connect(
        host=url.host, port=url.port or 0, user=url.username, password=str(url.password), database=url.database
    )
    try:
        for statement in (
            "UPDATE audit_log SET owner = 'me'",
            "UPDATE audit_chain SET hash = 'f'",
            "UPDATE audit_seal SET hash = 'f'",
            "DROP TABLE audit_log",
            "CREATE USER mine",
        ):
            with connection.cursor() as cursor, pytest.raises(pymysql.err.Error) as refused:
                cursor.execute(statement)
            assert refused.value.args[0] in (1142, 1227), statement
    finally:
        connection.close()


def test_a_worker_reads_only_its_part_of_the_queue(site: Site) -> None:
    cluster = site.cluster.settings["queue.cluster"]
    prefix = f"{{dagdeck:{cluster}}}:1:"
    with redis.Redis.from_url(site.urls["worker"]["queue.url"]) as worker:
        assert worker.ping()
        assert worker.xread({f"{prefix}topic:revoked.1": "0"}) == []
        for refused in (
            lambda: worker.xread({f"{prefix}topic:reports": "0"}),
            lambda: worker.xadd(f"{prefix}topic:revoked.1", {"d": "x"}),
            lambda: worker.xadd("{dagdeck:another}:1:queue:default", {"d": "x"}),
            lambda: worker.get("anything"),
            worker.flushall,
            lambda: worker.execute_command("ACL", "LIST"),
            lambda: worker.config_get("requirepass"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()


def test_it_is_printed_without_passwords_when_they_are_kept(site: Site) -> None:
    printed = site.cluster.command("admin", "grants", "--keep-passwords", "--name", "other")
    assert "GRANT SELECT, UPDATE ON" in printed
    assert "ACL SETUSER other_worker on resetkeys" in printed
    assert "IDENTIFIED" not in printed
    assert "DAGDECK__" not in printed
