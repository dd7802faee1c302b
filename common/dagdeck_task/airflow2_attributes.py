"""Attributes of runs and task instances that DAG files of Airflow 2 use, in callbacks above all.

Decides their names and meaning, which are Airflow's. Mixed into `TaskInstance` and `DagRun`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from dagdeck import other_runs
from dagdeck.deprecation import warn_deprecated
from dagdeck.other_runs import Selection
from dagdeck_core.states import DagRunType


class OtherInstance:
    """Another task instance of a run: its ids and its state when it was asked for."""

    def __init__(self, dag_id: str, run_id: str, task_id: str, map_index: int, state: str | None) -> None:
        self.dag_id = dag_id
        self.run_id = run_id
        self.task_id = task_id
        self.map_index = map_index
        self.state = state

    def current_state(self) -> str | None:
        """The state."""
        return self.state

    def __repr__(self) -> str:
        return f"<TaskInstance {self.dag_id}.{self.task_id} {self.run_id}: {self.state}>"


class RunAttributes:
    """For DagRun."""

    dag_id: str
    run_id: str
    run_type: str
    state: str

    @property
    def execution_date(self) -> Any:
        """The logical date."""
        warn_deprecated("execution_date of a run", "Write logical_date")
        return getattr(self, "logical_date", None)

    @property
    def external_trigger(self) -> bool:
        """Whether a person or another DAG started the run."""
        warn_deprecated("external_trigger of a run", 'Write run_type == "manual"')
        return self.run_type in (DagRunType.MANUAL.value, DagRunType.OPERATOR_TRIGGERED.value)

    def get_state(self) -> str:
        """The state."""
        return self.state

    def get_task_instances(self, state: str | Collection[str] | None = None, **_: Any) -> list[OtherInstance]:
        """The run's task instances, in these states if given. Raises AirflowException outside a task."""
        wanted = None if state is None else {str(each) for each in ([state] if isinstance(state, str) else state)}
        found = other_runs.task_states(Selection(dag_id=self.dag_id, run_ids=[self.run_id])).get(self.run_id, {})
        instances = [self._instance(name, each) for name, each in found.items()]
        return [instance for instance in instances if wanted is None or str(instance.state) in wanted]

    def get_task_instance(self, task_id: str, *, map_index: int = -1, **_: Any) -> OtherInstance | None:
        """One task instance of the run; None when there is none."""
        selection = Selection(dag_id=self.dag_id, run_ids=[self.run_id], task_ids=[task_id])
        name = task_id if map_index < 0 else f"{task_id}_{map_index}"
        found = other_runs.task_states(selection).get(self.run_id, {})
        return OtherInstance(self.dag_id, self.run_id, task_id, map_index, found[name]) if name in found else None

    def _instance(self, name: str, state: str | None) -> OtherInstance:
        task_id, _, index = name.rpartition("_")
        if task_id and index.isdigit() and self._is_mapped(task_id):
            return OtherInstance(self.dag_id, self.run_id, task_id, int(index), state)
        return OtherInstance(self.dag_id, self.run_id, name, -1, state)

    def _is_mapped(self, task_id: str) -> bool:
        from dagdeck import runtime

        dag = runtime.get_current_context()["dag"]
        return dag.dag_id == self.dag_id and dag.has_task(task_id) and not dag.has_task(f"{task_id}_0")


class InstanceAttributes:
    """For TaskInstance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    task: Any

    @property
    def execution_date(self) -> Any:
        """The run's logical date."""
        warn_deprecated("execution_date of a task instance", "Write dag_run.logical_date")
        return self.get_dagrun().logical_date

    @property
    def logical_date(self) -> Any:
        """The run's logical date."""
        return self.get_dagrun().logical_date

    @property
    def key(self) -> Any:
        """What tells this try from every other."""
        from dagdeck.airflow_layer.instance_keys import TaskInstanceKey

        return TaskInstanceKey(self.dag_id, self.task_id, self.run_id, self.try_number, self.map_index)

    @property
    def log_url(self) -> str:
        """Where the task's log is shown, below [api] base_url."""
        from dagdeck.configuration import conf

        base = conf.get("api", "base_url").rstrip("/")
        index = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        place = f"{base}/dags/{self.dag_id}/runs/{quote(self.run_id)}/tasks/{self.task_id}{index}"
        return f"{place}?try_number={self.try_number}"

    @property
    def mark_success_url(self) -> str:
        """Where a person marks the task."""
        return self.log_url

    @property
    def prev_attempted_tries(self) -> int:
        """The number of this try."""
        return self.try_number

    @property
    def next_try_number(self) -> int:
        """The number of the next try."""
        return self.try_number + 1

    @property
    def pool(self) -> str:
        """The task's pool."""
        return str(self.task.pool)

    @property
    def queue(self) -> str:
        """The task's queue."""
        return str(self.task.queue)

    @property
    def priority_weight(self) -> int:
        """The task's own weight."""
        return int(self.task.priority_weight)

    def get_previous_execution_date(self, state: str | None = None, **_: Any) -> Any:
        """The logical date of the run before (in that state); None when there is none."""
        return self._of_previous("logical_date", state)

    def get_previous_start_date(self, state: str | None = None, **_: Any) -> Any:
        """When the run before (in that state) started; None when there is none."""
        return self._of_previous("start_date", state)

    def _of_previous(self, field: str, state: str | None) -> Any:
        from dagdeck_task.dag_run import as_pendulum

        found = self.get_previous_dagrun(None if state is None else str(state))
        return as_pendulum(found.get(field)) if found else None

    @abstractmethod
    def get_dagrun(self) -> Any:
        """The run."""

    @abstractmethod
    def get_previous_dagrun(self, state: str | None = None) -> Any:
        """The fields of the run before this one."""


__all__ = ["InstanceAttributes", "OtherInstance", "RunAttributes"]
