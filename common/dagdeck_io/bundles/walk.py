"""One walk over a DAG folder: which files belong to the bundle, with their stat signatures.

Decides what is left out (hidden names, caches, ignored paths, what is no regular file) and the symlink
policy: links are followed as long as they stay inside the root. Reads ignore files, no other contents.
Does not hash (`scan`). Called by `scan` each interval, so an unchanged folder must cost next to nothing.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.bundles.ignore import (
    BUNDLE_IGNORE_FILE,
    PARSE_IGNORE_FILE,
    IgnoreRule,
    IgnoreSyntax,
    is_ignored,
    parse_ignore_file,
)
from dagdeck_io.bundles.manifest import BundleLimits, check_path, check_size

Signature = tuple[int, int, int, int, int]
"""(mtime_ns, ctime_ns, size, inode, mode): when it stays the same, so do the contents."""

_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "node_modules"})
_LEFT_OUT_ENDINGS = (".pyc", ".pyo", "~")
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanProblem:
    """A path that had to be left out, and why, for the list of import errors."""

    path: str
    message: str


@dataclass(slots=True, kw_only=True)
class FolderListing:
    """What one walk found. Two listings are equal when nothing changed between their walks."""

    files: dict[str, Signature] = field(default_factory=dict)
    not_parsed: set[str] = field(default_factory=set)
    """Files of the bundle that an .airflowignore keeps from being parsed for DAGs."""
    problems: list[ScanProblem] = field(default_factory=list)
    size: int = 0
    """Bytes of all files."""


class _Decision(IntEnum):
    """What the ignore rules say about one path."""

    DROP = 0
    KEEP = 1
    KEEP_UNPARSED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    bundle: tuple[IgnoreRule, ...] = ()
    parse: tuple[IgnoreRule, ...] = ()

    def decide(self, path: str, is_folder: bool) -> _Decision:
        if is_ignored(self.bundle, path, is_folder):
            return _Decision.DROP
        return _Decision.KEEP_UNPARSED if is_ignored(self.parse, path, is_folder) else _Decision.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    path: str
    """Relative to the root: "" or ending with "/"."""
    real: str
    """Absolute path to list; for a folder reached by a link, the link's target."""
    rules: _Rules
    """Of the folders above; the folder's own ignore files come on top."""
    unparsed: bool = False
    """True when an .airflowignore covers the whole folder."""
    ancestors: tuple[str, ...] = ()
    """Real paths of the folder and those above, so that links cannot lead in circles."""


