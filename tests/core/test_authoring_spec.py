"""From DAG objects to specs, and from DAG files to DAG objects."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dagdeck import (
    DAG,
    Asset,
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    Label,
    Param,
    PythonOperator,
    TaskGroup,
)
from dagdeck.collect import LoadedFile, load_file
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.spec import ParamSpec, TaskGroupSpec, decode_spec, encode_spec
from dagdeck_core.timetables import CronDataIntervalSpec


class Hooked(EmptyOperator):
    """Overrides a hook, so it has something to do."""

    def pre_execute(self, context: Any) -> None:
        """Something."""


class Busy(EmptyOperator):
    """Overrides execute."""

    def execute(self, context: Any) -> int:
        """Something."""
        return 1


def whole_dag() -> DAG:
    """A DAG that uses most of what a spec can hold."""
    with DAG(
        "whole",
        schedule="0 6 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        params={"n": Param(3, "how many", type="integer", minimum=1)},
        default_args={"owner": "me", "api_key": "hidden", "retries": 1},
        tags=["b", "a"],
        on_failure_callback=print,
        dagrun_timeout=timedelta(hours=2),
    ) as dag:
        start = EmptyOperator(task_id="start", outlets=[Asset("out", extra={"x": 1})])
        with TaskGroup("g", tooltip="tip") as group:
            BashOperator(
                task_id="b",
                bash_command="echo {{ ds }}" + "x" * 5000,
                env={"PASSWORD": "x", "PLAIN": "y"},
                retry_delay=timedelta(seconds=30),
                execution_timeout=timedelta(minutes=5),
                executor_config={"own_process": True},
                on_retry_callback=print,
                params={"m": 1},
            )
        branch = BranchPythonOperator(task_id="branch", python_callable=whole_dag, op_args=[start.output])
        start >> Label("go") >> group >> branch
    return dag


def test_spec_holds_the_dag() -> None:
    spec = serialize_dag(whole_dag())
    assert decode_spec(encode_spec(spec)) == spec
    assert [task.task_id for task in spec.tasks] == ["start", "g.b", "branch"]
    assert (spec.timezone, spec.start_date) == ("Europe/Berlin", datetime(2025, 12, 31, 23, tzinfo=UTC))
    assert (spec.tags, spec.dagrun_timeout, spec.has_on_failure_callback) == (("a", "b"), 7200.0, True)
    assert spec.params == {
        "n": ParamSpec(value=3, description="how many", schema={"type": "integer", "minimum": 1}),
    }
    assert spec.default_args == {"owner": "me", "api_key": "***", "retries": 1}
    start, bash, branch = spec.tasks
    assert start.edge_labels == {"g.b": "go"}
    assert start.outlets[0].extra == {"x": 1}
    assert bash.upstream == ("start",)
    assert (bash.group_id, bash.owner, bash.retries, bash.retry_delay) == ("g", "me", 1, 30.0)
    assert (bash.execution_timeout, bash.own_process, bash.has_on_retry_callback) == (300.0, True, True)
    assert bash.params == {"m": ParamSpec(value=1)}
    assert bash.template_values["env"] == {"PASSWORD": "***", "PLAIN": "y"}
    assert bash.template_values["bash_command"].endswith("(5013 characters in all)")
    assert bash.template_fields == ("bash_command", "env", "cwd")
    assert not bash.can_skip_downstream
    assert branch.can_skip_downstream
    assert branch.upstream == ("g.b", "start")
    assert spec.groups == (
        TaskGroupSpec(
            group_id="g", label="g", tooltip="tip", upstream_task_ids=("start",), downstream_task_ids=("branch",)
        ),
    )


def test_spec_is_the_same_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from tests.core.test_authoring_spec import whole_dag; from dagdeck.serialize import serialize_dag;"
        "from dagdeck_core.spec import encode_spec; sys.stdout.buffer.write(encode_spec(serialize_dag(whole_dag())))"
    )
    root = str(Path(__file__).parents[2])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, root],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("make", "is_empty"),
    [
        (lambda: EmptyOperator(task_id="t"), True),
        (lambda: EmptyOperator(task_id="t", on_failure_callback=print), False),
        (lambda: EmptyOperator(task_id="t", on_success_callback=print), False),
        (lambda: EmptyOperator(task_id="t", outlets=[Asset("a")]), False),
        (lambda: EmptyOperator(task_id="t", pre_execute=print), False),
        (lambda: EmptyOperator(task_id="t", post_execute=print), False),
        (lambda: Hooked(task_id="t"), False),
        (lambda: Busy(task_id="t"), False),
        (lambda: PythonOperator(task_id="t", python_callable=print), False),
    ],
)
def test_what_the_scheduler_may_complete_itself(make: Any, is_empty: bool) -> None:
    with DAG("d") as dag:
        make()
    assert serialize_dag(dag).tasks[0].is_empty is is_empty


def test_cluster_setting_gives_cron_strings_data_intervals() -> None:
    spec = serialize_dag(DAG("d", schedule="@daily"), cron_data_intervals=True)
    assert spec.timetable == CronDataIntervalSpec(cron="0 0 * * *")


def test_late_assignment_to_a_template_field_counts() -> None:
    with DAG("d") as dag:
        first = PythonOperator(task_id="first", python_callable=dict)
        second = PythonOperator(task_id="second", python_callable=dict)
        second.op_kwargs = {"x": first.output}
    assert serialize_dag(dag).tasks[1].upstream == ("first",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a, b: a >> b >> a, "in a circle: a >> b >> a|in a circle: b >> a >> b"),
        (lambda a, b: a.upstream_task_ids.add("gone"), r"dag 'd', task 'a', upstream: .*\(found 'gone'\)"),
        (
            lambda a, b: a.as_setup() >> EmptyOperator(task_id="c", trigger_rule="all_done"),
            "follows the setup task 'a'",
        ),
    ],
)
def test_dags_that_cannot_run_are_refused(make: Any, message: str) -> None:
    with DAG("d") as dag:
        make(EmptyOperator(task_id="a"), EmptyOperator(task_id="b"))
    with pytest.raises(UserError, match=message):
        serialize_dag(dag)


def test_fail_fast_allows_the_default_trigger_rule_only() -> None:
    with DAG("d", fail_fast=True) as dag:
        EmptyOperator(task_id="a", trigger_rule="all_done")
    with pytest.raises(UserError, match="fail_fast"):
        serialize_dag(dag)


# ---------------------------------------------------------------- loading files


def load(root: Path, files: dict[str, str], name: str = "dags.py") -> LoadedFile:
    """Write `files` below `root` and load one of them."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return load_file(root / name, root)


