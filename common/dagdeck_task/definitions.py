"""Finding the operator of a task: the DAG file is loaded once per process and bundle version.

Decides what is kept between tasks of a warm process. Does not run anything. Called by `runner_main`.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from dataclasses import dataclass
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


@dataclass(slots=True, kw_only=True)
class Definition:
    """One task as loaded: its operator, which is copied for each try, and its spec."""

    operator: BaseOperator
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
        self._files: OrderedDict[tuple[str, str, str], dict[str, DAG]] = OrderedDict()
        self._tasks: dict[tuple[str, str, str, str, str], Definition] = {}
        self._finished: dict[int, bool] = {}
        self._bundle: tuple[str, str] | None = None

    def find(self, task: RunTask) -> Definition:
        """The definition of `task`. Raises DefinitionError, with what importing the file raised."""
        key = (task.bundle_root, task.bundle_version, task.fileloc, task.dag_run.dag_id, task.task_id)
        found = self._tasks.get(key)
        if found is None:
            found = self._tasks[key] = self._load(task)
        return found

    def dag(self, task: RunTask) -> DAG:
        """The DAG of `task`. Raises DefinitionError, with what importing the file raised."""
        dag_id = task.dag_run.dag_id
        dag = self._dags(task).get(dag_id)
        if dag is None:
            raise DefinitionError(
                f"the file defines no dag {dag_id!r} any more when it is loaded on this worker",
                file=task.fileloc,
                remedy="DAGs must not depend on the machine or the time at which their file is loaded",
            )
        if not self._finished.get(id(dag)):
            # Only this DAG: another one of the same file may be wrong without harm to it.
            finish_definition(dag)
            self._finished[id(dag)] = True
        return dag

    def _load(self, task: RunTask) -> Definition:
        dag_id = task.dag_run.dag_id
        dag = self.dag(task)
        operator = dag.task_dict.get(task.task_id)
        if operator is None:
            raise DefinitionError(f"dag {dag_id!r} has no task {task.task_id!r} on this worker", file=task.fileloc)
        return Definition(operator=operator)

    def _dags(self, task: RunTask) -> dict[str, DAG]:
        key = (task.bundle_root, task.bundle_version, task.fileloc)
        dags = self._files.get(key)
        if dags is None:
            bundle = key[:2]
            # Helper modules of another bundle version must not serve this one.
            loaded = load_file(
                Path(task.bundle_root, task.fileloc),
                task.bundle_root,
                fresh=self._bundle is not None and self._bundle != bundle,
            )
            self._bundle = bundle
            if loaded.failures:
                first = loaded.failures[0]
                raise DefinitionError(f"the DAG file cannot be loaded: {first.message}\n{first.stack_trace}")
            dags = self._files[key] = {dag.dag_id: dag for dag in loaded.dags}
            self._drop_oldest()
            # What was loaded stays: the collector need not walk through thousands of operators between tasks.
            gc.freeze()
        self._files.move_to_end(key)
        return dags

    def _drop_oldest(self) -> None:
        while len(self._files) > FILES_KEPT:
            oldest, dags = self._files.popitem(last=False)
            gc.unfreeze()
            for dag in dags.values():
                self._finished.pop(id(dag), None)
            self._tasks = {key: found for key, found in self._tasks.items() if key[:3] != oldest}
            del dags
            gc.collect()
