"""Loading DAG files: which DAGs they give, what failures say, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dagdeck import DAG, Context, EmptyOperator, PythonOperator
from dagdeck.collect import LoadedFile, load_file
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError


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


def test_template_files_are_found_beside_the_dag_and_in_the_search_path(tmp_path: Any) -> None:
    (tmp_path / "query.sql").write_text("select '{{ ds }}'\n")
    with DAG("d", template_searchpath=str(tmp_path)):
        operator = PythonOperator(task_id="t", python_callable=dict, op_args=["query.sql"], templates_exts=[".sql"])
    operator.render_template_fields(Context({"ds": "2026-01-31"}))
    assert operator.op_args == ["select '2026-01-31'"]
