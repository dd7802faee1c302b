"""What the DAG processor's store promises, over every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dagdeck_core.ports import BundleManifest
from dagdeck_core.spec import DagSpec
from dagdeck_io.db.processor_store import DagWarning, ImportFailure, PublishedDag, SqlProcessorStore
from tests.contract.store_world import NOW, StoreWorld, task_spec


def published(dag_id: str, *task_ids: str, code: str = "c", fileloc: str = "", **options: object) -> PublishedDag:
    tasks = tuple(task_spec(task_id, owner="ann") for task_id in task_ids or ("a",))
    spec = DagSpec(dag_id=dag_id, fileloc=fileloc or f"{dag_id}.py", tasks=tasks, **options)  # type: ignore[arg-type]
    return PublishedDag(
        spec=spec, code_sha256=code, parse_duration=0.5, timetable_summary="@daily", timetable_periodic=True
    )


def publish(
    store: SqlProcessorStore,
    dags: Sequence[PublishedDag],
    failures: Sequence[ImportFailure] = (),
    version: str = "v1",
    complete: bool = True,
    kept_files: Sequence[str] = (),
    warnings: Sequence[DagWarning] = (),
) -> list[str]:
    return store.publish("dags", version, dags, failures, complete=complete, kept_files=kept_files, warnings=warnings)


def test_new_dag_gets_its_first_version(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    assert publish(store, [published("d", tags=("x", "y"), description="about"), published("e")]) == ["d", "e"]
    (row, _) = stores.rows("dag")
    assert (row["version_number"], row["is_paused"], row["is_stale"], row["owners"], row["description"]) == (
        1,
        True,
        False,
        ["ann"],
        "about",
    )
    assert (row["timetable_summary"], row["timetable_periodic"], row["fileloc"]) == ("@daily", True, "d.py")
    assert abs(row["last_parsed_time"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert [tag["name"] for tag in stores.rows("dag_tag")] == ["x", "y"]
    version = stores.worker.version(row["version_id"])
    assert (version.bundle_name, version.bundle_version, version.spec.tags) == ("dags", "v1", ("x", "y"))
    assert store.owners("dags") == {"d": "d.py", "e": "e.py"}
    assert store.owners("other") == {}


def test_pause_at_creation_is_the_specs_or_the_settings(stores: StoreWorld) -> None:
    store = stores.database.processor_store(paused_at_creation=False)
    publish(store, [published("d"), published("e", is_paused_upon_creation=True)])
    assert {row["dag_id"]: row["is_paused"] for row in stores.rows("dag")} == {"d": False, "e": True}
    publish(store, [published("d", is_paused_upon_creation=True, code="2"), published("e")])
    assert stores.rows("dag", dag_id="d")[0]["is_paused"] is False, "what people chose is kept"


def test_version_changes_with_spec_or_code_only(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d"), published("e"), published("f")])
    before = stores.scheduler.dag_revisions()
    changed = publish(store, [published("d"), published("e", "a", "b"), published("f", code="c2")], version="v2")
    assert changed == ["e", "f"]
    rows = {row["dag_id"]: row for row in stores.rows("dag")}
    assert [rows[name]["version_number"] for name in "def"] == [1, 2, 2]
    assert {row["bundle_version"] for row in rows.values()} == {"v2"}
    assert stores.worker.version(rows["d"]["version_id"]).bundle_version == "v1"
    assert stores.worker.version(rows["e"]["version_id"]).bundle_version == "v2"
    after = stores.scheduler.dag_revisions()
    assert (after["d"], after["e"] > before["e"], after["f"] > before["f"]) == (before["d"], True, True)


def test_dag_that_is_gone_becomes_stale_and_comes_back(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d"), published("e")])
    version_id = stores.version_of("e")
    assert publish(store, [published("d")], complete=False) == []
    assert publish(store, [published("d")]) == ["e"]
    assert stores.rows("dag", dag_id="e")[0]["is_stale"] is True
    assert store.owners("dags") == {"d": "d.py"}
    assert publish(store, [published("d"), published("e")]) == ["e"]
    row = stores.rows("dag", dag_id="e")[0]
    assert (row["is_stale"], row["version_id"]) == (False, version_id)
    assert store.publish("other", "v1", [], []) == [], "another bundle's DAGs are none of its business"


def test_file_with_errors_keeps_its_last_good_version(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d")])
    failure = ImportFailure(filename="d.py", message="SyntaxError", line=3, stack_trace="trace")
    assert publish(store, [], [failure], kept_files=["d.py"]) == []
    row = stores.rows("dag", dag_id="d")[0]
    assert (row["is_stale"], row["has_import_errors"]) == (False, True)
    (error,) = stores.rows("import_error")
    assert (error["filename"], error["line"], error["message"], error["bundle_name"]) == (
        "d.py",
        3,
        "SyntaxError",
        "dags",
    )
    publish(store, [], [failure], kept_files=["d.py"])
    assert stores.rows("import_error") == [error], "the same error keeps its id and time"
    other = ImportFailure(filename="d.py", message="another", stack_trace="trace")
    publish(store, [], [other], kept_files=["d.py"])
    assert [row["message"] for row in stores.rows("import_error")] == ["another"]
    assert publish(store, [published("d")]) == []
    assert stores.rows("import_error") == []
    assert stores.rows("dag", dag_id="d")[0]["has_import_errors"] is False


def test_folder_failure_is_shown_and_changes_no_dag(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    publish(store, [published("d")])
    store.folder_failed("dags", ImportFailure(filename=".", message="too many files"))
    assert [row["message"] for row in stores.rows("import_error")] == ["too many files"]
    assert store.owners("dags") == {"d": "d.py"}
    publish(store, [published("d")])
    assert stores.rows("import_error") == []


def test_warnings_are_replaced(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    warning = DagWarning(dag_id="d", warning_type="non-existent pool", message="no pool p")
    publish(store, [published("d")], warnings=[warning])
    assert [row["message"] for row in stores.rows("dag_warning")] == ["no pool p"]
    publish(store, [published("d")])
    assert stores.rows("dag_warning") == []


def test_requests_to_parse_are_taken_once(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    for number, name in enumerate(["b.py", "a.py", "b.py"]):
        stores.insert("parse_request", parse_request_id=number, bundle_name="dags", filename=name, requested_at=NOW)
    assert store.take_parse_requests("other") == []
    assert store.take_parse_requests("dags") == ["b.py", "a.py"]
    assert store.take_parse_requests("dags") == []


def test_heartbeat_shows_when_it_was_last_alive(stores: StoreWorld) -> None:
    store = stores.database.processor_store()
    store.heartbeat("host:1")
    store.heartbeat("host:1")
    (row,) = stores.rows("lease", name="dag_processor")
    assert row["counter"] == 2
    assert abs(row["renewed_at"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_publishing_marks_the_bundle(stores: StoreWorld) -> None:
    stores.database.bundle_store().put(BundleManifest(name="dags", version="v1", files=()), lambda path: b"")
    assert stores.rows("bundle")[0]["published_at"] is None
    publish(stores.database.processor_store(), [published("d")])
    assert stores.rows("bundle")[0]["published_at"] is not None
