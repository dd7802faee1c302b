"""DAG folders for tests: small DAG files with exactly the flaw that a test is about.

Called by the tests of the DAG processor and of the daemons.
"""

from __future__ import annotations

import textwrap
from pathlib import Path


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Write `files` (path → text, dedented) below `root`."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
    return root


def dag_file(dag_id: str, *, before: str = "", tasks: str = 'EmptyOperator(task_id="only")') -> str:
    """A DAG file with one DAG; `before` runs at its top level, first thing after the imports' line."""
    return (
        f"from dagdeck import DAG\nfrom dagdeck.operators.empty import EmptyOperator\n{textwrap.dedent(before)}\n"
        f'with DAG("{dag_id}", schedule=None):\n    {tasks}\n'
    )
