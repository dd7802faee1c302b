"""How expectations are read and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagdeck_core.errors import UserError
from tests.compat.corpus import AIRFLOW_VERSION, HERE, from_folder
from tests.compat.expectations import COMPARABLE, AssetEvents, RunEnd, TaskEnd, differences, read


def end(run_state: str = "success", **states: str) -> RunEnd:
    tasks = tuple(TaskEnd(task_id=task_id, map_index=-1, state=state) for task_id, state in states.items())
    return RunEnd(run_state=run_state, tasks=tasks)


def test_the_examples_have_97_expected_successes() -> None:
    known = read(HERE / f"airflow_{AIRFLOW_VERSION}_expected.json", HERE / f"airflow_{AIRFLOW_VERSION}_starts.json")
    assert sum(each.expectation in COMPARABLE for each in known.dags.values()) == 97
    assert len(known.dags) == 114
    named = {*known.starts.triggers, *known.starts.choices, *known.starts.answers, *known.starts.answered}
    assert named <= set(known.dags)
    for dag_id, choices in known.starts.choices.items():
        expected = known.end_of(dag_id)
        assert expected is not None
        # What Airflow itself ended with is one of the options.
        assert differences(expected, expected, choices) == []


def test_what_differs_is_told() -> None:
    assert differences(end(a="success"), end(a="success")) == []
    assert differences(end(a="success", b="skipped"), end("failed", a="failed", c="success")) == [
        "the run ended failed, not success",
        "a is failed, not success",
        "b is missing, not skipped",
        "c is success, not absent",
    ]


def test_mapped_instances_are_told_apart() -> None:
    expected = RunEnd(run_state="success", tasks=(TaskEnd(task_id="m", map_index=0, state="success"),))
    assert differences(expected, end(m="success")) == [
        "m is success, not absent",
        "m[0] is missing, not success",
    ]


CHOICES = ((("left", "then"), ("right",)),)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ({"left": "success", "then": "success", "right": "skipped"}, 0),
        ({"left": "skipped", "then": "skipped", "right": "success"}, 0),
        ({"left": "success", "then": "skipped", "right": "skipped"}, 1),
        ({"left": "success", "then": "success", "right": "success"}, 1),
        ({"left": "success", "then": "success"}, 2),
    ],
)
def test_exactly_one_option_is_followed(states: dict[str, str], found: int) -> None:
    expected = end(left="skipped", then="skipped", right="success")
    assert len(differences(expected, end(**states), CHOICES)) == found


def test_events_from_outside_have_the_keys_of_their_window() -> None:
    assert AssetEvents(asset="a", hours_of="2026-03-03").partition_keys()[5] == "2026-03-03T05:00:00"
    days = AssetEvents(asset="a", days_of="2026-02").partition_keys()
    assert (days[0], days[-1], len(days)) == ("2026-02-01", "2026-02-28", 28)


def test_a_folder_without_expectations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no expectations"):
        from_folder(tmp_path)
    (tmp_path / "expected.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        from_folder(tmp_path)
