"""Bundles made by somebody who means harm: whatever a manifest says, nothing leaves its folder or breaks a limit."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import BundleFile, BundleManifest
from dagdeck_io.bundles.manifest import BundleLimits, check_manifest, collisions, version_of
from dagdeck_io.bundles.scan import FolderChanging, FolderScanner
from dagdeck_io.bundles.unpack import BundleCache

LIMITS = BundleLimits(max_files=6, max_bytes=60, max_file_bytes=20, max_path=30)
PARTS = ["a", "A", "b.py", "B.py", "é", "e\u0301", "E\u0301", "ß", "ss", "..", ".", "", "x" * 31, "C:", "nul\0", "\n"]
JOINTS = ["/", "/", "/", "//", "\\", "/../", "/./"]
paths = st.builds(
    lambda first, rest: first + "".join(joint + part for joint, part in rest),
    st.sampled_from([*PARTS, "/etc", "../out", "../../../../tmp/out", "~"]),
    st.lists(st.tuples(st.sampled_from(JOINTS), st.sampled_from(PARTS)), max_size=3),
)
contents = st.binary(max_size=25)


def file_of(path: str, data: bytes, claimed: int | None, executable: bool) -> BundleFile:
    size = len(data) if claimed is None else claimed
    return BundleFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=size, executable=executable)


files = st.lists(
    st.tuples(paths, contents, st.none() | st.sampled_from([-1, 0, 5, 10**12]), st.booleans()), min_size=1, max_size=8
)


def everything_below(root: Path) -> dict[str, bytes | str]:
    """Each file with its bytes, each link with its target."""
    found: dict[str, bytes | str] = {}
    for current, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(current, name)
            if path.is_symlink():
                found[str(path.relative_to(root))] = os.readlink(path)
            elif path.is_file():
                found[str(path.relative_to(root))] = path.read_bytes()
    return found


@settings(max_examples=400, deadline=None)
@given(made=files)
@example(made=[("a.py", b"one", None, True), ("lib/b.py", b"two", None, False)])
@example(made=[("a", b"", None, False), ("a/b", b"", None, False)])
@example(made=[("a/../../out", b"x", None, False)])
@example(made=[("lib/a.py", b"", None, False), ("Lib/b.py", b"", None, False)])
def test_a_manifest_is_unpacked_exactly_or_refused_and_nothing_else_is_touched(
    made: list[tuple[str, bytes, int | None, bool]],
) -> None:
    listed = [file_of(*each) for each in made]
    data = {file.sha256: each[1] for file, each in zip(listed, made, strict=True)}
    try:
        version = version_of(listed)
    except UnicodeEncodeError:  # cannot come from a database that stores UTF-8
        return
    manifest = BundleManifest(name="dags", version=version, files=tuple(listed))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "out").write_text("untouched")
        cache = BundleCache(root / "cache" / "bundles", max_bytes=10**9, limits=LIMITS)
        try:
            folder = cache.ensure(manifest, lambda file: data[file.sha256])
        except (UserError, EnvironmentFault):
            assert everything_below(root) == {"out": b"untouched"}
            return
        assert everything_below(folder) == {path: content for path, content, _, _ in made}
        assert everything_below(root) == {"out": b"untouched"} | {
            str((folder / path).relative_to(root)): content for path, content, _, _ in made
        }
        assert len(made) <= LIMITS.max_files
        assert sum(len(content) for _, content, _, _ in made) <= LIMITS.max_bytes
        shutil.rmtree(root / "cache", onerror=_make_writable)


def _make_writable(function: object, path: str, error: object) -> None:
    for folder in (os.path.dirname(path), path):
        os.chmod(folder, 0o700)
    os.unlink(path) if not os.path.isdir(path) else shutil.rmtree(path)


@settings(max_examples=200, deadline=None)
@given(st.sets(paths, max_size=12))
def test_what_does_not_collide_can_stand_together_on_every_system(found: set[str]) -> None:
    left_out = {path for path, _ in collisions(found)}
    kept = found - left_out
    assert list(collisions(kept)) == []
    assert bool(kept) == bool(found)
    folded = [path.casefold() for path in kept]
    assert len(set(folded)) == len(folded)


LAYOUTS = st.lists(
    st.tuples(
        st.sampled_from(["a.py", "A.py", "lib/a.py", "Lib/b.py", "lib", "deep/er/c.py", "é.py", "e\u0301.py", "x:y"]),
        st.sampled_from(["file", "large", "out link", "in link", "loop", "pipe"]),
    ),
    max_size=9,
)


@settings(max_examples=150, deadline=None)
@given(layout=LAYOUTS)
def test_what_a_scan_takes_is_what_workers_accept(layout: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "dags")
        root.mkdir()
        Path(name, "secret").write_text("outside")
        for path, kind in layout:
            _place(root, path, kind, Path(name, "secret"))
        scanner = FolderScanner(name="dags", root=root, limits=LIMITS)
        try:
            scanner.look()
            snapshot = scanner.take()
        except UserError:  # the folder is too large, and said to be
            return
        check_manifest(snapshot.manifest, LIMITS)
        for file in snapshot.manifest.files:
            assert snapshot.read(file.path) != b"outside"
        told = {problem.path for problem in snapshot.problems}
        present = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        assert present - told - {file.path for file in snapshot.manifest.files} == set()


def _place(root: Path, path: str, kind: str, secret: Path) -> None:
    target = root / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "pipe":
            os.mkfifo(target)
        elif kind == "out link":
            target.symlink_to(secret)
        elif kind == "in link":
            target.symlink_to(root / "a.py")
        elif kind == "loop":
            target.symlink_to(target.parent)
        elif not target.is_symlink() and not target.is_fifo():
            target.write_bytes(b"x" * (LIMITS.max_file_bytes + 1 if kind == "large" else 3))
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return  # two entries of the layout are in each other's way: the first stands


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    scanner = FolderScanner(name="dags", root=tmp_path)
    scanner.look()
    snapshot = scanner.take()
    (tmp_path / "a.py").unlink()
    os.mkfifo(tmp_path / "a.py")
    with pytest.raises(FolderChanging, match="changed"):
        snapshot.read("a.py")
