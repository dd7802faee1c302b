"""Assets at run time, through `dag.test()`: outlet and inlet events, aliases, Metadata, state stores, @asset."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dagdeck import DAG, NEVER_EXPIRE, Asset, AssetAlias, BaseOperator, Metadata, asset, get_current_context, task
from dagdeck.assets import AssetUniqueKey
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck.exceptions import AirflowInactiveAssetInInletOrOutletException, DownstreamTasksSkipped
from dagdeck_task.in_process import FinishedRun
from dagdeck_task.in_process_assets import AssetMemory

RAW = Asset(name="raw", uri="s3://bucket/raw", extra={"owner": "me"})
CLEAN = Asset(name="clean", uri="s3://bucket/clean")
ANY = AssetAlias("any")


def events(run: FinishedRun) -> list[tuple[Any, ...]]:
    return [
        (e["asset"]["name"], e["asset"]["uri"], e["extra"], e["partition_key"], e["source_task_id"])
        for e in run.memory.assets.events
    ]


def run_of(*functions: Any) -> FinishedRun:
    with DAG("d", schedule=None) as dag:
        made = [function() for function in functions]
        for first, second in itertools.pairwise(made):
            first >> second
    run: FinishedRun = dag.test()
    return run


def test_an_outlet_emits_one_event_or_what_was_added() -> None:
    @task(outlets=[RAW, Asset.ref(name="clean")])
    def plain() -> None:
        pass

    @task(outlets=[CLEAN])
    def with_extra(outlet_events: Any) -> None:
        outlet_events[CLEAN].extra = {"rows": 3}
        outlet_events[RAW].extra = {"not": "an outlet"}

    @task(outlets=[CLEAN])
    def parts(outlet_events: Any) -> None:
        outlet_events[Asset.ref(name="clean")].add_partitions(["us", "eu", "us"])

    run = run_of(plain, with_extra, parts)
    assert events(run) == [
        ("raw", "s3://bucket/raw", {}, None, "plain"),
        ("clean", "s3://bucket/clean", {}, None, "plain"),
        ("clean", "s3://bucket/clean", {"rows": 3}, None, "with_extra"),
        ("clean", "s3://bucket/clean", {}, "us", "parts"),
        ("clean", "s3://bucket/clean", {}, "eu", "parts"),
    ]


def test_metadata_and_aliases() -> None:
    @task(outlets=[RAW])
    def yields() -> Generator[Any, None, str]:
        yield Metadata(RAW, {"a": 1})
        yield Metadata(RAW, {"b": 2})
        yield "ignored"
        return "value"

    @task(outlets=[ANY, AssetAlias("other")])
    def through_alias(*, outlet_events: Any) -> Iterator[Metadata]:
        outlet_events[AssetAlias("other")].add(Asset("s3://x/y"), extra={"n": 1})
        yield Metadata(Asset("s3://x/y"), extra={"n": 1}, alias=ANY)

    class Yielding(BaseOperator):
        def execute(self, context: Any) -> Iterator[Any]:
            yield Metadata(CLEAN, {"c": 3})

    run = run_of(yields, through_alias, lambda: Yielding(task_id="own", outlets=CLEAN))
    assert run.xcom("yields") == "value"
    assert events(run) == [
        ("raw", "s3://bucket/raw", {"a": 1, "b": 2}, None, "yields"),
        ("s3://x/y", "s3://x/y", {"n": 1}, None, "through_alias"),
        ("clean", "s3://bucket/clean", {"c": 3}, None, "own"),
    ]
    assert run.memory.assets.events[1]["source_aliases"] == ["any", "other"]


def test_a_task_with_an_asset_that_is_not_active_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def answer(memory: Any, source: Any) -> Any:
        def inactive(question: dict[str, Any]) -> list[list[str]]:
            asked.append(question["keys"])
            return [["clean", "s3://bucket/clean"]]

        return {**real(memory, source), "assets_inactive": inactive}

    real = AssetMemory.answers
    monkeypatch.setattr(AssetMemory, "answers", answer)

    @task(inlets=[CLEAN, ANY], outlets=[RAW, Asset.ref(name="x")], retries=3, retry_delay=timedelta())
    def work() -> None:
        raise AssertionError("it must not begin")

    run = run_of(work)
    assert (run.state, run.states["work"]) == ("failed", "failed")
    assert asked == [[["clean", "s3://bucket/clean"], ["raw", "s3://bucket/raw"]]], "it is not tried again"
    assert events(run) == []

    @task(outlets=[ANY], inlets=[Asset.ref(name="x")])
    def without() -> None:
        pass

    assert run_of(without).state == "success"
    assert len(asked) == 1, "what aliases and references stand for is looked up when it is used"


def test_the_exception_of_inactive_assets_names_them() -> None:
    error = AirflowInactiveAssetInInletOrOutletException([AssetUniqueKey.from_asset(RAW)])
    assert "inlets or outlets: Asset(name='raw', uri='s3://bucket/raw')" in str(error)
    assert error.inactive_asset_keys == [AssetUniqueKey(name="raw", uri="s3://bucket/raw")]


def test_events_are_found_by_text_as_in_airflow_2() -> None:
    @task(outlets=[RAW, ANY])
    def emit(outlet_events: Any) -> None:
        outlet_events["any"].add(CLEAN, {"n": 1})
        outlet_events["s3://bucket/raw/"].extra = {"by": "uri"}

    @task(outlets=[CLEAN])
    def of_no_outlet(outlet_events: Any) -> None:
        outlet_events["s3://bucket/raw"].extra = {"not": "an outlet"}

    @task(inlets=[RAW, ANY])
    def read(inlet_events: Any) -> list[Any]:
        assert "raw" in inlet_events
        assert "s3://nobody" not in inlet_events
        assert inlet_events["s3://bucket/raw"][0].dataset == RAW
        return [inlet_events[name][0].extra for name in ("s3://bucket/raw", "any")]

    with pytest.warns(RemovedInAirflow3Warning, match="events by the text"):
        run = run_of(emit, of_no_outlet, read)
    assert run.xcom("read") == [{"by": "uri"}, {"n": 1}]
    assert events(run)[-1] == ("clean", "s3://bucket/clean", {}, None, "of_no_outlet")


def test_inlet_events_are_read_when_looked_at() -> None:
    seen: dict[str, Any] = {}

    @task(outlets=[RAW, ANY])
    def emit(outlet_events: Any) -> str:
        outlet_events[RAW].extra["n"] = 1
        outlet_events[ANY].add(Asset("s3://other"), {"k": "v"})
        return "result"

    @task(inlets=[RAW, Asset.ref(uri="s3://other"), ANY])
    def read(**context: Any) -> None:
        found = context["inlet_events"]
        event = found[RAW][-1]
        seen["own"] = (event.extra, event.source_task_id, event.asset.extra, event.source_dag_run.run_id)
        seen["pulled"] = event.source_task_instance.xcom_pull()
        seen["by"] = [e.extra for e in (found[0][0], found[1][0], found[ANY][0], found.for_asset(name="raw")[0])]
        seen["narrowed"] = len(found[RAW].before("2000-01-01").limit(1))
        seen["triggering"] = dict(context["triggering_asset_events"])
        with pytest.raises(KeyError):
            found[CLEAN]

    run = run_of(emit, read)
    assert run.states == {"emit": "success", "read": "success"}
    assert seen == {
        "own": ({"n": 1}, "emit", {"owner": "me"}, run.run_id),
        "pulled": "result",
        "by": [{"n": 1}, {"k": "v"}, {"k": "v"}, {"n": 1}],
        "narrowed": 0,
        "triggering": {},
    }


@pytest.mark.parametrize(
    "extra",
    [{"x": datetime(2026, 1, 1, tzinfo=UTC)}, {"x": "y" * 70_000}],
    ids=["no JSON", "too large"],
)
def test_a_wrong_extra_fails_the_task(extra: dict[str, Any]) -> None:
    @task(outlets=[RAW])
    def wrong(outlet_events: Any) -> None:
        outlet_events[RAW].extra = extra

    run = run_of(wrong)
    assert (run.states, events(run)) == ({"wrong": "failed"}, [])
    assert "extra of the event of asset 'raw'" in str(run.tasks["wrong"].error)


def test_only_successes_emit() -> None:
    @task(outlets=[RAW])
    def fails() -> None:
        raise ValueError

    @task(outlets=[RAW], trigger_rule="all_done")
    def skips() -> None:
        raise DownstreamTasksSkipped(tasks=["fails"])

    run = run_of(fails, skips)
    assert events(run) == [("raw", "s3://bucket/raw", {}, None, "skips")]


def test_state_stores() -> None:
    seen: list[Any] = []

    @task(inlets=[RAW], outlets=[CLEAN], retries=1, retry_delay=timedelta(0))
    def keeps(task_state_store: Any, asset_state_store: Any, ti: Any) -> None:
        seen.append(task_state_store.get("job"))
        task_state_store.set("job", ["j", 1], retention=NEVER_EXPIRE)
        asset_state_store[RAW].set("mark", ti.try_number)
        if ti.try_number == 1:
            raise RuntimeError
        task_state_store.delete("job")
        seen.append(task_state_store.get("job", "gone"))
        with pytest.raises(ValueError, match="2 assets"):
            asset_state_store.get("mark")
        with pytest.raises(KeyError):
            asset_state_store[Asset("other")]
        with pytest.raises(ValueError, match="None"):
            task_state_store.set("x", None)

    @task(inlets=[Asset.ref(name="raw")])
    async def reads(asset_state_store: Any) -> None:
        seen.append(await asset_state_store.aget("mark"))
        await asset_state_store.aset("mark", 3)
        await asyncio.sleep(0)
        seen.append(asset_state_store.get("mark"))
        asset_state_store.clear()
        seen.append(asset_state_store.get("mark", 0))

    run = run_of(keeps, reads)
    assert (run.states, seen) == ({"keeps": "success", "reads": "success"}, [None, ["j", 1], "gone", 2, 3, 0])


@asset(schedule=None, uri="s3://bucket/made", extra={"x": 1}, tags=["t"])
def made(self: Any, context: Any, raw: Any, outlet_events: Any, default: int = 5) -> str:
    outlet_events[self].extra["from"] = raw.name
    return f"{self.uri} {context['ti'].task_id} {default}"


@asset.multi(schedule=[made], outlets=[RAW, ANY])
def several() -> None:
    get_current_context()["outlet_events"][ANY].add(CLEAN)


@asset(schedule=made, name="taskflow")
@task(retries=2)
def a_task() -> None:
    pass


def test_a_function_becomes_an_asset() -> None:
    (operator,) = made.dag.tasks
    dag = operator.dag
    assert (dag.dag_id, sorted(dag.tags), operator.task_id, operator.inlets) == (
        "made",
        ["t"],
        "made",
        [Asset.ref(name="raw")],
    )
    run = dag.test()
    assert run.xcom("made") == "s3://bucket/made made 5"
    assert events(run) == [("made", "s3://bucket/made", {"from": "raw"}, None, "made")]
