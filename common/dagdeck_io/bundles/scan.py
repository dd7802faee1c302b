"""Snapshots of a DAG folder, taken when two looks at it agree.

Decides when a folder counts as quiet, and when a file must be hashed again. Does not store a snapshot
(`BundleStore`) nor parse it. Called by the DAG processor.

A look compares stat signatures only. A file whose last change is so recent that another one could hide in
the same tick of the file system's clock is hashed again until it is old enough.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import BundleFile, BundleManifest
from dagdeck_io.bundles.ignore import IgnoreSyntax
from dagdeck_io.bundles.manifest import BundleLimits, collisions, make_manifest
from dagdeck_io.bundles.walk import FolderListing, FolderWalker, ScanProblem, Signature, signature_of

_CHUNK = 1024 * 1024
_FINE_TICK_NS = 20_000_000
"""A change may hide this long on file systems that stamp finer than a second (the kernel's tick and some)."""
_COARSE_TICK_NS = 2_000_000_000
"""The same on those that stamp whole seconds (FAT: two)."""


class FolderChanging(EnvironmentFault):
    """The folder is being written to right now; look again in the next round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSnapshot:
    """One state of a DAG folder: its manifest, what of it may be parsed, and what had to be left out."""

    root: Path
    manifest: BundleManifest
    not_parsed: frozenset[str]
    """Files that an .airflowignore keeps from being parsed for DAGs."""
    problems: tuple[ScanProblem, ...]
    _files: Mapping[str, BundleFile]

    def read(self, path: str) -> bytes:
        """The bytes of the snapshot's file `path`. Raises FolderChanging when the folder no longer holds them."""
        expected = self._files[path]
        try:
            with _opened(self.root / path) as stream:
                data = stream.read(expected.size + 1)
        except OSError as error:
            raise FolderChanging(f"{path} can no longer be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise FolderChanging(f"{path} changed while the snapshot was being stored")
        return data


@dataclass(frozen=True, slots=True)
class _Hashed:
    signature: Signature
    file: BundleFile
    recent: bool
    """True while a later change could have left the same signature."""


class FolderScanner:
    """Watches one DAG folder. `look` each round; when it answers True, `take` a moment later."""

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        limits: BundleLimits | None = None,
        syntax: IgnoreSyntax = IgnoreSyntax.GLOB,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._name = name
        self._root = root
        self._walker = FolderWalker(root=root, limits=limits or BundleLimits(), syntax=syntax)
        self._clock_ns = clock_ns
        self._seen: FolderListing | None = None
        self._taken: FolderListing | None = None
        self._hashed: dict[str, _Hashed] = {}
        self._recent: set[str] = set()

    def look(self) -> bool:
        """Whether the folder differs from the snapshot taken last (True before the first).

        Raises what `FolderWalker.walk` raises.
        """
        self._seen = self._walker.walk()
        return self._seen != self._taken or self._recent_file_changed()

    def take(self) -> FolderSnapshot:
        """The snapshot, if the folder is still as `look` saw it.

        Raises FolderChanging when it is not, or when a file changes while it is hashed; what
        `FolderWalker.walk` raises; UserError for a path that no bundle may hold.
        """
        listing = self._walker.walk()
        if listing != self._seen:
            self._seen = listing
            raise FolderChanging(f"{self._root} is being written to")
        files, unreadable = self._hash_all(listing)
        for path in self._hashed.keys() - files.keys():
            del self._hashed[path]
        unreadable += _drop_colliding(files)
        self._recent = {path for path, hashed in self._hashed.items() if hashed.recent}
        manifest = make_manifest(self._name, files.values())
        self._taken = listing
        return FolderSnapshot(
            root=self._root,
            manifest=manifest,
            not_parsed=frozenset(listing.not_parsed),
            problems=(*listing.problems, *unreadable),
            _files=files,
        )

    def forget(self) -> None:
        """Make the next `look` answer True, because the snapshot taken last could not be used."""
        self._taken = None

    def _hash_all(self, listing: FolderListing) -> tuple[dict[str, BundleFile], list[ScanProblem]]:
        files: dict[str, BundleFile] = {}
        unreadable = []
        for path, signature in listing.files.items():
            try:
                files[path] = self._hash(path, signature)
            except PermissionError as error:
                unreadable.append(ScanProblem(path=path, message=f"cannot be read: {error.strerror}"))
        return files, unreadable

    def _recent_file_changed(self) -> bool:
        for path in sorted(self._recent):
            before = self._hashed[path]
            try:
                changed = self._hash(path, before.signature).sha256 != before.file.sha256
            except (FolderChanging, PermissionError):
                changed = True
            if changed:
                # Also when `take` fails in between, the next look must see the difference.
                self._taken = None
                return True
            if not self._hashed[path].recent:
                self._recent.discard(path)
        return False

    def _hash(self, path: str, signature: Signature) -> BundleFile:
        known = self._hashed.get(path)
        if known is not None and known.signature == signature and not known.recent:
            return known.file
        now = self._clock_ns()
        digest, size = self._digest(path, signature)
        file = BundleFile(path=path, sha256=digest, size=size, executable=bool(signature[4] & stat.S_IXUSR))
        self._hashed[path] = _Hashed(signature, file, _is_recent(signature, now))
        return file

    def _digest(self, path: str, signature: Signature) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        try:
            with _opened(self._root / path) as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                unchanged = signature_of(os.fstat(stream.fileno())) == signature
        except FileNotFoundError as error:
            raise FolderChanging(f"{path} vanished while it was read") from error
        except PermissionError:
            raise
        except OSError as error:
            raise EnvironmentFault(f"{self._root / path} cannot be read: {error.strerror}") from error
        if not unchanged or size != signature[2]:
            raise FolderChanging(f"{path} changed while it was read")
        return digest.hexdigest(), size


def _opened(path: Path) -> BinaryIO:
    """The file, for reading. A pipe or device that has taken its place since it was listed is not waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return open(path, "rb", opener=lambda name, _: os.open(name, flags))


def _drop_colliding(files: dict[str, BundleFile]) -> list[ScanProblem]:
    """Leave out what not every system could unpack beside the others; what it is, for people."""
    found = [ScanProblem(path=path, message=f"it is left out: the path {text}") for path, text in collisions(files)]
    for problem in found:
        del files[problem.path]
    return found


def _is_recent(signature: Signature, now_ns: int) -> bool:
    changed = max(signature[0], signature[1])
    tick = _FINE_TICK_NS if signature[0] % 1_000_000_000 or signature[1] % 1_000_000_000 else _COARSE_TICK_NS
    return abs(now_ns - changed) < tick
