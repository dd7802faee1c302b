"""`dagdeck dags test`: one DAG of a file, run in this process with its logs on the terminal.

Decides which DAG is meant and how its end is shown. Does not run tasks (`in_process`). A program of its own, since the
command line loads no users' code: `python -m dagdeck_task.dags_test FILE`, which is also what a debugger starts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagdeck.deprecation import RemovedInAirflow3Warning
from dagdeck_core.errors import DagDeckError, UserError

if TYPE_CHECKING:
    from dagdeck.dags import DAG
    from dagdeck_task.in_process import FinishedRun

FOLDER_VARIABLE = "DAGDECK__PATHS__DAGS_FOLDER"
SUCCEEDED, FAILED, WRONG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; 0 when the run succeeded, 1 when it failed, 2 when it could not be made."""
    options = _parser().parse_args(arguments)
    warnings.simplefilter("default", RemovedInAirflow3Warning)
    try:
        with _data_apart(options.json) as write:
            dag = find_dag(options.target, options.dag_id, options.folder)
            run = _run(dag, options)
            write(json.dumps(_as_data(run), default=str, indent=2) if options.json else _as_table(run))
    except DagDeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    return SUCCEEDED if run.state.value == "success" else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dagdeck dags test", description="Run one DAG here, without a cluster.")
    parser.add_argument("target", help="a DAG file, or the id of a DAG in the DAG folder")
    parser.add_argument("dag_id", nargs="?", help="which DAG, when the file has several")
    parser.add_argument("--folder", help=f"the DAG folder, for ids and for imports [env: {FOLDER_VARIABLE}]")
    parser.add_argument("--conf", type=_object, default={}, help="the run's configuration: JSON, or @FILE")
    parser.add_argument("--logical-date", type=_moment, help="the run's logical date (default: now)")
    parser.add_argument("--variables", help="a JSON file with Variables")
    parser.add_argument("--connections", help="a JSON file with Connections")
    parser.add_argument("--mark-success", metavar="REGEX", help="tasks that succeed without being run")
    parser.add_argument("--json", action="store_true", help="print the finished run as JSON, logs to standard error")
    return parser


def find_dag(target: str, dag_id: str | None = None, folder: str | None = None) -> DAG:
    """The DAG that a file or an id names. Raises UserError with what else there is."""
    path = Path(target)
    if path.suffix == ".py" or path.is_file():
        if not path.is_file():
            raise UserError("there is no such file", file=target)
        return _chosen(_dags_of(path.resolve(), folder), dag_id, target)
    root = Path(folder or os.environ.get(FOLDER_VARIABLE) or _default_folder()).expanduser()
    if not root.is_dir():
        raise UserError(
            f"there is no DAG folder to look for dag {target!r} in",
            file=str(root),
            remedy="Name a file, or give --folder",
        )
    return _chosen(list(_dags_with(target, root.resolve())), target, str(root))


def _default_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "dagdeck" / "dags"


def _dags_of(path: Path, folder: str | None) -> list[DAG]:
    from dagdeck.collect import load_file

    root = Path(folder).expanduser().resolve() if folder else path.parent
    loaded = load_file(path, root if path.is_relative_to(root) else path.parent)
    if loaded.failures:
        raise UserError(f"this file cannot be loaded: {loaded.failures[0].message}\n{loaded.failures[0].stack_trace}")
    return list(loaded.dags)


def _dags_with(dag_id: str, root: Path) -> Iterator[DAG]:
    """DAGs of the id, looked for in files that have its text first, then in all others."""
    files = [path for path in sorted(root.rglob("*.py")) if not any(part.startswith(".") for part in path.parts)]
    naming = [path for path in files if dag_id in path.read_text(encoding="utf-8", errors="replace")]
    problems: list[str] = []
    for path in [*naming, *(path for path in files if path not in naming)]:
        try:
            found = [dag for dag in _dags_of(path, str(root)) if dag.dag_id == dag_id]
        except UserError as error:
            problems.append(error.message.partition("\n")[0])
            continue
        if found:
            yield from found
            return
    if problems:
        raise UserError(f"no file that can be loaded has dag {dag_id!r}; {problems[0]}", file=str(root))


def _chosen(dags: list[DAG], dag_id: str | None, place: str) -> DAG:
    known = [dag.dag_id for dag in dags]
    matching = [dag for dag in dags if dag_id is None or dag.dag_id == dag_id]
    if not dags:
        raise UserError("there is no DAG" if dag_id is None else f"there is no dag {dag_id!r}", file=place)
    if not matching:
        raise UserError(f"there is no dag {dag_id!r}", file=place, remedy=f"There are: {', '.join(known)}")
    if len(matching) > 1:
        raise UserError("this file has several DAGs", file=place, remedy=f"Name one of {', '.join(known)}")
    return matching[0]


def _run(dag: DAG, options: argparse.Namespace) -> FinishedRun:
    from dagdeck.xcom_arg import NOTSET
    from dagdeck_task.in_process import run_dag

    return run_dag(
        dag,
        logical_date=options.logical_date or NOTSET,
        run_conf=options.conf,
        variables_file=options.variables,
        connections_file=options.connections,
        mark_success_pattern=options.mark_success,
    )


@contextmanager
def _data_apart(apart: bool) -> Iterator[Any]:
    """What writes the result. With `apart`, everything else that is printed goes to the error output."""
    if not apart:
        yield print
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda text: os.write(kept, (text + "\n").encode())
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _as_data(run: FinishedRun) -> dict[str, Any]:
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": run.state.value,
        "logical_date": run.logical_date and run.logical_date.isoformat(),
        "conf": run.conf,
        "tasks": [
            {
                "task_id": task.task_id,
                "map_index": getattr(task, "map_index", -1),
                "state": task.state.value,
                "try_number": task.try_number,
                "error": None if task.error is None else f"{task.error.kind}: {task.error.message}",
            }
            for task in run.get_task_instances()
        ],
    }


def _as_table(run: FinishedRun) -> str:
    data = _as_data(run)
    names = [task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else "") for task in data["tasks"]]
    width = max((len(name) for name in names), default=0)
    lines = [f"{name:<{width}}  {task['state']}" for name, task in zip(names, data["tasks"], strict=True)]
    return "\n".join(["", *lines, "", f"dag {run.dag_id}: {run.state.value}"])


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError('a JSON object is expected, such as {"year": 2024}')
    return found


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write it as 2026-11-24T05:30:00+00:00") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
