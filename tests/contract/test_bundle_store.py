"""The contract of BundleStore, over every adapter."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime

import pytest

from dagdeck_core.errors import Bug, UserError
from dagdeck_core.ports import BundleFile, BundleManifest, BundleSignature, KeySuccession
from tests.contract.store_world import StoreWorld

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
