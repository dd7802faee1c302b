"""Finding the operator of a task: the DAG file is loaded once per process and bundle version.

Decides what is kept between tasks of a warm process, among it what a file puts into the environment while it is
loaded: a runner's environment is put back after each task, and each task of the file must find it again. Does not
run anything. Called by `runner_main`.
"""

from __future__ import annotations

import gc
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dagdeck.collect import load_file
from dagdeck.dags import DAG
from dagdeck.operator import BaseOperator
from dagdeck.serialize import finish_definition, serialize_task
from dagdeck_core.errors import UserError
from dagdeck_core.spec import TaskSpec
from dagdeck_core.wire import RunTask

FILES_KEPT = 64


class DefinitionError(UserError):
    """The task cannot be found in the code that its run is pinned to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDags:
    """What loading a DAG file gave: its DAGs by id, and the variables that it set (None: that it removed)."""

    dags: Mapping[str, DAG]
    environment: Mapping[str, str | None]


@dataclass(slots=True, kw_only=True)
class Definition:
    """One task as loaded: its operator, which is copied for each try, and its spec."""

    operator: BaseOperator
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """As of its file (`LoadedDags`)."""
    known_spec: TaskSpec | None = None

    @property
    def spec(self) -> TaskSpec:
        """Made when it is first asked for: only what becomes of a failure depends on it."""
        if self.known_spec is None:
            self.known_spec = serialize_task(self.operator)
        return self.known_spec


class Definitions:
    """Loaded DAG files of one process, the least recently used dropped first."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str, str], LoadedDags] = OrderedDict()
        self._tasks: dict[tuple[str, str, str, str, str], Definition] = {}
        self._finished: dict[int, bool] = {}
        self._bundle: tuple[str, str] | None = None
        self._fresh = False

    def find(self, task: RunTask) -> Definition:
        """The definition of `task`, in the environment that its file has set.

        Raises DefinitionError, with what importing the file raised.
        """
        key = (task.bundle_root, task.bundle_version, task.fileloc, task.dag_run.dag_id, task.task_id)
        found = self._tasks.get(key)
        if found is None:
            found = self._tasks[key] = self._load(task)
        elif found.environment:
            _apply(found.environment)
        return found

    def dag(self, task: RunTask) -> DAG:
        """The DAG of `task`, in the environment that its file has set.

        Raises DefinitionError, with what importing the file raised.
        """
        return self._dag(task, self._file(task))

    def _dag(self, task: RunTask, file: LoadedDags) -> DAG:
        dag = file.dags.get(task.dag_run.dag_id)
        if dag is None:
            raise DefinitionError(
                f"the file defines no dag {task.dag_run.dag_id!r} any more when it is loaded on this worker",
                file=task.fileloc,
                remedy="DAGs must not depend on the machine or the time at which their file is loaded",
            )
        if not self._finished.get(id(dag)):
            # Only this DAG: another one of the same file may be wrong without harm to it.
            finish_definition(dag)
            self._finished[id(dag)] = True
        return dag

    def _load(self, task: RunTask) -> Definition:
        file = self._file(task)
        operator = self._dag(task, file).task_dict.get(task.task_id)
        if operator is None:
            dag_id = task.dag_run.dag_id
            raise DefinitionError(f"dag {dag_id!r} has no task {task.task_id!r} on this worker", file=task.fileloc)
        return Definition(operator=operator, environment=file.environment)

    def _file(self, task: RunTask) -> LoadedDags:
        key = (task.bundle_root, task.bundle_version, task.fileloc)
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = self._import(task, key[:2])
            self._drop_oldest()
            # What was loaded stays: the collector need not walk through thousands of operators between tasks.
            gc.freeze()
        else:
            _apply(file.environment)
        self._files.move_to_end(key)
        return file

    def _import(self, task: RunTask, bundle: tuple[str, str]) -> LoadedDags:
        # Helper modules of another bundle version must not serve this one.
        fresh = self._fresh or (self._bundle is not None and self._bundle != bundle)
        before = dict(os.environ)
        loaded = load_file(Path(task.bundle_root, task.fileloc), task.bundle_root, fresh=fresh)
        self._bundle = bundle
        if loaded.failures:
            first = loaded.failures[0]
            raise DefinitionError(f"the DAG file cannot be loaded: {first.message}\n{first.stack_trace}")
        environment = _changes(before)
        # It may be a helper module that sets the variables: the next file that imports it must set them, too.
        self._fresh = self._fresh or bool(environment)
        return LoadedDags(dags={dag.dag_id: dag for dag in loaded.dags}, environment=environment)

    def _drop_oldest(self) -> None:
        while len(self._files) > FILES_KEPT:
            oldest, file = self._files.popitem(last=False)
            gc.unfreeze()
            for dag in file.dags.values():
                self._finished.pop(id(dag), None)
            self._tasks = {key: found for key, found in self._tasks.items() if key[:3] != oldest}
            del file
            gc.collect()


def _changes(before: Mapping[str, str]) -> dict[str, str | None]:
    """What was done to the environment since it was `before`."""
    now = dict(os.environ)
    changed: dict[str, str | None] = {name: value for name, value in now.items() if before.get(name) != value}
    return changed | {name: None for name in before if name not in now}


def _apply(changes: Mapping[str, str | None]) -> None:
    """Make these changes to the environment again."""
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in changes and hasattr(time, "tzset"):
        time.tzset()