def test_dags_are_found_wherever_they_are_made(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        {
            "dags.py": """
from dagdeck import DAG, EmptyOperator, dag
import maker
with DAG("anonymous"):
    EmptyOperator(task_id="t")
kept = DAG("kept")
globals()["dynamic"] = DAG("dynamic")
with DAG("hidden", auto_register=False):
    pass
def local():
    return DAG("unregistered")
local()
@dag
def decorated(): EmptyOperator(task_id="t")
decorated()
from_helper = maker.make()
""",
            "maker.py": "from dagdeck import DAG\ndef make(): return DAG('made')\n",
        },
    )
    assert loaded.failures == ()
    assert sorted(dag.dag_id for dag in loaded.dags) == ["anonymous", "decorated", "dynamic", "kept", "made"]
    assert {serialize_dag(dag, root=tmp_path).fileloc for dag in loaded.dags} == {"dags.py"}


def test_changed_helper_is_imported_again(tmp_path: Path) -> None:
    dags = "from dagdeck import DAG\nimport helper_x\nDAG(helper_x.NAME).__enter__()\n"
    assert load(tmp_path, {"dags.py": dags, "helper_x.py": "NAME = 'one'\n"}).dags[0].dag_id == "one"
    assert load(tmp_path, {"helper_x.py": "NAME = 'second'\n"}).dags[0].dag_id == "second"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\nwith DAG('d'\n", 2, r"dags.py, line 2: SyntaxError: '\(' was never closed"),
        ("x = 1\n\nimport nothing_like_it\n", 3, "dags.py, line 3: ModuleNotFoundError: No module named"),
        ("import broken\n", 1, "broken.py, line 2: SyntaxError"),
        ("import failing\n", 1, "dags.py, line 1: ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", 2, "dags.py, line 2: SystemExit: 3"),
        (
            "from dagdeck import DAG, EmptyOperator\nwith DAG('d'):\n    EmptyOperator(task_id='t', retries=-1)\n",
            3,
            r"dags.py, line 3: InvalidDefinition: dag 'd', task 't', retries: this must be 0 or more \(found -1\)",
        ),
        (
            "from dagdeck import DAG\na = DAG('d')\nb = DAG('d')\n",
            None,
            "two DAGs of this file have the same id .found 'd'",
        ),
    ],
)
def test_failures_name_file_line_and_reason(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    files = {"dags.py": text, "broken.py": "x = 1\ny = = 2\n", "failing.py": "def f():\n    return 1 / 0\nf()\n"}
    loaded = load(tmp_path, files)
    assert loaded.dags == ()
    assert [(failure.file, failure.line) for failure in loaded.failures] == [("dags.py", line)]
    with pytest.raises(UserError, match=message):
        raise UserError(loaded.failures[0].message)


def test_failed_file_leaves_nothing_open(tmp_path: Path) -> None:
    load(tmp_path, {"dags.py": "from dagdeck import DAG\nDAG('open').__enter__()\n1 / 0\n"})
    with pytest.raises(UserError, match="belongs to no DAG"):
        _ = EmptyOperator(task_id="t").dag
    assert (
        load(tmp_path, {"good.py": "from dagdeck import DAG\nwith DAG('good'): pass\n"}, "good.py").dags[0].dag_id
        == "good"
    )


def test_importing_dagdeck_stays_light() -> None:
    code = "import sys; from dagdeck import DAG, task, TaskGroup, Param; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    heavy = {"jinja2", "pendulum", "jsonschema", "asyncio", "sqlalchemy", "redis", "httpx", "dagdeck_task"}
    assert heavy & set(loaded.stdout.split()) == set()
