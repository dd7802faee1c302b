"""The identity of a bundle and the rules for what it may hold.

Decides how a version is computed from a file list, which relative paths are sound, which of them cannot stand beside
each other, and how large everything may be. Does not read or write files. Called by the scan, by unpacking, and by
whoever checks a manifest it was given.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagdeck_core.errors import UserError
from dagdeck_core.ports import BundleFile, BundleManifest

if TYPE_CHECKING:
    from dagdeck_io.settings.master_sections import DagProcessor

_MIB = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLimits:
    """How large a bundle may be; reaching one of them is a UserError that names it."""

    max_files: int = 20_000
    max_bytes: int = 256 * _MIB
    max_file_bytes: int = 16 * _MIB
    max_path: int = 500
    """Most characters of one file's path relative to the bundle's root."""


def limits_of(settings: DagProcessor) -> BundleLimits:
    """The limits as the settings have them, on the master and on workers."""
    return BundleLimits(
        max_files=settings.max_bundle_files,
        max_bytes=settings.max_bundle_bytes,
        max_file_bytes=settings.max_file_bytes,
    )


def make_manifest(name: str, files: Iterable[BundleFile]) -> BundleManifest:
    """The manifest of bundle `name` with `files` in any order. Raises UserError for an unsound path."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    for file in ordered:
        check_path(file.path)
    return BundleManifest(name=name, version=version_of(ordered), files=ordered)


def version_of(files: Iterable[BundleFile]) -> str:
    """SHA-256 over the sorted list of paths, contents and executable bits: equal folders have equal versions."""
    digest = hashlib.sha256()
    for file in files:
        line = f"{file.path}\0{file.sha256}\0{file.size}\0{int(file.executable)}\n"
        digest.update(line.encode("utf-8"))
    return digest.hexdigest()


def check_manifest(manifest: BundleManifest, limits: BundleLimits | None = None) -> None:
    """Raise UserError when `manifest` is not what its version says, breaks a limit or names unsound paths."""
    if limits is not None:
        # First, because hashing or comparing a list without end would be the damage itself.
        check_size(manifest.name, len(manifest.files), sum(max(file.size, 0) for file in manifest.files), limits)
    if version_of(manifest.files) != manifest.version:
        raise UserError(
            "the bundle's file list does not match its version",
            file=manifest.name,
            field="version",
            value=manifest.version,
            remedy="Fetch the bundle again; if it stays so, the stored bundle is damaged",
        )
    seen: set[str] = set()
    for file in manifest.files:
        _check_file(manifest.name, file, limits)
        if file.path in seen:
            raise UserError("the bundle lists a file twice", file=manifest.name, field="path", value=file.path)
        seen.add(file.path)
    for path, complaint in collisions(seen):
        raise UserError(f"a bundle's path {complaint}", file=manifest.name, field="path", value=path)


def collisions(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The paths that cannot be unpacked beside earlier ones on every system, in order, each with what is wrong.

    Two names that differ only in case, or in how accents are encoded, are one on Windows and macOS; a file cannot be
    a folder as well.
    """
    spelled: dict[str, str] = {}
    files: set[str] = set()
    for path in sorted(paths):
        complaint = _collision(path, spelled, files)
        if complaint:
            yield path, complaint
        else:
            spelled.update((_folded(part), part) for part in _with_folders(path))
            files.add(_folded(path))


def _collision(path: str, spelled: dict[str, str], files: set[str]) -> str:
    if _folded(path) in spelled:
        other = spelled[_folded(path)]
        return "is a file and a folder" if other == path else f"differs from {other!r} only in case or accents"
    for folder in _with_folders(path):
        other = spelled.get(_folded(folder), folder)
        if other != folder:
            return f"differs from {other!r} only in case or accents"
        if _folded(folder) in files:
            return f"is below {folder!r}, which is a file"
    return ""


def _with_folders(path: str) -> Iterator[str]:
    """The folders that lead to `path`, from the root on, and `path` itself."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)
    yield path


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _check_file(name: str, file: BundleFile, limits: BundleLimits | None) -> None:
    check_path(file.path)
    if file.size < 0 or not _SHA256.fullmatch(file.sha256):
        raise UserError("a file's size or hash is malformed", file=name, field="path", value=file.path)
    if limits is None:
        return
    if len(file.path) > limits.max_path:
        raise UserError(
            f"a bundle's path has more than {limits.max_path} characters", file=name, field="path", value=file.path
        )
    if file.size > limits.max_file_bytes:
        raise UserError(
            f"{file.path} is larger than dag_processor.max_file_bytes = {limits.max_file_bytes:,} allows",
            file=name,
            field="dag_processor.max_file_bytes",
            value=file.size,
            remedy="Raise the setting here, as on the master",
        )


def check_size(name: str, files: int, size: int, limits: BundleLimits) -> None:
    """Raise UserError when a bundle of `files` files and `size` bytes is larger than `limits` allow."""
    remedy = "List what DAGs and tasks do not need in a .dagdeckignore file, or raise the setting"
    if files > limits.max_files:
        raise UserError(
            f"the DAG folder holds more files than dag_processor.max_bundle_files = {limits.max_files:,} allows",
            file=name,
            field="dag_processor.max_bundle_files",
            value=files,
            remedy=remedy,
        )
    if size > limits.max_bytes:
        raise UserError(
            f"the DAG folder holds more than dag_processor.max_bundle_bytes = {limits.max_bytes:,} bytes",
            file=name,
            field="dag_processor.max_bundle_bytes",
            value=size,
            remedy=remedy,
        )


def check_path(path: str) -> None:
    """Raise UserError unless `path` is relative, has forward slashes and stays inside its root on every system."""
    reason = _unsound(path)
    if reason:
        raise UserError(
            f"a bundle's path {reason}",
            field="path",
            value=path,
            remedy="Rename the file or list it in .dagdeckignore",
        )


def _unsound(path: str) -> str:
    if not path or path.startswith("/"):
        return "must be relative"
    if "\\" in path or ":" in path.split("/", 1)[0][1:2]:
        return "must not contain a backslash or a drive letter"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "must not contain control characters"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "must not contain empty, '.' or '..' parts"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "must be valid UTF-8"
    return ""
