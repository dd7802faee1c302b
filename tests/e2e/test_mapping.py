"""Mapped tasks through every daemon: expansion, second order, groups, reduction, and a clear with another length."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.actions import ClearTaskInstances, TaskTarget
from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_io.db import tables as t
from tests.e2e.conftest import DAGS
from tests.e2e.harness import QUICK, ClusterUnderTest
from tests.support.services import MariaDb, RedisServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

S = TaskInstanceState


@pytest.fixture(scope="module", params=["standalone", "mariadb"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A cluster with the mapped DAGs."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    database_url = queue_url = None
    if request.param == "mariadb":
        mariadb: MariaDb = request.getfixturevalue("mariadb")
        redis_server: RedisServer = request.getfixturevalue("redis_server")
        database_url, queue_url = mariadb.create_database(f"mapping_{os.getpid()}"), redis_server.url()
    dags = [DAGS / "mapped.py"]
    with ClusterUnderTest(folder, dags=dags, database_url=database_url, queue_url=queue_url, settings=QUICK) as made:
        if database_url is None:
            made.start_standalone()
        else:
            made.start_cluster()
        made.wait_ready("mapped", "mapped_wide")
        yield made


def instances(cluster: ClusterUnderTest, run_id: str) -> dict[str, dict[int, str]]:
    """State by task and map index."""
    found: dict[str, dict[int, str]] = {}
    for ti in cluster.database.task_instances(run_id):
        found.setdefault(ti.task_id, {})[ti.map_index] = ti.state.value
    return found


def values(cluster: ClusterUnderTest, run_id: str, task_id: str) -> dict[int, str]:
    """What the instances of a task returned, as JSON text by map index."""
    query = (
        sa.select(t.task_instance.c.map_index, t.xcom.c.value)
        .join(t.xcom, t.xcom.c.ti_id == t.task_instance.c.ti_id)
        .join(t.dag_run, t.dag_run.c.run_key == t.task_instance.c.run_key)
        .where(t.dag_run.c.run_id == run_id, t.task_instance.c.task_id == task_id, t.xcom.c.key == "return_value")
    )
    return {row["map_index"]: row["value"] for row in cluster.database.rows(query)}


def clear(cluster: ClusterUnderTest, run_id: str) -> None:
    """Clear everything of a run."""
    rows = cluster.database.task_instances(run_id)
    targets = tuple(TaskTarget(row.ti_id, row.task_id, row.map_index) for row in rows)
    cluster.database.act(ClearTaskInstances(run_key=rows[0].run_key, targets=targets))
    cluster.wait_tasks(run_id, lambda tis: any(ti.state is not S.SUCCESS for ti in tis), "cleared")


def test_expansion_second_order_groups_and_reduction(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("mapped", {"count": 3})
    cluster.wait_run(run_id)
    all_well = dict.fromkeys(range(3), "success")
    assert instances(cluster, run_id) == {
        "values": {-1: "success"},
        "add": all_well,
        "second": all_well,
        "total": {-1: "success"},
        "group.double": all_well,
        "group.inside": all_well,
        "of_group": {-1: "success"},
        "bash": all_well,
    }
    assert values(cluster, run_id, "second") == {0: "111", 1: "112", 2: "113"}
    assert values(cluster, run_id, "total") == {-1: "336"}
    assert values(cluster, run_id, "group.inside") == {0: "2", 1: "4", 2: "6"}
    assert values(cluster, run_id, "of_group") == {-1: "12"}
    assert values(cluster, run_id, "bash") == {0: '"1 0"', 1: '"2 1"', 2: '"3 2"'}
    shown = sa.select(t.task_instance.c.rendered_map_index).join(
        t.dag_run, t.dag_run.c.run_key == t.task_instance.c.run_key
    )
    shown = shown.where(t.dag_run.c.run_id == run_id, t.task_instance.c.task_id == "add")
    assert sorted(row["rendered_map_index"] for row in cluster.database.rows(shown)) == [
        "number 1",
        "number 2",
        "number 3",
    ]


def test_an_empty_list_skips_and_a_failure_stays_at_its_index(cluster: ClusterUnderTest) -> None:
    empty = cluster.trigger("mapped", {"count": 0})
    cluster.wait_run(empty)
    assert {name: found for name, found in instances(cluster, empty).items() if name != "values"} == {
        name: {-1: "skipped"} for name in ("add", "second", "total", "group.double", "group.inside", "of_group", "bash")
    }
    failing = cluster.trigger("mapped", {"count": 13})
    cluster.wait_run(failing, state=DagRunState.FAILED)
    found = instances(cluster, failing)
    assert (found["group.double"][12], found["group.inside"][12]) == ("failed", "upstream_failed")
    assert set(found["group.inside"].values()) == {"success", "upstream_failed"}
    assert found["of_group"] == {-1: "upstream_failed"}
    assert found["total"] == {-1: "success"}


@pytest.mark.parametrize(("first", "then"), [(2, 4), (4, 1)])
def test_a_clear_with_another_length(cluster: ClusterUnderTest, first: int, then: int) -> None:
    run_id = cluster.trigger("mapped", {"count": first})
    cluster.wait_run(run_id)
    (cluster.folder / "length").write_text(str(then))
    clear(cluster, run_id)
    cluster.wait_run(run_id)
    expected = {index: "success" if index < then else "removed" for index in range(max(first, then))}
    found = instances(cluster, run_id)
    for name in ("add", "second", "group.double", "group.inside", "bash"):
        assert found[name] == expected, name
    wanted: dict[str, Any] = {"total": sum(range(111, 111 + then)), "of_group": sum(range(2, 2 * then + 1, 2))}
    assert {name: values(cluster, run_id, name)[-1] for name in wanted} == {k: str(v) for k, v in wanted.items()}


def test_many_instances_of_a_list_in_the_file(cluster: ClusterUnderTest) -> None:
    run_id = cluster.trigger("mapped_wide")
    cluster.wait_run(run_id)
    found = instances(cluster, run_id)
    assert found["wide"] == {index: "failed" if index == 13 else "success" for index in range(40)}
    assert values(cluster, run_id, "reduce") == {-1: str(2 * (sum(range(40)) - 13))}
