"""Snapshots of a DAG folder: what belongs to them, when they are taken, what they refuse."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dagdeck_core.errors import UserError
from dagdeck_io.bundles import scan as scan_module
from dagdeck_io.bundles import walk
from dagdeck_io.bundles.manifest import BundleLimits, check_manifest, make_manifest
from dagdeck_io.bundles.scan import FolderChanging, FolderScanner, FolderSnapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "dags"
    write(root, "first.py", "one")
    write(root, "lib/helper.py", "two")
    return root


def write(root: Path, path: str, text: str) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def scanner(root: Path, limits: BundleLimits | None = None) -> FolderScanner:
    return FolderScanner(name="dags", root=root, limits=limits)


def snapshot(root: Path) -> FolderSnapshot:
    scan = scanner(root)
    assert scan.look()
    return scan.take()


def paths(taken: FolderSnapshot) -> list[str]:
    return [file.path for file in taken.manifest.files]


def test_hidden_cached_and_ignored_paths_stay_out(folder: Path) -> None:
    for path in (
        ".git/config",
        "__pycache__/a.pyc",
        ".hidden.py",
        "lib/.cache/x",
        "first.py~",
        "big/data.bin",
        "b.pyc",
    ):
        write(folder, path, "x")
    write(folder, ".dagdeckignore", "big/\n")
    assert paths(snapshot(folder)) == ["first.py", "lib/helper.py"]


def test_an_airflowignore_only_keeps_files_from_being_parsed(folder: Path) -> None:
    write(folder, ".airflowignore", "lib\n")
    taken = snapshot(folder)
    assert paths(taken) == ["first.py", "lib/helper.py"]
    assert taken.not_parsed == {"lib/helper.py"}


def test_equal_folders_have_equal_versions_and_any_difference_another(folder: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    write(twin, "lib/helper.py", "two")
    write(twin, "first.py", "one")
    version = snapshot(folder).manifest.version
    assert snapshot(twin).manifest.version == version
    (twin / "first.py").chmod(0o755)
    assert snapshot(twin).manifest.version != version
    (twin / "first.py").chmod(0o644)
    (twin / "first.py").rename(twin / "renamed.py")
    assert snapshot(twin).manifest.version != version


def test_a_quiet_folder_is_not_reported_again(folder: Path) -> None:
    scan = scanner(folder)
    assert scan.look()
    scan.take()
    assert not scan.look()
    write(folder, "new.py", "three")
    assert scan.look()
    assert "new.py" in paths(scan.take())
    (folder / "first.py").unlink()
    assert scan.look()
    assert "first.py" not in paths(scan.take())


def test_a_changed_ignore_file_counts_as_a_change(folder: Path) -> None:
    scan = scanner(folder)
    scan.look()
    scan.take()
    write(folder, ".dagdeckignore", "lib")
    assert scan.look()
    assert paths(scan.take()) == ["first.py"]
    (folder / ".dagdeckignore").unlink()
    assert scan.look()
    assert paths(scan.take()) == ["first.py", "lib/helper.py"]


def test_a_folder_that_is_being_written_to_is_not_taken(folder: Path) -> None:
    scan = scanner(folder)
    assert scan.look()
    write(folder, "first.py", "one and more")
    with pytest.raises(FolderChanging, match="being written to"):
        scan.take()
    assert scan.look()
    assert scan.take().read("first.py") == b"one and more"


def test_a_change_that_leaves_the_signature_as_it_was_is_found_while_the_file_is_young(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes in one tick of the file system's clock leave the same size and times."""
    tick = time.time_ns() | 1
    frozen = lambda facts: (tick, tick, facts.st_size, facts.st_ino, facts.st_mode)  # noqa: E731
    monkeypatch.setattr(walk, "signature_of", frozen)
    monkeypatch.setattr(scan_module, "signature_of", frozen)
    now = [tick]
    scan = FolderScanner(name="dags", root=folder, clock_ns=lambda: now[0])
    scan.look()
    before = scan.take()
    (folder / "first.py").write_text("two")
    assert scan.look()
    assert scan.take().manifest.version != before.manifest.version
    assert not scan.look()
    now[0] += 10_000_000_000
    assert not scan.look()
    (folder / "first.py").write_text("six")
    assert not scan.look(), "an old file is trusted by its signature alone"


def test_an_old_file_is_hashed_once(folder: Path) -> None:
    later = time.time_ns() + 10_000_000_000
    scan = FolderScanner(name="dags", root=folder, clock_ns=lambda: later)
    scan.look()
    scan.take()
    assert not any(hashed.recent for hashed in scan._hashed.values())


