"""Makes the sample DAGs importable, as the DAG processor does: their folder comes first on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

SAMPLE_DAGS = Path(str(files("dagdeck_assets"))) / "sample_dags"


@pytest.fixture(autouse=True, scope="package")
def _sample_dags_on_the_path() -> Iterator[None]:
    sys.path.insert(0, str(SAMPLE_DAGS))
    yield
    sys.path.remove(str(SAMPLE_DAGS))
