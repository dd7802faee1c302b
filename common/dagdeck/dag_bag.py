"""DagBag: the DAGs of a folder, for tests that authors write about their DAG files.

Decides which files it loads and how errors are shown. Used in authors' tests; the DAG processor does not use it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagdeck.collect import load_file
from dagdeck.configuration import conf
from dagdeck.dags import DAG


class DagBag:
    """Loads every Python file below `dag_folder` (one file, or [core] dags_folder) that mentions a DAG.

    `dags` has them by id, `import_errors` the messages of files that could not be loaded, by path.
    """

    def __init__(
        self,
        dag_folder: str | Path | None = None,
        include_examples: bool = False,
        safe_mode: bool = True,
        collect_dags: bool = True,
        **_: Any,
    ) -> None:
        self.dag_folder = str(dag_folder if dag_folder is not None else conf.get("core", "dags_folder", fallback="."))
        self.dags: dict[str, DAG] = {}
        self.import_errors: dict[str, str] = {}
        if collect_dags:
            self.collect_dags(self.dag_folder, safe_mode=safe_mode)

    @property
    def dag_ids(self) -> list[str]:
        """The ids of the DAGs."""
        return sorted(self.dags)

    def size(self) -> int:
        """How many DAGs there are."""
        return len(self.dags)

    def get_dag(self, dag_id: str, **_: Any) -> DAG | None:
        """One DAG; None when there is none of that id."""
        return self.dags.get(dag_id)

    def collect_dags(self, dag_folder: str | Path, *, safe_mode: bool = True, **_: Any) -> None:
        """Load a folder's files, or one file."""
        place = Path(dag_folder).expanduser().resolve()
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(place).parts)
            if not hidden and (not safe_mode or _mentions_a_dag(path)):
                self._load(path, place.parent if place.is_file() else place)

    def process_file(self, filepath: str | Path, **_: Any) -> list[DAG]:
        """Load one file; its DAGs."""
        path = Path(filepath).expanduser().resolve()
        return self._load(path, path.parent)

    def _load(self, path: Path, root: Path) -> list[DAG]:
        loaded = load_file(path, root, fresh=False)
        self.import_errors.pop(str(path), None)
        for failure in loaded.failures:
            self.import_errors[str(path)] = failure.message
        for dag in loaded.dags:
            self.dags[dag.dag_id] = dag
        return list(loaded.dags)


def _mentions_a_dag(path: Path) -> bool:
    content = path.read_bytes().lower()
    return b"dag" in content and (b"airflow" in content or b"dagdeck" in content)
