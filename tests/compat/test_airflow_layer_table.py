"""The table of Airflow's names: every row leads somewhere, and one class has one identity."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagdeck import airflow_layer
from dagdeck.airflow_layer import table
from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck_core.errors import UserError

SDK_NAMES = frozenset(
    [
        "AllowedKeyMapper",
        "Asset",
        "AssetAccessControl",
        "AssetAlias",
        "AssetAll",
        "AssetAny",
        "AssetOrTimeSchedule",
        "AssetWatcher",
        "AsyncCallback",
        "BaseAsyncOperator",
        "BaseBranchOperator",
        "BaseDeadlineReference",
        "BaseHook",
        "BaseNotifier",
        "BaseOperator",
        "BaseOperatorLink",
        "BaseSensorOperator",
        "BaseXCom",
        "BranchMixIn",
        "ChainMapper",
        "Connection",
        "Context",
        "CronDataIntervalTimetable",
        "CronPartitionTimetable",
        "CronTriggerTimetable",
        "DAG",
        "DagRunState",
        "DayWindow",
        "DeadlineAlert",
        "DeadlineReference",
        "DeltaDataIntervalTimetable",
        "DeltaTriggerTimetable",
        "EdgeModifier",
        "EventsTimetable",
        "ExceptionRetryPolicy",
        "FanOutMapper",
        "FixedKeyMapper",
        "HourWindow",
        "IdentityMapper",
        "Label",
        "Metadata",
        "MinimumCount",
        "MonthWindow",
        "MultipleCronTriggerTimetable",
        "NEVER_EXPIRE",
        "ObjectStoragePath",
        "Param",
        "ParamsDict",
        "PartitionMapper",
        "PartitionedAssetTimetable",
        "PartitionedAtRuntime",
        "PokeReturnValue",
        "ProductMapper",
        "QuarterWindow",
        "ResumableJobMixin",
        "RetryAction",
        "RetryDecision",
        "RetryPolicy",
        "RetryRule",
        "RollupMapper",
        "SegmentWindow",
        "SkipMixin",
        "StartOfDayMapper",
        "StartOfHourMapper",
        "StartOfMonthMapper",
        "StartOfQuarterMapper",
        "StartOfWeekMapper",
        "StartOfYearMapper",
        "SyncCallback",
        "TaskGroup",
        "TaskInstance",
        "TaskInstanceState",
        "TriggerRule",
        "Variable",
        "WaitForAll",
        "WeekWindow",
        "WeightRule",
        "Window",
        "XComArg",
        "YearWindow",
        "__version__",
        "asset",
        "chain",
        "chain_linear",
        "conf",
        "cross_downstream",
        "dag",
        "deadline_reference",
        "get_current_context",
        "get_parsing_context",
        "lineage",
        "literal",
        "macros",
        "result",
        "setup",
        "task",
        "task_group",
        "teardown",
    ]
)
"""What `airflow.sdk` exports."""


@pytest.fixture(autouse=True)
def layer() -> Iterator[None]:
    """The layer in place, and gone afterwards unless it was there before."""
    was_there = airflow_layer.is_installed()
    airflow_layer.install()
    yield
    if not was_there:
        airflow_layer.uninstall()


def resolved(path: str) -> object:
    """What an author gets who imports `path`, without its warning."""
    module, _, name = path.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemovedInAirflow3Warning)
        return getattr(importlib.import_module(module), name)


def test_every_row_leads_to_something() -> None:
    broken: dict[str, list[str]] = defaultdict(list)
    for path, entry in table.ENTRIES.items():
        if entry.home.startswith(table.PROVIDERS):
            continue
        try:
            resolved(path)
        except (ImportError, AttributeError) as error:
            broken[f"{entry.home}.{entry.name}: {error}"].append(path)
    assert broken == {}


def test_each_path_of_a_row_is_the_same_object() -> None:
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for path, entry in table.ENTRIES.items():
        if not entry.home.startswith(table.PROVIDERS):
            try:
                found[entry.home, entry.name].add(id(resolved(path)))
            except (ImportError, AttributeError):
                continue  # the test above says so
    assert {key: len(ids) for key, ids in found.items() if len(ids) > 1} == {}


def test_everything_that_the_sdk_exports_is_there() -> None:
    sdk = importlib.import_module("airflow.sdk")
    known = {*table.NAMES["airflow.sdk"], *(name for name in SDK_NAMES if f"airflow.sdk.{name}" in table.MODULES)}
    assert [name for name in SDK_NAMES if name not in known and not hasattr(sdk, name)] == []


@pytest.mark.parametrize("path", sorted(path for path, entry in table.ENTRIES.items() if entry.instead))
def test_an_old_path_is_told_once_what_to_write_instead(path: str) -> None:
    entry = table.ENTRIES[path]
    if entry.home.startswith(table.PROVIDERS):
        pytest.skip("what it leads to is not installed here")
    module, _, name = path.rpartition(".")
    code = compile(f"from {module} import {name} as first\nfrom {module} import {name} as again\n", "author.py", "exec")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        exec(code, {"__name__": "author"})
    assert [(str(each.message), each.filename, each.lineno) for each in heard] == [
        (f"{path} is from an earlier Airflow. {entry.instead}", "author.py", 1)
    ]
    assert issubclass(heard[0].category, DeprecationWarning)


def test_what_is_recommended_exists_and_is_not_old_itself() -> None:
    wrong = []
    for path, entry in table.ENTRIES.items():
        words = entry.instead.removeprefix("Write: from ").split(" import ")
        if not entry.instead.startswith("Write: from ") or entry.home.startswith(table.PROVIDERS):
            continue
        recommended = f"{words[0]}.{words[1].partition(',')[0]}"
        known = table.ENTRIES.get(recommended)
        if (
            recommended not in table.MODULES
            and not recommended.startswith("dagdeck.")
            and (known is None or known.instead)
        ):
            wrong.append((path, entry.instead))
    assert wrong == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("from airflow.operators.bash import Foo", r"no airflow\.operators\.bash\.Foo.* has: BashOperator"),
        ("from airflow.sdk import BashOperator", r"found in: airflow\.providers\.standard\.operators\.bash"),
        ("from airflow.sdk import TaskGrup", r"Nearest: airflow\.sdk\.TaskGroup"),
        ("import airflow.nonsense.deep", r"no airflow\.nonsense\..*operators"),
        ("from airflow.operators.subdag import SubDagOperator", "removed in Airflow 3. Use a TaskGroup"),
        ("from airflow.models import DagModel", "no access to the metadata database"),
        ("from airflow.settings import Session", "no access to the metadata database"),
        ("from airflow.contrib.operators.ssh_operator import SSHOperator", "apache-airflow-providers"),
        ("import airflow.providers.nowhere.hooks", "Install apache-airflow-providers-nowhere"),
        ("from airflow.providers.apache.spark.operators.x import Y", "one of apache-airflow-providers-apache-…"),
        ("from airflow.hooks.postgres_hook import PostgresHook", "Install apache-airflow-providers-postgres"),
        ("import airflow.www.app", "desktop application"),
        ("from airflow.operators.pig_operator import PigOperator", "is in a package apache-airflow-providers-…"),
    ],
)
def test_an_unknown_name_is_told_what_there_is(statement: str, message: str) -> None:
    with pytest.raises(ImportError, match=message):
        exec(statement, {"__name__": "author"})


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    airflow = importlib.import_module("airflow")
    with pytest.raises(AttributeError, match=r"Nearest: airflow\.DAG"):
        _ = airflow.DAGG
    assert importlib.util.find_spec("airflow.nonsense") is None


def test_exceptions_are_caught_by_any_of_their_names() -> None:
    from airflow.exceptions import AirflowSkipException as by_core  # type: ignore[import-not-found]
    from airflow.sdk.exceptions import AirflowException as by_sdk  # type: ignore[import-not-found]

    with pytest.raises(by_sdk):
        raise by_core("enough")
    assert issubclass(by_sdk, UserError)


def test_a_bundles_own_airflow_folder_extends_the_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "airflow" / "example_dags" / "libs"
    package.mkdir(parents=True)
    (package / "greeting.py").write_text("WORD = 'hello'\n")
    provider = tmp_path / "airflow" / "providers" / "acme"
    provider.mkdir(parents=True)
    (provider / "__init__.py").write_text(
        "from airflow.sdk import BaseOperator\n\nclass AcmeOperator(BaseOperator): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert importlib.import_module("airflow.example_dags.libs.greeting").WORD == "hello"
        acme = importlib.import_module("airflow.providers.acme")
        from dagdeck import BaseOperator

        assert issubclass(acme.AcmeOperator, BaseOperator)
    finally:
        for name in [
            name for name in sys.modules if name.startswith(("airflow.example_dags", "airflow.providers.acme"))
        ]:
            del sys.modules[name]


def test_an_installed_airflow_does_not_show_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = tmp_path / "airflow"
    for folder in ("models", "nonsense", "providers/acme"):
        (core / folder).mkdir(parents=True)
        (core / folder / "__init__.py").write_text("IS_REAL = True\n")
    (core / "__init__.py").write_text("raise AssertionError('the installed Airflow was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.import_module("airflow").__version__ == "3.3.2"
    with pytest.raises(ImportError):
        importlib.import_module("airflow.nonsense")
    try:
        assert importlib.import_module("airflow.providers.acme").IS_REAL
    finally:
        sys.modules.pop("airflow.providers.acme", None)


def test_a_submodule_does_not_hide_an_object_of_the_same_name() -> None:
    importlib.import_module("airflow.decorators.task_group")
    assert callable(resolved("airflow.decorators.task_group"))


def test_what_stands_in_for_a_provider_package_gives_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagdeck.operators.http import HttpOperator

    assert resolved("airflow.providers.http.operators.http.HttpOperator") is HttpOperator
    with pytest.raises(ImportError, match="apache-airflow-providers-http"):
        importlib.import_module("airflow.providers.http.transfers")
    airflow_layer.uninstall()
    package = tmp_path / "airflow" / "providers" / "http" / "operators"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "http.py").write_text("HttpOperator = 'the real one'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    airflow_layer.install()
    assert resolved("airflow.providers.http.operators.http.HttpOperator") == "the real one"
    airflow_layer.uninstall()


def test_the_switch_turns_the_layer_off(monkeypatch: pytest.MonkeyPatch) -> None:
    airflow_layer.uninstall()
    monkeypatch.setenv(airflow_layer.SWITCH, "off")
    airflow_layer.install()
    assert not airflow_layer.is_installed()


def test_the_layers_own_modules_are_not_imported_for_nothing() -> None:
    source = Path(airflow_layer.__file__).read_text()
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dagdeck.airflow_layer.finder"}
