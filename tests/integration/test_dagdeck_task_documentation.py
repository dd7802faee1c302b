"""The examples in docs/authoring.md load, serialise and run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import dagdeck
from dagdeck.collect import load_file
from dagdeck.context import KNOWN_CONTEXT_KEYS
from dagdeck_core.states import DagRunState

TEXT = (Path(__file__).parents[2] / "docs" / "authoring.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int, tmp_path: Path) -> None:
    path = tmp_path / f"example_{number}.py"
    path.write_text(EXAMPLES[number])
    loaded = load_file(path, tmp_path)
    assert [failure.message for failure in loaded.failures] == []
    assert len(loaded.dags) == 1
    run = loaded.dags[0].test()
    assert (run.state, set(run.states.values()) - {"skipped"}) == (DagRunState.SUCCESS, {"success"})
    runpy.run_path(str(path), run_name="__main__")


def test_names_in_its_tables_exist() -> None:
    section = TEXT.partition("## What there is")[2].partition("## Arguments")[0]
    names = {name for name in re.findall(r"`@?(\w+)`", section) if name not in ("poke", "reschedule", "timedelta")}
    names.discard("FeatureNotAvailable")
    assert names
    assert [name for name in sorted(names) if not hasattr(dagdeck, name)] == []
    table = TEXT.partition("## Templates")[2].partition("Filters:")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    keys = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    assert sorted(keys - KNOWN_CONTEXT_KEYS) == []
