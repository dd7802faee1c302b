"""What is found out about DAG files, as data.

Decides the fields of the JSON report. Made by `files`, printed by `report`.
"""

from __future__ import annotations

import msgspec


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as in Airflow 2."""

    what: str
    remedy: str = ""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a file uses: a path, an argument, a name of the context."""

    line: int
    name: str
    advice: str = ""


class DagFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One DAG."""

    dag_id: str
    schedule: str
    catchup: bool
    next_run: str | None = None
    """When its next run starts by itself."""
    next_ds: str | None = None
    """The `ds` of that run."""
    changes: tuple[Change, ...] = ()


class FileFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One DAG file."""

    file: str
    written_for: str
    """"Airflow 2", "Airflow 3" or "DagDeck", judging by what it imports."""
    error: str | None = None
    """Why it does not load."""
    line: int | None = None
    unsupported: tuple[Use, ...] = ()
    """What it imports of Airflow that DagDeck has not."""
    outdated: tuple[Use, ...] = ()
    """What it uses of earlier Airflow versions that works, with what to write instead."""
    dags: tuple[DagFinding, ...] = ()

    @property
    def works(self) -> bool:
        """Whether the file loads and everything that it imports is there."""
        return self.error is None and not self.unsupported

    @property
    def changes(self) -> bool:
        """Whether dates or runs of a DAG differ from Airflow 2."""
        return any(dag.changes for dag in self.dags)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a folder."""

    folder: str
    files: tuple[FileFinding, ...]

    def exit_code(self, *, strict: bool) -> int:
        """0 when every file works (and, if strict, nothing changes), else 1."""
        bad = any(not found.works or (strict and found.changes) for found in self.files)
        return int(bad)