def test_links_inside_the_root_are_followed_and_others_named(folder: Path, tmp_path: Path) -> None:
    outside = write(tmp_path, "secret.txt", "secret")
    (folder / "inside.py").symlink_to("first.py")
    (folder / "alias").symlink_to("lib")
    (folder / "outside.txt").symlink_to(outside)
    (folder / "dangling.py").symlink_to("nowhere.py")
    (folder / "lib" / "loop").symlink_to("..")
    taken = snapshot(folder)
    assert paths(taken) == ["alias/helper.py", "first.py", "inside.py", "lib/helper.py"]
    assert taken.read("inside.py") == b"one"
    problems = {problem.path: problem.message for problem in taken.problems}
    assert set(problems) == {"outside.txt", "dangling.py", "lib/loop", "alias/loop"}
    assert "outside the DAG folder" in problems["outside.txt"]
    assert "does not exist" in problems["dangling.py"]
    assert "leads back" in problems["lib/loop"]


def test_a_root_that_is_a_link_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert snapshot(tmp_path / "current").manifest.version == snapshot(folder).manifest.version


def test_names_that_no_bundle_may_hold_are_left_out_and_named(folder: Path) -> None:
    write(folder, "back\\slash.py", "x")
    (folder / os.fsdecode(b"latin-\xe9.py")).write_text("x")
    taken = snapshot(folder)
    assert paths(taken) == ["first.py", "lib/helper.py"]
    assert len(taken.problems) == 2


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (BundleLimits(max_files=1), "dag_processor.max_bundle_files"),
        (BundleLimits(max_bytes=5), "dag_processor.max_bundle_bytes"),
    ],
)
def test_a_folder_over_a_limit_names_the_setting(folder: Path, limits: BundleLimits, setting: str) -> None:
    with pytest.raises(UserError, match=rf"{setting}.*\.dagdeckignore"):
        scanner(folder, limits).look()


def test_a_path_over_the_limit_is_left_out_and_named(folder: Path) -> None:
    scan = scanner(folder, BundleLimits(max_path=10))
    scan.look()
    taken = scan.take()
    assert paths(taken) == ["first.py"]
    assert taken.problems[0].path == "lib/helper.py"


def test_a_file_over_the_limit_is_left_out_and_named(folder: Path) -> None:
    write(folder, "dump.bin", "x" * 100)
    scan = scanner(folder, BundleLimits(max_file_bytes=50))
    scan.look()
    taken = scan.take()
    assert paths(taken) == ["first.py", "lib/helper.py"]
    assert "dag_processor.max_file_bytes = 50" in taken.problems[0].message


def test_a_missing_root_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"paths\.dags_folder.*does not exist.*Create it"):
        scanner(tmp_path / "none").look()


def test_reading_a_snapshot_verifies_what_it_reads(folder: Path) -> None:
    taken = snapshot(folder)
    (folder / "first.py").write_text("other")
    with pytest.raises(FolderChanging, match=r"first\.py changed"):
        taken.read("first.py")
    (folder / "first.py").unlink()
    with pytest.raises(FolderChanging, match=r"first\.py can no longer be read"):
        taken.read("first.py")


def test_a_manifest_that_was_tampered_with_is_refused(folder: Path) -> None:
    manifest = snapshot(folder).manifest
    check_manifest(manifest)
    forged = type(manifest)(name="dags", version=manifest.version, files=manifest.files[1:])
    with pytest.raises(UserError, match="does not match its version"):
        check_manifest(forged)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", "", "a\\b", "C:/x", "a\nb", "./a"])
def test_unsound_paths_are_refused(folder: Path, path: str) -> None:
    file = snapshot(folder).manifest.files[0]
    forged = type(file)(path=path, sha256=file.sha256, size=file.size)
    with pytest.raises(UserError, match="a bundle's path must"):
        make_manifest("dags", [forged])


def test_an_unchanged_folder_of_5000_files_is_looked_at_quickly(tmp_path: Path) -> None:
    for number in range(5000):
        write(tmp_path, f"d{number // 100}/f{number}.py", str(number))
    write(tmp_path, ".dagdeckignore", "*.csv\n/scratch/\n")
    scan = scanner(tmp_path)
    scan.look()
    scan.take()
    time.sleep(0.05)
    scan.look()
    times = []
    for _ in range(5):
        started = time.thread_time()
        assert not scan.look()
        times.append(time.thread_time() - started)
    # CPU time, three times what it takes: shared machines are noisy.
    assert min(times) < 0.09, times
    print(f"a look at 5,000 files: {min(times) * 1000:.1f} ms")
