"""What is known of each DAG file from earlier snapshots, and which files must be parsed again.

Decides by fingerprints over what a file's import touched: content of files, members of listed folders, absence
of what was looked for in vain. Does not parse (`pool`) nor judge results together (`catalog`). Pure; lives as long
as the DAG processor, which after a restart parses everything once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dagdeck_core.ports import BundleManifest
from dagdeck_master.dag_processor.protocol import ParsedFile


class SnapshotIndex:
    """A manifest, arranged for fingerprints of sets of paths."""

    def __init__(self, manifest: BundleManifest) -> None:
        self.files = {file.path: file.sha256 for file in manifest.files}
        self._members: dict[str, set[str]] = {"/": set()}
        for path in self.files:
            self._add_to_folders(path)

    def fingerprint(self, paths: Iterable[str]) -> str:
        """One hash over the state of `paths`; folders end with a slash, what is not there counts as absent."""
        digest = hashlib.sha256()
        for path in sorted(paths):
            digest.update(f"{path}\0{self._state_of(path)}\n".encode())
        return digest.hexdigest()

    def _state_of(self, path: str) -> str:
        if not path.endswith("/"):
            return self.files.get(path, "absent")
        members = self._members.get(path)
        return "absent" if members is None else "\0".join(sorted(members))

    def _add_to_folders(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        while True:
            members = self._members.setdefault(f"{folder}/", set())
            if name in members:
                return
            members.add(name)
            if not folder:
                return
            folder, _, name = folder.rpartition("/")
            name += "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """The newest result of one DAG file and the state of the folder it holds for."""

    result: ParsedFile
    fingerprint: str
    parsed_at: float
    """Monotonic seconds."""

    @property
    def failed(self) -> bool:
        """Whether the file, or one of its DAGs, could not be used."""
        return bool(self.result.errors)


class ParseMemory:
    """The newest result of every DAG file of one bundle name."""

    def __init__(self, *, refresh_interval: float) -> None:
        """`refresh_interval`: seconds after which files are parsed again that failed or asked for Variables."""
        self._refresh_interval = refresh_interval
        self._known: dict[str, KnownFile] = {}

    @property
    def known(self) -> dict[str, KnownFile]:
        """Path → what is known."""
        return self._known

    def plan(self, index: SnapshotIndex, candidates: Sequence[str]) -> list[str]:
        """Which of `candidates` to parse for a new snapshot: the unknown first, then the changed, then the failed."""
        self._known = {path: self._known[path] for path in candidates if path in self._known}
        unknown: list[str] = []
        changed: list[str] = []
        failed: list[str] = []
        for path in candidates:
            known = self._known.get(path)
            if known is None:
                unknown.append(path)
            elif index.fingerprint(known.result.touched or (path,)) != known.fingerprint:
                (failed if known.failed else changed).append(path)
            elif known.failed:
                # Its import may have ended before it touched what it needs.
                failed.append(path)
        return unknown + changed + failed

    def due(self, now: float) -> list[str]:
        """Files to parse again although nothing changed, at monotonic time `now`."""
        return [
            path
            for path, known in self._known.items()
            if (known.failed or known.result.asked) and now - known.parsed_at >= self._refresh_interval
        ]

    def record(self, index: SnapshotIndex, result: ParsedFile, now: float) -> None:
        """Remember the result of parsing a file of the snapshot `index`."""
        fingerprint = index.fingerprint(result.touched or (result.path,))
        self._known[result.path] = KnownFile(result=result, fingerprint=fingerprint, parsed_at=now)
