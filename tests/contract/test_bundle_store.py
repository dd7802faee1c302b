"""The contract of BundleStore, over every adapter."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagdeck_core.errors import Bug, EnvironmentFault, UserError
from dagdeck_core.ports import BundleFile, BundleManifest, BundleSignature, KeySuccession
from dagdeck_core.scheduling.decisions import DeleteRun
from dagdeck_io.db import tables
from dagdeck_io.db.retention import Retention
from tests.contract.store_world import StoreWorld
from tests.support.retention_periods import periods

FILES = {"dags/a.py": b"print('a')\n" * 100, "dags/empty.py": b"", "bin/tool": bytes(range(256)), "copy.py": b""}


def manifest(files: dict[str, bytes], version: str = "v1") -> BundleManifest:
    return BundleManifest(
        name="dags",
        version=version,
        files=tuple(
            BundleFile(
                path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data), executable=path.startswith("bin")
            )
            for path, data in sorted(files.items())
        ),
    )


def test_bundle_is_given_back_as_it_was_put(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    put = manifest(FILES)
    store.put(put, FILES.__getitem__)
    assert store.manifest("dags", "v1") == put
    contents = store.contents({file.sha256: file.size for file in put.files})
    assert {file.path: contents[file.sha256] for file in put.files} == FILES
    assert store.contents({"0" * 64: 1}) == {}


def test_only_contents_that_nobody_has_are_read(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    store.put(manifest(FILES), FILES.__getitem__)
    asked: list[str] = []

    def read(path: str) -> bytes:
        asked.append(path)
        return changed[path]

    changed = FILES | {"dags/a.py": b"new"}
    store.put(manifest(changed, "v2"), read)
    assert asked == ["dags/a.py"]
    store.put(manifest(changed, "v2"), read)
    assert asked == ["dags/a.py"], "a second time is harmless"
    assert len(stores.rows("bundle")) == 2
    assert store.manifest("dags", "v1") == manifest(FILES)


def test_unknown_bundle_and_wrong_content_are_refused(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    with pytest.raises(UserError, match="unknown"):
        store.manifest("dags", "v9")
    with pytest.raises(Bug, match=r"dags/a\.py"):
        store.put(manifest({"dags/a.py": b"x"}), lambda path: b"y")
    with pytest.raises(UserError):
        store.manifest("dags", "v1")
    with pytest.raises(UserError, match="too long"):
        store.put(manifest({"d/" + "x" * 600: b"x"}), lambda path: b"x")


def test_signatures_are_kept_beside_bundles_and_a_wrong_one_makes_room(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    first, second = (BundleSignature(public_key=key, signature=f"by {key}") for key in ("k1", "k2"))
    with pytest.raises(UserError, match="unknown"):
        store.sign("dags", "v1", first)
    assert store.signatures("dags", "v1") == ()
    store.put(manifest(FILES), FILES.__getitem__)
    for signature in (BundleSignature(public_key="k1", signature="wrong"), first, second, first):
        store.sign("dags", "v1", signature)
    assert set(stores.worker_database.bundle_store().signatures("dags", "v1")) == {first, second}
    assert store.stored() == (("dags", "v1"),)


def test_announcements_of_keys_are_kept_once(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    first, second = (KeySuccession(old_key="k1", new_key=key, signature="s") for key in ("k2", "k3"))
    assert store.successions() == ()
    for each in (first, second, first):
        store.announce(each)
    assert set(stores.worker_database.bundle_store().successions()) == {first, second}


@pytest.mark.parametrize("claimed", [100, 10_000_000])
def test_a_content_that_would_grow_past_its_size_is_not_given(stores: StoreWorld, claimed: int) -> None:
    store = stores.worker_database.bundle_store()
    honest = b"x" * 100
    sha256 = hashlib.sha256(honest).hexdigest()
    bomb = zlib.compress(b"x" * 10_000_000, 9)
    planted = [("zlib", bomb), ("raw", bomb), ("zlib", b"no stream"), ("zlib", zlib.compress(honest)[:-2])]
    for encoding, data in planted:
        with stores.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM bundle_content")
        stores.insert(
            "bundle_content", sha256=sha256, size=claimed, encoding=encoding, data=data, created_at=datetime.now(UTC)
        )
        assert store.contents({sha256: 100}) == {}, (encoding, len(data))


def test_contents_of_another_size_are_not_fetched(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    store.put(manifest(FILES), FILES.__getitem__)
    sha256 = hashlib.sha256(FILES["dags/a.py"]).hexdigest()
    assert store.contents({sha256: len(FILES["dags/a.py"]) + 1}) == {}


# ------------------------------------------------------------------ what retention removes


def age(stores: StoreWorld) -> None:
    """Make everything that is stored old."""
    old = datetime.now(UTC) - timedelta(days=100)
    with stores.database.writing() as connection:
        connection.execute(tables.bundle.update().values(created_at=old, published_at=old))
        connection.execute(tables.bundle_content.update().values(created_at=old))


def purge(stores: StoreWorld) -> None:
    retention = Retention(connection=stores.scheduler.connection, periods=periods(code=timedelta(days=30)))
    while retention.step(datetime.now(UTC)):
        pass


def test_what_nobody_is_pinned_to_goes_and_a_bundle_that_comes_back_stays(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    store.put(manifest(FILES), FILES.__getitem__)
    changed = {"dags/a.py": b"new"}
    store.put(manifest(changed, "v2"), changed.__getitem__)
    newest = {"dags/a.py": b"newest"}
    store.put(manifest(newest, "v3"), newest.__getitem__)
    purge(stores)
    assert len(stores.rows("bundle")) == 3, "all are young"
    age(stores)
    # The folder is again what it was at first; it is not published yet.
    store.put(manifest(FILES), FILES.__getitem__)
    purge(stores)
    assert sorted(row["version"] for row in stores.rows("bundle")) == ["v1", "v3"], "v3 is the newest"
    hashes = {file.sha256 for each in (manifest(FILES), manifest(newest)) for file in each.files}
    assert {row["sha256"] for row in stores.rows("bundle_content")} == hashes
    assert len(stores.rows("bundle_file")) == len(FILES) + 1
    assert stores.rows("removal") == []


def test_contents_of_removed_bundles_that_a_new_one_uses_stay(stores: StoreWorld) -> None:
    store = stores.database.bundle_store()
    store.put(manifest(FILES), FILES.__getitem__)
    age(stores)
    with stores.database.writing() as connection:
        connection.execute(tables.bundle.delete())
        connection.execute(tables.bundle_file.delete())
    reused = {"other.py": FILES["dags/a.py"]}
    store.put(manifest(reused, "v2"), reused.__getitem__)
    purge(stores)
    (kept,) = stores.rows("bundle_content")
    assert kept["sha256"] == hashlib.sha256(reused["other.py"]).hexdigest()
    assert store.contents({kept["sha256"]: kept["size"]}) == {kept["sha256"]: reused["other.py"]}


def test_contents_that_vanish_while_a_bundle_is_stored_are_stored_again(
    stores: StoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.database.bundle_store()
    put_contents = type(store)._put_contents
    vanishing = [True, False]

    def put(self: Any, *arguments: Any) -> None:
        put_contents(self, *arguments)
        if vanishing.pop(0):
            with stores.database.writing() as connection:
                connection.execute(tables.bundle_content.delete())

    monkeypatch.setattr(type(store), "_put_contents", put)
    put_now = manifest(FILES)
    store.put(put_now, FILES.__getitem__)
    assert len(store.contents({file.sha256: file.size for file in put_now.files})) == 3
    vanishing[:] = [True] * 9
    with pytest.raises(EnvironmentFault, match="vanish"):
        store.put(manifest({"x.py": b"x"}, "v2"), lambda path: b"x")
    assert [row["version"] for row in stores.rows("bundle")] == ["v1"]


def test_versions_go_when_their_runs_are_gone_and_the_newest_stays(stores: StoreWorld) -> None:
    first = stores.dag("d", code="c1")
    run_key, _ = stores.run("d")
    second = stores.dag("d", code="c2")
    third = stores.dag("d", code="c3")
    later = datetime.now(UTC) + timedelta(days=100)
    retention = Retention(connection=stores.scheduler.connection, periods=periods(code=timedelta(days=30)))

    def versions() -> list[int]:
        while retention.step(later):
            pass
        return sorted(row["version_id"] for row in stores.rows("dag_version", dag_id="d"))

    assert versions() == [first, second, third], "a run began under the first one, so it may be pinned to the next, too"
    stores.end_run(run_key)
    stores.commit(DeleteRun(run_key=run_key, dag_id="d"))
    assert versions() == [third]