class FolderWalker:
    """Walks one root again and again, remembering what its ignore files said."""

    def __init__(self, *, root: Path, limits: BundleLimits, syntax: IgnoreSyntax) -> None:
        self._root = root
        self._limits = limits
        self._syntax = syntax
        self._real_root = ""
        self._rules: dict[str, tuple[Signature, tuple[IgnoreRule, ...]]] = {}
        # Matching costs more than all the rest of a walk, so its answers are kept until an ignore file changes.
        self._decisions: dict[str, _Decision] = {}
        self._sound: dict[str, Signature] = {}

    def walk(self) -> FolderListing:
        """List the folder now.

        Raises UserError when the root is no folder or a limit is exceeded, EnvironmentFault when the root
        cannot be read.
        """
        listing = FolderListing()
        self._real_root = os.path.realpath(self._root)
        pending = [_Folder(path="", real=self._real_root, rules=_Rules(), ancestors=(self._real_root,))]
        while pending and len(listing.files) <= self._limits.max_files:
            folder = pending.pop()
            entries = self._entries(folder, listing)
            rules = self._rules_in(folder, entries, listing)
            for entry in entries:
                child = self._visit(entry, folder, rules, listing)
                if child is not None:
                    pending.append(child)
        check_size(str(self._root), len(listing.files), listing.size, self._limits)
        listing.problems.sort(key=lambda problem: problem.path)
        self._sound = listing.files
        return listing

    def _entries(self, folder: _Folder, listing: FolderListing) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder.real) as found:
                return list(found)
        except OSError as error:
            if not folder.path:
                raise self._unreadable_root(error) from error
            # A folder that vanished since its parent was listed shows in the next walk.
            if not isinstance(error, FileNotFoundError):
                _add_problem(listing, folder.path, f"the folder cannot be read: {error.strerror}")
            return []

    def _unreadable_root(self, error: OSError) -> UserError | EnvironmentFault:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            missing = isinstance(error, FileNotFoundError)
            return UserError(
                "the DAG folder does not exist" if missing else "the DAG folder is not a folder",
                field="paths.dags_folder",
                value=str(self._root),
                remedy="Create it or correct the setting",
            )
        return EnvironmentFault(
            f"the DAG folder {self._root} cannot be read: {error.strerror}", remedy="Give this user read permission"
        )

    def _rules_in(self, folder: _Folder, entries: list[os.DirEntry[str]], listing: FolderListing) -> _Rules:
        """The rules that hold inside `folder`: those from above and those of its own ignore files."""
        found = {entry.name: entry for entry in entries if entry.name in (BUNDLE_IGNORE_FILE, PARSE_IGNORE_FILE)}
        own = [
            self._own_rules(folder, name, found.get(name), listing) for name in (BUNDLE_IGNORE_FILE, PARSE_IGNORE_FILE)
        ]
        if not any(own):
            return folder.rules
        return _Rules(bundle=folder.rules.bundle + own[0], parse=folder.rules.parse + own[1])

    def _own_rules(
        self, folder: _Folder, name: str, entry: os.DirEntry[str] | None, listing: FolderListing
    ) -> tuple[IgnoreRule, ...]:
        path = folder.path + name
        known = self._rules.get(path)
        if entry is None:
            if known is not None:
                del self._rules[path]
                self._decisions.clear()
            return ()
        try:
            signature = signature_of(entry.stat())
            if known is not None and known[0] == signature:
                return known[1]
            text = Path(entry.path).read_text("utf-8", errors="replace")
            rules = parse_ignore_file(text, file=path, base=folder.path, syntax=self._syntax)
        except OSError as error:
            _add_problem(listing, path, f"cannot be read: {error.strerror}")
            return ()
        except UserError as error:
            # Without its rules nothing of the folder is left out: too much is safer than DAGs that vanish.
            _add_problem(listing, path, str(error))
            return ()
        self._rules[path] = (signature, rules)
        self._decisions.clear()
        return rules

    def _visit(self, entry: os.DirEntry[str], folder: _Folder, rules: _Rules, listing: FolderListing) -> _Folder | None:
        name = entry.name
        if name[0] == ".":
            return None
        path = folder.path + name
        try:
            if entry.is_symlink() and not self._link_is_inside(entry, path, listing):
                return None
            if entry.is_dir():
                return self._enter(entry, path, folder, rules, listing)
            facts = entry.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            _add_problem(listing, path, f"cannot be read: {error.strerror}")
            return None
        if stat.S_ISREG(facts.st_mode) and not name.endswith(_LEFT_OUT_ENDINGS):
            self._add_file(path, facts, folder, rules, listing)
        return None

    def _add_file(
        self, path: str, facts: os.stat_result, folder: _Folder, rules: _Rules, listing: FolderListing
    ) -> None:
        decision = self._decide(path, False, rules)
        if decision is _Decision.DROP or not self._is_sound(path, listing):
            return
        if facts.st_size > self._limits.max_file_bytes:
            allowed = f"dag_processor.max_file_bytes = {self._limits.max_file_bytes:,}"
            _add_problem(listing, path, f"the file's {facts.st_size:,} bytes are more than {allowed} allows")
            return
        listing.files[path] = signature_of(facts)
        listing.size += facts.st_size
        if folder.unparsed or decision is _Decision.KEEP_UNPARSED:
            listing.not_parsed.add(path)

    def _is_sound(self, path: str, listing: FolderListing) -> bool:
        if path in self._sound:
            return True
        if len(path) > self._limits.max_path:
            _add_problem(listing, path, f"the path is longer than {self._limits.max_path} characters")
            return False
        try:
            check_path(path)
        except UserError as error:
            _add_problem(listing, path, str(error))
            return False
        return True

    def _enter(
        self, entry: os.DirEntry[str], path: str, folder: _Folder, rules: _Rules, listing: FolderListing
    ) -> _Folder | None:
        if entry.name in _LEFT_OUT_FOLDERS:
            return None
        decision = self._decide(path, True, rules)
        if decision is _Decision.DROP:
            return None
        real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        if real in folder.ancestors:
            _add_problem(listing, path, "the link leads back to a folder above it")
            return None
        if len(folder.ancestors) > _MAX_DEPTH:
            _add_problem(listing, path, f"folders are nested deeper than {_MAX_DEPTH} levels")
            return None
        return _Folder(
            path=path + "/",
            real=real,
            rules=rules,
            unparsed=folder.unparsed or decision is _Decision.KEEP_UNPARSED,
            ancestors=(*folder.ancestors, real),
        )

    def _decide(self, path: str, is_folder: bool, rules: _Rules) -> _Decision:
        if not rules.bundle and not rules.parse:
            return _Decision.KEEP
        decision = self._decisions.get(path)
        if decision is None:
            decision = self._decisions[path] = rules.decide(path, is_folder)
        return decision

    def _link_is_inside(self, entry: os.DirEntry[str], path: str, listing: FolderListing) -> bool:
        target = os.path.realpath(entry.path)
        if not os.path.lexists(target):
            _add_problem(listing, path, f"the link points to {target}, which does not exist")
            return False
        if target == self._real_root or target.startswith(self._real_root + os.sep):
            return True
        _add_problem(
            listing, path, f"the link points to {target}, outside the DAG folder; copy the file into the DAG folder"
        )
        return False


def signature_of(facts: os.stat_result) -> Signature:
    """The part of a stat answer that changes whenever the contents or the mode do."""
    return (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino, facts.st_mode)


def _add_problem(listing: FolderListing, path: str, message: str) -> None:
    # A name that is not valid UTF-8 could not be stored as it is.
    shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
    listing.problems.append(ScanProblem(path=shown, message=message))
