"""TaskInstance: what a task sees of itself and how it passes values on.

Decides the attributes and methods, which are Airflow's, and what each asks of the parent process. Does not
execute anything. Found in the context as `ti`; one per try.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dagdeck import other_runs, xcom_codec
from dagdeck.exceptions import AirflowException
from dagdeck.other_runs import Selection
from dagdeck.runtime import NotFound
from dagdeck.xcom import custom_backend, deserialize, serialize
from dagdeck.xcom_arg import NOTSET, XCOM_RETURN_KEY, ArgNotSet
from dagdeck_core.states import TaskInstanceState
from dagdeck_core.wire import RunTask
from dagdeck_task.airflow2_attributes import InstanceAttributes
from dagdeck_task.channel import Channel
from dagdeck_task.dag_run import DagRun, as_pendulum

if TYPE_CHECKING:
    from dagdeck.context import Context
    from dagdeck.operator import BaseOperator
    from dagdeck_task.asset_events import OutletEventAccessors


class TaskInstance(InstanceAttributes):
    """One try of one task in one run. `dispatch_no` tells it from every other time that this task was started."""

    def __init__(self, source: RunTask, task: BaseOperator, channel: Channel, start_date: datetime) -> None:
        self._source = source
        self._channel = channel
        self._started = start_date
        self._ended: datetime | None = None
        self._dag_run: DagRun | None = None
        self._context: Context | None = None
        self.task = task
        self.task_id = source.task_id
        self.dag_id = source.dag_run.dag_id
        self.run_id = source.dag_run.run_id
        self.map_index = source.map_index
        self.try_number = source.try_number
        self.max_tries = source.max_tries
        self.dispatch_no = source.dispatch_no
        self.hostname = source.hostname
        self.state = "running"
        self.rendered_map_index: str | None = None
        self.skipped: dict[str, None] = {}
        self.followed: tuple[str, ...] = ()
        self.rendered_late: dict[str, Any] = {}
        self.resolved_inputs: dict[Any, dict[str, Any]] = {}
        """Values of the mapped groups around the task at this index, by the groups' inputs."""
        self.has_returned = False
        self._outlet_events: OutletEventAccessors | None = None

    # ------------------------------------------------------------ identity

    @property
    def start_date(self) -> Any:
        """When this try started; for a task that runs again after a reschedule, when it first did."""
        return as_pendulum(self._source.first_start_date or self._started)

    @property
    def end_date(self) -> Any:
        """None while the try goes on; callbacks that are called after its end find when that was."""
        return as_pendulum(self._ended)

    @property
    def duration(self) -> float | None:
        """Seconds that the try ran, once it has ended."""
        return None if self._ended is None else (self._ended - self._started).total_seconds()

    def end(
        self, state: TaskInstanceState | None, at: datetime | None, *, dispatch_no: int = 0, hostname: str = ""
    ) -> None:
        """Show a try that has ended, to what is called after it."""
        self.state = state.value if state is not None else "none"
        self._ended = at
        self.dispatch_no = dispatch_no or self.dispatch_no
        self.hostname = hostname or self.hostname

    @property
    def operator(self) -> str:
        """The name of the operator's class."""
        return self.task.task_type

    @property
    def dag_run(self) -> DagRun:
        """The run."""
        if self._dag_run is None:
            self._dag_run = DagRun(self._source.dag_run, self.ask)
        return self._dag_run

    @property
    def bundle_root(self) -> str:
        """The folder on this machine that holds the DAG files and what they import."""
        return self._source.bundle_root

    def get_dagrun(self) -> DagRun:
        """The run."""
        return self.dag_run

    @property
    def log(self) -> logging.Logger:
        """The task's logger."""
        return logging.getLogger("dagdeck.task")

    @property
    def key_str(self) -> str:
        """`dag__task__20260131`: the DAG, the task and the logical date, or the run where it has none."""
        date = self._source.dag_run.logical_date
        return f"{self.dag_id}__{self.task_id}__{date.strftime('%Y%m%d') if date else self.run_id}"

    def environment(self) -> dict[str, str]:
        """What a command that the task starts finds in its environment about the task."""
        date = self._source.dag_run.logical_date
        values = {
            "AIRFLOW_CTX_DAG_ID": self.dag_id,
            "AIRFLOW_CTX_TASK_ID": self.task_id,
            "AIRFLOW_CTX_DAG_RUN_ID": self.run_id,
            "AIRFLOW_CTX_TRY_NUMBER": str(self.try_number),
            "AIRFLOW_CTX_DAG_OWNER": self.task.owner,
            "DAGDECK_DISPATCH_NO": str(self.dispatch_no),
        }
        if date is not None:
            values["AIRFLOW_CTX_LOGICAL_DATE"] = date.isoformat()
        return values

    def __repr__(self) -> str:
        return f"<TaskInstance {self.dag_id}.{self.task_id} {self.run_id}: try {self.try_number}>"

    # ------------------------------------------------------------ context

    def get_template_context(self) -> Context:
        """The context."""
        from dagdeck_task.run_context import make_context

        if self._context is None:
            self._context = make_context(self)
        return self._context

    def render_templates(self, context: Context | None = None, jinja_env: Any = None) -> BaseOperator:
        """Render the task's template fields again, after one was changed; returns the task."""
        self.task.render_template_fields(context or self.get_template_context(), jinja_env)
        return self.task

    def note_rendered_field(self, name: str, value: Any) -> None:
        """Show `value` as the rendered form of a template field that was worked out while the task ran."""
        self.rendered_late[name] = value

    # ------------------------------------------------------------ effects

    def request_skip(self, task_ids: Iterable[str]) -> None:
        """Have these tasks of the run skipped when this one has ended well."""
        self.skipped.update(dict.fromkeys(task_ids))

    def note_followed(self, task_ids: Iterable[str]) -> None:
        """Record the branch that was taken, for people who ask why a task did not run."""
        self.followed = tuple(task_ids)

    # ------------------------------------------------------------ XCom

    def xcom_push(self, key: str, value: Any) -> None:
        """Make `value` available to other tasks under `key`. Raises XComError when it is too big or no data."""
        if not isinstance(key, str) or not key:
            raise AirflowException(f"the key of an XCom is text, not {key!r}")
        backend = custom_backend()
        if backend is None:
            what = "the return value" if key == XCOM_RETURN_KEY else f"XCom {key!r}"
            text = xcom_codec.encode(value, limit=self._source.xcom_limit, what=what)
        else:
            own = {"task_id": self.task_id, "dag_id": self.dag_id, "run_id": self.run_id, "map_index": self.map_index}
            text = serialize(backend, value, self._source.xcom_limit, key=key, **own)
        self._channel.request("xcom_set", {"key": key, "value": text})
        if key == XCOM_RETURN_KEY:
            self.has_returned = True

    def xcom_pull(
        self,
        task_ids: str | Iterable[str] | None = None,
        dag_id: str | None = None,
        key: str = XCOM_RETURN_KEY,
        include_prior_dates: bool = False,
        *,
        map_indexes: int | Iterable[int] | ArgNotSet | None = NOTSET,
        default: Any = None,
        run_id: str | None = None,
    ) -> Any:
        """The value that another task pushed under `key`; for several task ids a list, in their order.

        Without task_ids, this task's own. `default` stands where nothing was pushed. `include_prior_dates`
        falls back to the newest earlier run that has a value. Of an expanded task, all values are a list by map
        index; `map_indexes` chooses one (a number) or several (a list, in their order, with the default for those
        that pushed nothing), and None takes only what a task that is not expanded has pushed.
        """
        single = task_ids is None or isinstance(task_ids, str)
        names = [self.task_id if task_ids is None else str(task_ids)] if single else list(task_ids or ())
        if map_indexes is not None and not isinstance(map_indexes, (int, ArgNotSet)):
            map_indexes = list(map_indexes)
        found = [self._pull(name, dag_id, key, include_prior_dates, map_indexes, default, run_id) for name in names]
        if single:
            return found[0][0]
        return [item for value, is_several in found for item in (value if is_several else [value])]

    def _pull(
        self,
        task_id: str,
        dag_id: str | None,
        key: str,
        prior: bool,
        map_indexes: Any,
        default: Any,
        run_id: str | None,
    ) -> tuple[Any, bool]:
        """The value of one task, and whether it is a list of several instances' values."""
        index = map_indexes if isinstance(map_indexes, int) else None
        if map_indexes is None:
            index = -1
        elif isinstance(map_indexes, ArgNotSet) and task_id == self.task_id and dag_id in (None, self.dag_id):
            index = self.map_index
        arguments = {
            "run_key": self._source.dag_run.run_key,
            "task_id": task_id,
            "map_index": index,
            "key": key,
            "dag_id": dag_id,
            "run_id": run_id,
            "include_prior_dates": prior,
        }
        try:
            pairs = self._channel.request("xcom_get", arguments) or []
        except NotFound:
            pairs = []
        whose = {"key": key, "task_id": task_id, "dag_id": dag_id or self.dag_id, "run_id": run_id or self.run_id}
        if index is not None or (len(pairs) == 1 and pairs[0][0] < 0):
            return (deserialize(pairs[0][1], map_index=pairs[0][0], **whose) if pairs else default), False
        if isinstance(map_indexes, ArgNotSet):
            values = [deserialize(text, map_index=at, **whose) for at, text in pairs]
            return (values, True) if values else (default, False)
        known = dict(pairs)
        return [deserialize(known[at], map_index=at, **whose) if at in known else default for at in map_indexes], True

    def count_xcoms(self, task_id: str, key: str) -> int:
        """How many instances of an expanded task of this run have pushed something under `key`."""
        arguments = {"run_key": self._source.dag_run.run_key, "task_id": task_id, "key": key}
        return int(self._channel.request("xcom_count", arguments))

    def read_xcoms(self, task_id: str, key: str, begin: int, count: int) -> list[Any]:
        """Up to `count` of these values by map index, from the one at position `begin` on."""
        arguments = {
            "run_key": self._source.dag_run.run_key,
            "task_id": task_id,
            "key": key,
            "offset": begin,
            "limit": count,
        }
        whose = {"key": key, "task_id": task_id, "dag_id": self.dag_id, "run_id": self.run_id}
        return [deserialize(text, map_index=at, **whose) for at, text in self._channel.request("xcom_page", arguments)]

    @property
    def expanded_ti_count(self) -> int | None:
        """How many instances the task was expanded into; None when it is not expanded."""
        if self.map_index < 0:
            return None
        arguments = {"run_key": self._source.dag_run.run_key, "task_id": self.task_id}
        return int(self._channel.request("instance_count", arguments))

    # ------------------------------------------------------------ assets

    def ask(self, method: str, arguments: dict[str, Any]) -> Any:
        """The parent's answer to a request. Raises NotFound, RequestFailed."""
        return self._channel.request(method, arguments)

    @property
    def outlet_events(self) -> OutletEventAccessors:
        """What the task adds to the events of its outlets."""
        if self._outlet_events is None:
            from dagdeck_task.asset_events import OutletEventAccessors

            self._outlet_events = OutletEventAccessors(self.task.outlets)
        return self._outlet_events

    # ------------------------------------------------------------ questions about other runs

    def get_previous_dagrun(self, state: str | None = None) -> Any:
        """The fields of the run before this one (in that state), as a dict; None when there is none."""
        date = self._source.dag_run.logical_date
        if date is None:
            return None
        arguments = {"dag_id": self.dag_id, "logical_date": date, "state": state}
        try:
            found: Mapping[str, Any] | None = self._channel.request("previous_dag_run_get", arguments)
        except NotFound:
            return None
        return found

    @staticmethod
    def get_ti_count(
        dag_id: str,
        map_index: int | None = None,
        task_ids: list[str] | None = None,
        task_group_id: str | None = None,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
        states: list[str] | None = None,
    ) -> int:
        """How many task instances of a DAG there are among these, in `states` if given."""
        selection = Selection(
            dag_id=dag_id,
            map_index=map_index,
            task_ids=task_ids,
            task_group_id=task_group_id,
            logical_dates=logical_dates,
            run_ids=run_ids,
        )
        return other_runs.count_tasks(selection, states)

    def get_task_states(
        self,
        dag_id: str | None = None,
        map_index: int | None = None,
        task_ids: list[str] | None = None,
        task_group_id: str | None = None,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
    ) -> Any:
        """States of tasks by run id and task id; without ids or dates those of this run."""
        own = [self.run_id] if run_ids is None and logical_dates is None else run_ids
        selection = Selection(
            dag_id=dag_id or self.dag_id,
            map_index=map_index,
            task_ids=task_ids,
            task_group_id=task_group_id,
            logical_dates=logical_dates,
            run_ids=own,
        )
        return other_runs.task_states(selection)

    @staticmethod
    def get_dr_count(
        dag_id: str,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
        states: list[str] | None = None,
    ) -> int:
        """How many runs of a DAG there are among these, in `states` if given."""
        return other_runs.count_runs(Selection(dag_id=dag_id, logical_dates=logical_dates, run_ids=run_ids), states)

    @staticmethod
    def get_dagrun_state(dag_id: str, run_id: str) -> str:
        """The state of a run. Raises NotFound."""
        return other_runs.run_state(dag_id, run_id)
