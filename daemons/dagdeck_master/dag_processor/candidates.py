"""Which files of a bundle are parsed for DAGs.

Decides by name and content: a Python file that mentions dags and either this package or Airflow, in any letter
case. Everything else is carried along for imports and for tasks. Called by `processor`.
"""

from __future__ import annotations

from pathlib import Path

from dagdeck_io.bundles.scan import FolderSnapshot


def looks_like_a_dag_file(content: bytes) -> bool:
    """Whether importing a file with this content may define a DAG."""
    lowered = content.lower()
    return b"dagdeck" in lowered or (b"dag" in lowered and b"airflow" in lowered)


class CandidateFilter:
    """Finds DAG files, reading each content once."""

    def __init__(self) -> None:
        self._verdicts: dict[str, bool] = {}

    def dag_files(self, snapshot: FolderSnapshot, unpacked: Path) -> list[str]:
        """Paths of `snapshot` to parse, sorted; `unpacked` is the folder that holds it."""
        verdicts: dict[str, bool] = {}
        found = []
        for file in snapshot.manifest.files:
            if not file.path.endswith(".py") or file.path in snapshot.not_parsed:
                continue
            verdict = self._verdicts.get(file.sha256)
            if verdict is None:
                verdict = looks_like_a_dag_file((unpacked / file.path).read_bytes())
            verdicts[file.sha256] = verdict
            if verdict:
                found.append(file.path)
        self._verdicts = verdicts
        return found
