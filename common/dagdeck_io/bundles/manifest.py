"""The identity of a bundle and the rules for a path inside it.

Decides how a version is computed from a file list and which relative paths are sound. Does not read
or write files. Called by the scan, by unpacking, and by whoever checks a manifest it was given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from dagdeck_core.errors import UserError
from dagdeck_core.ports import BundleFile, BundleManifest

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLimits:
    """How large a bundle may be; reaching one of them is a UserError that names it."""

    max_files: int = 20_000
    max_bytes: int = 256 * _MIB
    max_file_bytes: int = 16 * _MIB
    max_path: int = 500
    """Most characters of one file's path relative to the bundle's root."""


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
    """Raise UserError when `manifest` is not what its version says, breaks a limit or names an unsound path."""
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
        check_path(file.path)
        if file.path in seen:
            raise UserError("the bundle lists a file twice", file=manifest.name, field="path", value=file.path)
        seen.add(file.path)
    if limits is not None:
        check_size(manifest.name, len(manifest.files), sum(file.size for file in manifest.files), limits)


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
