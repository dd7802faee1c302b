"""Node numbers for ids on real databases: never one for two live processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ids import id_time_ms
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.ids import REFUSE_AFTER, RENEW_AFTER, IdMaker, NodeLease
from dagdeck_io.db.tables import id_node


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'x.db'}"
    else:
        url = str(request.getfixturevalue("mariadb_url"))
    migrations.upgrade(url)
    opened = open_database(url)
    yield opened
    opened.close()


def lease(database: Database) -> NodeLease:
    return NodeLease(connection=database.lease_store().connection, owner="test:1")


def change(database: Database, node: int, **values: Any) -> None:
    """Change a node's row behind everybody's back."""
    with database.engine.begin() as connection:
        connection.execute(id_node.update().where(id_node.c.node == node).values(**values))


def age(database: Database, node: int, seconds: int) -> None:
    """Make a node's row look as if it had not been touched for so long."""
    with database.reading() as connection:
        before = connection.execute(sa.select(id_node.c.renewed_at).where(id_node.c.node == node)).scalar_one()
    change(database, node, renewed_at=before - timedelta(seconds=seconds))


def test_live_processes_have_different_nodes(database: Database) -> None:
    leases = [lease(database) for _ in range(6)]
    nodes: list[int] = []
    threads = [threading.Thread(target=lambda each=each: nodes.append(each.take())) for each in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(nodes) == 6
    assert len(set(nodes)) == 6


def test_node_is_reused_only_when_its_time_is_over(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagdeck_io.db.ids.MAX_NODES", 2)
    first, second = lease(database), lease(database)
    assert sorted([first.take(), second.take()]) == [0, 1]
    with pytest.raises(EnvironmentFault, match="all 2 node numbers"):
        lease(database).take()
    first.give_back()
    with pytest.raises(EnvironmentFault):
        lease(database).take()  # another clock may be behind: not at once
    age(database, first.node, 300)
    third = lease(database)
    assert third.take() == first.node
    assert not first.renew()
    age(database, second.node, 4000)
    assert lease(database).take() == second.node
    assert not second.renew()
    assert third.renew()


def test_maker_renews_its_node_and_takes_another_when_it_lost_it(database: Database) -> None:
    clock = [0.0]
    maker = IdMaker(lease=lease(database), seconds=lambda: clock[0])
    first = maker.next()
    node = maker.lease.node
    clock[0] = RENEW_AFTER + 1
    assert maker.next() > first
    assert maker.lease.node == node
    change(database, node, owner="another process", epoch=maker.lease.epoch + 1)
    clock[0] += RENEW_AFTER + 1
    maker.next()
    assert maker.lease.node != node


def test_ids_ascend_over_threads_and_clocks_that_go_back(database: Database) -> None:
    wall = [1_800_000_000_000]
    maker = IdMaker(lease=lease(database), wall_ms=lambda: wall[0])
    first = maker.take(3000)
    wall[0] -= 60_000
    made = [*first, maker.next()]
    assert made == sorted(set(made))
    assert id_time_ms(first[0]) == 1_800_000_000_000
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(maker.next() for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(found)) == 2000


def test_source_for_the_machine_shares_the_node_and_refuses_when_nobody_renewed(database: Database) -> None:
    clock = [0.0]
    maker = IdMaker(lease=lease(database), seconds=lambda: clock[0])
    source = maker.source()
    now_ms = 1_800_000_000_000
    one, two, three = source.next(now_ms), maker.next(), maker.source().next(now_ms)
    assert one < two < three
    clock[0] = REFUSE_AFTER + 1
    with pytest.raises(EnvironmentFault, match="ran out"):
        source.next(now_ms)
    maker.keep()
    assert source.next(now_ms) > three
