"""The sample DAGs, copied from the installed package into a DAG folder.

Decides what may be overwritten: nothing. Called by `standalone`.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault


def is_empty(folder: Path) -> bool:
    """Whether `folder` holds nothing that could be a DAG file or belong to one."""
    return not folder.is_dir() or not any(not entry.name.startswith(".") for entry in folder.iterdir())


def copy_sample_dags(folder: Path) -> int:
    """Copy the samples with their data into `folder`; how many files were new. Raises EnvironmentFault."""
    copied = 0
    try:
        with as_file(files("dagdeck_assets") / "sample_dags") as source:
            for path in sorted(source.rglob("*")):
                relative = path.relative_to(source)
                target = folder / relative
                if path.is_file() and "__pycache__" not in relative.parts and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
                    copied += 1
    except OSError as error:
        raise EnvironmentFault(
            f"the sample DAGs cannot be copied into {folder}: {error.strerror}", transient=False
        ) from error
    return copied
