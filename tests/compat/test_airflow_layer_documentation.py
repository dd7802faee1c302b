"""docs/coming_from_airflow.md: its examples run, and its table of old arguments is the declared one."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from dagdeck.collect import load_file
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.old_keywords import DAG_KEYWORDS, OPERATOR_KEYWORDS
from dagdeck_core.states import DagRunState

TEXT = (Path(__file__).parents[2] / "docs" / "coming_from_airflow.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int, tmp_path: Path) -> None:
    path = tmp_path / f"example_{number}.py"
    path.write_text(EXAMPLES[number])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemovedInAirflow3Warning)
        loaded = load_file(path, tmp_path)
        assert [failure.message for failure in loaded.failures] == []
        run = loaded.dags[0].test()
    assert run.state is DagRunState.SUCCESS


def test_the_table_of_old_arguments_is_complete() -> None:
    table = TEXT.partition("## Old arguments")[2].partition("## What is different")[0]
    told = {
        name for row in re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    declared = {*DAG_KEYWORDS, *(name for names in OPERATOR_KEYWORDS.values() for name in names)}
    # What the cluster must have for it is told there too.
    assert told - {"default_var", "run_as_user"} == declared
