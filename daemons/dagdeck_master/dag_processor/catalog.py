"""All files' results together: which DAGs there are, which file owns each, and what is wrong with which file.

Decides who owns a dag_id that two files define, and whether a DAG's code may have changed. Does not store anything
(`publisher`). Pure. Called by `processor`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dagdeck_io.bundles.walk import ScanProblem
from dagdeck_master.dag_processor.incremental import ParseMemory, SnapshotIndex
from dagdeck_master.dag_processor.protocol import ParsedDag, ParseError


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogDag:
    """One DAG to be published."""

    dag_id: str
    path: str
    spec: bytes
    code: str
    """Fingerprint of all that its code may read: while it is the same, so is running it from an older bundle."""
    parse_duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileError:
    """Why a file, or some of its DAGs, cannot be used."""

    path: str
    message: str
    line: int | None = None
    stack_trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateDag:
    """A dag_id that several files define; `path` is the one that counts."""

    dag_id: str
    path: str
    others: tuple[str, ...]

    @property
    def message(self) -> str:
        """For people, naming all files."""
        return (
            f"the dag_id {self.dag_id!r} is defined in {self.path} and again in {', '.join(self.others)}; "
            f"the one in {self.path} counts. Rename one of them"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What one snapshot of a DAG folder amounts to."""

    dags: tuple[CatalogDag, ...]
    errors: tuple[FileError, ...]
    duplicates: tuple[DuplicateDag, ...]
    kept_files: frozenset[str]
    """Files with errors: DAGs that they defined before and do not define now keep their last good version."""


def build_catalog(
    memory: ParseMemory,
    index: SnapshotIndex,
    dag_files: Collection[str],
    *,
    owners: Mapping[str, str],
    problems: Collection[ScanProblem] = (),
    pending: Collection[str] = (),
) -> Catalog:
    """The catalog of all known results, without those of files that are still `pending`.

    `dag_files` are all that are parsed; `owners` says which file owned a dag_id so far.
    """
    known = {path: file for path, file in sorted(memory.known.items()) if path not in pending}
    definitions: dict[str, list[tuple[str, ParsedDag]]] = {}
    for path, file in known.items():
        for dag in file.result.dags:
            definitions.setdefault(dag.dag_id, []).append((path, dag))
    parsed = frozenset(dag_files)
    # A task may read any file while it runs, so what is no DAG file counts for every DAG.
    shared = index.fingerprint(index.files.keys() - parsed)
    dags, duplicates = [], []
    for dag_id, found in sorted(definitions.items()):
        path, dag = _owner(dag_id, found, owners)
        others = tuple(sorted({other for other, _ in found if other != path}))
        if others:
            duplicates.append(DuplicateDag(dag_id=dag_id, path=path, others=others))
        own = index.fingerprint(parsed.intersection((path, *known[path].result.touched)))
        code = hashlib.sha256(f"{own}\n{shared}".encode()).hexdigest()
        dags.append(
            CatalogDag(dag_id=dag_id, path=path, spec=dag.spec, code=code, parse_duration=known[path].result.duration)
        )
    errors = [FileError(path=problem.path, message=problem.message) for problem in problems]
    errors += [_file_error(path, file.result.errors) for path, file in known.items() if file.failed]
    errors += [
        FileError(path=other, message=duplicate.message) for duplicate in duplicates for other in duplicate.others
    ]
    return Catalog(
        dags=tuple(dags),
        errors=_one_per_file(errors),
        duplicates=tuple(duplicates),
        kept_files=frozenset(path for path, file in known.items() if file.failed),
    )


def _owner(dag_id: str, found: list[tuple[str, ParsedDag]], owners: Mapping[str, str]) -> tuple[str, ParsedDag]:
    """The definition that counts: the file that had it before, else the first by path."""
    before = owners.get(dag_id)
    for path, dag in found:
        if path == before:
            return path, dag
    return found[0]


def _file_error(path: str, errors: tuple[ParseError, ...]) -> FileError:
    first = errors[0]
    prefix = f"DAG {first.dag_id}: " if first.dag_id and first.dag_id not in first.message else ""
    if len(errors) == 1:
        return FileError(path=path, message=prefix + first.message, line=first.line, stack_trace=first.stack_trace)
    return FileError(
        path=path,
        message="\n".join(error.message for error in errors),
        line=first.line,
        stack_trace="\n\n".join(error.stack_trace for error in errors if error.stack_trace),
    )


def _one_per_file(errors: list[FileError]) -> tuple[FileError, ...]:
    merged: dict[str, FileError] = {}
    for error in errors:
        before = merged.get(error.path)
        if before is not None:
            error = FileError(
                path=error.path,
                message=f"{before.message}\n{error.message}",
                line=before.line or error.line,
                stack_trace=before.stack_trace or error.stack_trace,
            )
        merged[error.path] = error
    return tuple(merged[path] for path in sorted(merged))
