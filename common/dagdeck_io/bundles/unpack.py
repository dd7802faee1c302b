"""A bundle's contents as a folder again: verified, read-only, all or nothing.

Decides how a manifest becomes files on this machine and which unpacked bundles make room for others.
Does not fetch contents (the caller's `read` does) nor decide which bundle is needed. Called by workers and by
the DAG processor, several processes of which may share one cache folder.

All files get one fixed modification time, so that a file which somebody changed in place is recognised
and never linked into the next version.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from dagdeck_core.errors import DiskFull, EnvironmentFault, UserError
from dagdeck_core.ports import BundleFile, BundleManifest
from dagdeck_io.bundles.manifest import BundleLimits, check_manifest

_STAMP_NS = 1_577_836_800_000_000_000
"""2020-01-01: the modification time of every unpacked file."""
_STALE_UNPACKING = 3600.0
"""Seconds after which an unfinished unpacking counts as abandoned by a process that died."""
_UNFINISHED = ".unpacking-"
_PASSAGE = 0o711

ReadContents = Callable[[BundleFile], bytes]


class BundleCache:
    """Unpacked bundles under one folder: `<root>/<name>/<version>/`. Safe for use by several processes."""

    def __init__(self, root: Path, *, max_bytes: int, limits: BundleLimits | None = None) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._limits = limits

    def prepare(self) -> None:
        """Make the folder now, for users who must be able to enter it. Raises EnvironmentFault when the disk fails."""
        try:
            _make_passage(self._root)
        except OSError as error:
            raise _disk_fault(error, self._root) from error

    def folder_of(self, name: str, version: str) -> Path:
        """Where this bundle is or would be. Raises UserError for a name or version that is no plain file name."""
        for field, value in (("name", name), ("version", version)):
            if not value or value.startswith(".") or any(character in value for character in "/\\:\0"):
                raise UserError("a bundle cannot be stored under this name", field=field, value=value)
        return self._root / name / version

    def ensure(
        self,
        manifest: BundleManifest,
        read: ReadContents,
        *,
        previous: BundleManifest | None = None,
        in_use: Collection[str] = (),
    ) -> Path:
        """The folder that holds `manifest`, unpacked now unless it is there already.

        `read` gives a file's bytes. Files that `previous` (unpacked in this cache) holds too are linked from there.
        Afterwards the least recently used bundles make room, except versions in `in_use`; all of them when the
        disk is full. Raises UserError for an unsound manifest or contents that do not match it, DiskFull when there
        is no room even then, EnvironmentFault when the disk fails.
        """
        check_manifest(manifest, self._limits)
        folder = self.folder_of(manifest.name, manifest.version)
        if folder.is_dir() and is_intact(manifest, folder):
            _mark_used(folder)
            return folder
        remove_folder(folder)
        link_from = None
        if previous is not None:
            link_from = (previous, self.folder_of(previous.name, previous.version))
        try:
            unpack(manifest, folder, read, link_from=link_from)
        except DiskFull:
            # Bundles that nobody uses now are only a convenience.
            if not self.evict({manifest.version, *in_use}, to=0):
                raise
            unpack(manifest, folder, read, link_from=link_from)
        self.evict({manifest.version, *in_use})
        return folder

    def evict(self, in_use: Collection[str], *, to: int | None = None) -> int:
        """Remove the least recently used bundles until the cache fits its limit, or `to` bytes; how many went.

        Versions in `in_use` stay, whatever they take.
        """
        bundles = sorted(self._bundles(), key=lambda bundle: bundle.used_at)
        excess = sum(bundle.size for bundle in bundles) - (self._max_bytes if to is None else to)
        removed = 0
        for bundle in bundles:
            if excess <= 0:
                break
            if bundle.folder.name not in in_use:
                remove_folder(bundle.folder)
                excess -= bundle.size
                removed += 1
        return removed

    def _bundles(self) -> list[_Unpacked]:
        found = []
        for folder in self._root.glob("*/*"):
            try:
                facts = folder.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(facts.st_mode):
                continue
            if not folder.name.startswith(_UNFINISHED):
                found.append(_Unpacked(folder, facts.st_mtime, _size_of(folder)))
            elif time.time() - facts.st_mtime > _STALE_UNPACKING:
                remove_folder(folder)
        return found


@dataclass(frozen=True, slots=True)
class _Unpacked:
    folder: Path
    used_at: float
    size: int


def unpack(
    manifest: BundleManifest,
    folder: Path,
    read: ReadContents,
    *,
    link_from: tuple[BundleManifest, Path] | None = None,
) -> None:
    """Make `folder` hold exactly the files of a checked `manifest`; nobody ever sees it half filled.

    Raises UserError when `read` gives other bytes than the manifest names, EnvironmentFault when the disk fails.
    """
    draft = folder.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
    linkable = _linkable(*link_from) if link_from is not None else {}
    try:
        _make_passage(folder.parent)
        draft.mkdir(mode=0o700)
        for file in manifest.files:
            _place(file, draft, read, linkable.get((file.sha256, file.executable)))
        _make_read_only(draft)
        _move(draft, folder)
    except OSError as error:
        raise _disk_fault(error, folder) from error
    finally:
        if draft.exists():
            remove_folder(draft)


def _make_passage(folder: Path) -> None:
    """Make `folder` and what leads to it. Other users, whom tasks may run as, can pass through but not look round: they
    find a bundle only by its version, which they are told when a task of theirs runs it.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir()
            missing.chmod(_PASSAGE)


