"""Partition mappers, windows and wait policies of one's own, asked in a runner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import Outcome
from dagdeck_core.work import JudgePartition, KeyToMap, MapKeys
from dagdeck_task import runner_main, task_log
from tests.integration.test_dagdeck_task_execution import Bench

FILE = '''
from datetime import UTC, datetime
from dagdeck import *
from dagdeck.partition_mappers import PartitionMapper, PartitionSatisfaction, WaitPolicy

class Regions(PartitionMapper):
    """`us-west` belongs to `us`; what has no region belongs nowhere."""
    def __init__(self, separator="-"):
        super().__init__()
        self.separator = separator
    def to_downstream(self, key):
        if key == "everywhere":
            return ["us", "eu"]
        if key == "too many":
            return (f"{number:0100}" for number in range(20_000))
        if key == "many":
            return [f"{number:0200}" for number in range(500)]
        if self.separator not in key:
            raise KeyError(key)
        return key.split(self.separator)[0]
    def decode_downstream(self, key):
        return key
    def encode_upstream(self, decoded):
        return decoded
    def to_partition_date(self, key):
        return {"us": datetime(2026, 1, 2, tzinfo=UTC), "naive": datetime(2026, 1, 2)}.get(key)
    def carry_partition_date(self, date):
        return date

class Coasts(Window):
    def to_upstream(self, region):
        return [f"{region}-{side}" for side in ("west", "mid", "east")]

class Most(WaitPolicy):
    def is_satisfied(self, matched, expected):
        return 2 * matched > expected

class Never(Most):
    def is_unreachable(self, expected):
        return True

class West(WaitPolicy):
    def is_satisfied_by_keys(self, *, matched, expected):
        return PartitionSatisfaction(any(key.endswith("west") for key in matched & expected), False, None)

def rollup(policy=None):
    return RollupMapper(upstream_mapper=Regions(), window=Coasts(), wait_policy=policy)

A = [Asset(name) for name in ("plain", "all", "most", "never", "west")]
MAPPERS = [Regions(), rollup(), rollup(Most()), rollup(Never()), rollup(West())]
with DAG("d", schedule=PartitionedAssetTimetable(
    assets=AssetAll(*A), partition_mapper_config=dict(zip(A, MAPPERS)), default_partition_mapper=Regions("_")
)):
    EmptyOperator(task_id="t")
'''
DATE = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A DAG file with such mappers."""
    made = Bench(tmp_path)
    (made.root / "dags.py").write_text(FILE)
    yield made
    task_log.remove()


def ask(bench: Bench, order: Any) -> Outcome:
    """What the runner answers."""
    return runner_main.execute(bench.message(task_id="", kind="evaluate", order=order), bench.channel)


def mapped(bench: Bench, asset: str, *keys: str, date: datetime | None = None) -> Any:
    """What the asset's mapper says of events with these keys."""
    events = tuple(
        KeyToMap(event_id=number, asset_id=1, name=asset, uri=asset, key=key, date=date)
        for number, key in enumerate(keys)
    )
    outcome = ask(bench, MapKeys(rollup="x", events=events))
    assert (outcome.result, outcome.error) == (TaskInstanceState.SUCCESS, None)
    return outcome.answer


def test_keys_and_their_dates(bench: Bench) -> None:
    us = {"key": "us", "date": "2026-01-02T00:00:00+00:00", "carried": "2026-03-01T00:00:00+00:00"}
    eu = {**us, "key": "eu", "date": None}
    assert mapped(bench, "plain", "us-west", "everywhere", date=DATE) == [{"keys": [us]}, {"keys": [us, eu]}]
    (other,) = mapped(bench, "another", "eu_north")
    assert other == {"keys": [{"key": "eu", "date": None, "carried": None}]}, "the default mapper"


def test_what_raises_is_the_answer_for_that_event_alone(bench: Bench) -> None:
    bad, good, naive, many = mapped(bench, "plain", "nowhere", "eu-x", "naive-x", "too many")
    assert bad == {"problem": "KeyError: 'nowhere'"}
    assert good["keys"][0]["key"] == "eu"
    assert "a datetime with a time zone" in naive["problem"]
    assert "gave more than 10000 keys" in many["problem"]


def test_an_answer_ends_before_it_is_too_large(bench: Bench) -> None:
    found = mapped(bench, "plain", "many", "many", "many", "eu-x")
    assert [len(each["keys"]) for each in found] == [500]
    assert len(mapped(bench, "plain", "eu-x", "many", "eu-y")) == 3


@pytest.mark.parametrize(
    ("asset", "facts"),
    [
        ("all", {"expected": 3, "is_expected": True, "needed": 3}),
        ("most", {"expected": 3, "is_expected": True, "needed": 2}),
        ("never", {"expected": 3, "is_expected": True, "needed": None}),
        ("west", {"expected": 3, "is_expected": True, "by_keys": True}),
    ],
)
def test_windows_and_policies(bench: Bench, asset: str, facts: dict[str, Any]) -> None:
    (inside,), (outside,) = (each["keys"] for each in mapped(bench, asset, "us-west", "us-north"))
    assert {name: value for name, value in inside.items() if name in facts} == facts
    assert outside["is_expected"] is False


def test_a_policy_that_looks_at_keys(bench: Bench) -> None:
    order = JudgePartition(partition_id=1, key="us", asset_id=1, name="west", uri="west", arrived=("eu-west", "us-mid"))
    assert ask(bench, order).answer is False
    more = JudgePartition(partition_id=1, key="us", asset_id=1, name="west", uri="west", arrived=("us-mid", "us-west"))
    assert ask(bench, more).answer is True


def test_a_dag_that_has_no_partitions_any_more(bench: Bench) -> None:
    bench.write("EmptyOperator(task_id='t')")
    (said,) = mapped(bench, "plain", "us-west")
    assert "has no partitions by assets any more" in said["problem"]
