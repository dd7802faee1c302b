"""The contract of BundleStore, over every adapter."""

from __future__ import annotations

import hashlib

import pytest

from dagdeck_core.errors import Bug, UserError
from dagdeck_core.ports import BundleFile, BundleManifest
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
    contents = store.contents(file.sha256 for file in put.files)
    assert {file.path: contents[file.sha256] for file in put.files} == FILES
    assert store.contents(["0" * 64]) == {}


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