def is_intact(manifest: BundleManifest, folder: Path) -> bool:
    """Whether `folder` still holds the manifest's files, untouched since they were unpacked (by size and time)."""
    return all(_is_untouched(folder / file.path, file.size) for file in manifest.files)


def remove_folder(folder: Path) -> None:
    """Remove an unpacked bundle. Harmless when it is not there; others may remove it at the same time."""
    if not folder.is_dir():
        return
    for current, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(current, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _place(file: BundleFile, draft: Path, read: ReadContents, twin: Path | None) -> None:
    target = draft / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if twin is not None and _is_untouched(twin, file.size):
        try:
            os.link(twin, target)
            return
        except OSError:
            # No links on this file system, or too many to one file: write a copy.
            pass
    data = read(file)
    if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
        raise UserError(
            "the contents do not match the bundle's manifest",
            file=file.path,
            field="sha256",
            value=hashlib.sha256(data).hexdigest(),
            remedy="Fetch the bundle again; if it stays so, the stored bundle is damaged",
        )
    mode = 0o555 if file.executable else 0o444
    # O_EXCL and O_NOFOLLOW: a path that is there already, or leads elsewhere, is never written through.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(target, flags, mode), "wb") as stream:
        stream.write(data)
    os.chmod(target, mode)
    os.utime(target, ns=(_STAMP_NS, _STAMP_NS))


def _linkable(manifest: BundleManifest, folder: Path) -> dict[tuple[str, bool], Path]:
    return {(file.sha256, file.executable): folder / file.path for file in manifest.files}


def _is_untouched(path: Path, size: int) -> bool:
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size == size and facts.st_mtime_ns == _STAMP_NS


def _make_read_only(folder: Path) -> None:
    for current, _, _ in os.walk(folder, topdown=False):
        if current != str(folder):
            os.chmod(current, 0o555)


def _move(draft: Path, folder: Path) -> None:
    try:
        # The folder itself is made read-only after its move: a read-only folder cannot be renamed on every system.
        os.rename(draft, folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES) or not folder.is_dir():
            raise
        # Another process was faster and has unpacked the same contents.
        return
    os.chmod(folder, 0o555)


def _mark_used(folder: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(folder)


def _size_of(folder: Path) -> int:
    total = 0
    for current, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(current, name)).st_size
    return total


def _disk_fault(error: OSError, folder: Path) -> EnvironmentFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"the disk is full: a bundle cannot be unpacked into {folder}",
            remedy="Free space there, or move paths.home to a larger disk",
        )
    return EnvironmentFault(f"a bundle cannot be unpacked into {folder}: {error.strerror or error}")
