"""The examples in docs/authoring/ load, run and say what is true; the names in their tables exist."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

import dagdeck
from dagdeck.collect import load_file
from dagdeck.operators import email, hitl
from dagdeck_core.states import DagRunState

FOLDER = Path(__file__).parents[2] / "docs" / "authoring"
PAGES = sorted(FOLDER.glob("*.md"))
EXAMPLES = [
    pytest.param(text, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, text in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.M))
]


@pytest.fixture(autouse=True)
def _same_environment_afterwards() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(text)
    loaded = load_file(path, tmp_path)
    assert [failure.message for failure in loaded.failures] == []
    for dag in loaded.dags:
        run = dag.test()
        assert (run.state, set(run.states.values()) - {"skipped"}) == (DagRunState.SUCCESS, {"success"})
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_classes_exist(page: Path) -> None:
    names = set(re.findall(r"`@?([A-Z]\w+(?:Operator|Sensor|SensorAsync|Marker|Hook|Path))`", page.read_text()))
    homes = (dagdeck, hitl, email)
    assert [name for name in sorted(names) if not any(hasattr(home, name) for home in homes)] == []
