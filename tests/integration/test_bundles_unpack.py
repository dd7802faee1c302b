"""Bundles unpacked again: verified, read-only, atomic, shared and evicted."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import BundleFile, BundleManifest
from dagdeck_io.bundles.manifest import BundleLimits, make_manifest, version_of
from dagdeck_io.bundles.scan import FolderScanner, FolderSnapshot
from dagdeck_io.bundles.unpack import BundleCache, ReadContents, is_intact


def take(root: Path, files: dict[str, str]) -> FolderSnapshot:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    scan = FolderScanner(name="dags", root=root)
    scan.look()
    return scan.take()


def reader(snapshot: FolderSnapshot) -> ReadContents:
    return lambda file: snapshot.read(file.path)


def cache(tmp_path: Path, max_bytes: int = 10**9) -> BundleCache:
    return BundleCache(tmp_path / "cache", max_bytes=max_bytes)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_comes_out_as_it_went_in_and_read_only(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "run.sh").write_text("#!/bin/sh")
    (tmp_path / "dags" / "run.sh").chmod(0o755)
    snapshot = take(tmp_path / "dags", {"a.py": "one", "lib/b.py": "two", "empty.txt": ""})
    folder = cache(tmp_path).ensure(snapshot.manifest, reader(snapshot))
    assert contents(folder) == {"a.py": "one", "lib/b.py": "two", "empty.txt": "", "run.sh": "#!/bin/sh"}
    assert stat.S_IMODE((folder / "a.py").stat().st_mode) == 0o444
    assert stat.S_IMODE((folder / "run.sh").stat().st_mode) == 0o555
    assert stat.S_IMODE((folder / "lib").stat().st_mode) == 0o555
    assert stat.S_IMODE(folder.stat().st_mode) == 0o555


def test_a_bundle_that_is_there_is_not_read_again(tmp_path: Path) -> None:
    snapshot = take(tmp_path / "dags", {"a.py": "one"})
    bundles = cache(tmp_path)
    folder = bundles.ensure(snapshot.manifest, reader(snapshot))

    def refuse(file: BundleFile) -> bytes:
        raise AssertionError(file.path)

    assert bundles.ensure(snapshot.manifest, refuse) == folder


def test_a_bundle_that_somebody_changed_is_unpacked_again(tmp_path: Path) -> None:
    snapshot = take(tmp_path / "dags", {"a.py": "one"})
    bundles = cache(tmp_path)
    folder = bundles.ensure(snapshot.manifest, reader(snapshot))
    (folder / "a.py").chmod(0o644)
    (folder / "a.py").write_text("two")
    assert not is_intact(snapshot.manifest, folder)
    bundles.ensure(snapshot.manifest, reader(snapshot))
    assert contents(folder) == {"a.py": "one"}


def test_unchanged_files_are_linked_from_the_previous_version_unless_touched(tmp_path: Path) -> None:
    first = take(tmp_path / "dags", {"a.py": "one", "b.py": "two", "c.py": "see"})
    bundles = cache(tmp_path)
    old = bundles.ensure(first.manifest, reader(first))
    (old / "b.py").chmod(0o644)
    (old / "b.py").write_text("evl")
    second = take(tmp_path / "dags", {"c.py": "new"})
    asked = []

    def read(file: BundleFile) -> bytes:
        asked.append(file.path)
        return second.read(file.path)

    new = bundles.ensure(second.manifest, read, previous=first.manifest)
    assert asked == ["b.py", "c.py"]
    assert contents(new) == {"a.py": "one", "b.py": "two", "c.py": "new"}
    assert (new / "a.py").stat().st_ino == (old / "a.py").stat().st_ino


def test_contents_that_do_not_match_leave_nothing_behind(tmp_path: Path) -> None:
    snapshot = take(tmp_path / "dags", {"a.py": "one", "b.py": "two"})
    bundles = cache(tmp_path)
    with pytest.raises(UserError, match=r"a\.py: sha256: the contents do not match"):
        bundles.ensure(snapshot.manifest, lambda file: b"evl")
    assert list((tmp_path / "cache" / "dags").iterdir()) == []


def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    snapshot = take(tmp_path / "dags", {"a.py": "one"})

    def full(file: BundleFile) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(EnvironmentFault, match=r"disk is full.*paths\.home"):
        cache(tmp_path).ensure(snapshot.manifest, full)
    assert list((tmp_path / "cache" / "dags").iterdir()) == []


@pytest.mark.parametrize("path", ["../escape.py", "/tmp/escape.py", "a/../../escape.py"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    honest = take(tmp_path / "dags", {"a.py": "one"}).manifest
    files = (BundleFile(path=path, sha256=honest.files[0].sha256, size=3),)
    forged = BundleManifest(name="dags", version=version_of(files), files=files)
    with pytest.raises(UserError, match="a bundle's path must"):
        cache(tmp_path).ensure(forged, lambda file: b"one")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "version"), [("..", "v"), ("a/b", "v"), ("", "v"), ("dags", "../../etc"), (".x", "v")]
)
def test_a_bundle_cannot_be_named_out_of_the_cache(tmp_path: Path, name: str, version: str) -> None:
    with pytest.raises(UserError, match="cannot be stored under this name"):
        cache(tmp_path).folder_of(name, version)


def test_a_manifest_over_the_limits_is_refused(tmp_path: Path) -> None:
    snapshot = take(tmp_path / "dags", {"a.py": "one", "b.py": "two"})
    bundles = BundleCache(tmp_path / "cache", max_bytes=10**9, limits=BundleLimits(max_bytes=5))
    with pytest.raises(UserError, match="max_bundle_bytes"):
        bundles.ensure(snapshot.manifest, reader(snapshot))


def test_two_files_where_one_would_be_a_folder_are_refused(tmp_path: Path) -> None:
    honest = take(tmp_path / "dags", {"a": "one"}).manifest.files[0]
    inner = BundleFile(path="a/b", sha256=honest.sha256, size=3)
    with pytest.raises(UserError, match="below 'a', which is a file"):
        cache(tmp_path).ensure(make_manifest("dags", [honest, inner]), lambda file: b"one")


def test_the_least_recently_used_bundles_make_room(tmp_path: Path) -> None:
    snapshots = [take(tmp_path / f"dags{number}", {"a.py": str(number) * 1000}) for number in range(4)]
    bundles = cache(tmp_path, max_bytes=2500)
    for number, snapshot in enumerate(snapshots[:2]):
        folder = bundles.ensure(snapshot.manifest, reader(snapshot))
        os.utime(folder, (1000 + number, 1000 + number))
    bundles.ensure(snapshots[0].manifest, reader(snapshots[0]))
    bundles.ensure(snapshots[2].manifest, reader(snapshots[2]))
    kept = {folder.name for folder in (tmp_path / "cache" / "dags").iterdir()}
    assert kept == {snapshots[0].manifest.version, snapshots[2].manifest.version}
    in_use = {snapshots[0].manifest.version, snapshots[2].manifest.version}
    bundles.ensure(snapshots[3].manifest, reader(snapshots[3]), in_use=in_use)
    assert in_use <= {folder.name for folder in (tmp_path / "cache" / "dags").iterdir()}


def test_what_a_killed_process_left_half_unpacked_is_removed_in_time(tmp_path: Path) -> None:
    bundles = cache(tmp_path)
    abandoned = tmp_path / "cache" / "dags" / ".unpacking-0123"
    fresh = tmp_path / "cache" / "dags" / ".unpacking-4567"
    for folder in (abandoned, fresh):
        folder.mkdir(parents=True)
        (folder / "a.py").write_text("half")
    os.utime(abandoned, (time.time() - 7200, time.time() - 7200))
    bundles.evict(())
    assert not abandoned.exists()
    assert fresh.exists()
