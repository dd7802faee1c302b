"""DAG: tasks, how they depend on each other, and when they run by themselves.

Decides what a DAG may be made of. Does not decide its runs (the scheduler reads the spec that
`dagdeck.serialize` makes of it). Used in DAG files as context manager, constructor or through `@dag`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagdeck import argument_types as types
from dagdeck import old_keywords, scope
from dagdeck.airflow2_attributes import DagAttributes
from dagdeck.deadlines import alerts
from dagdeck.exceptions import (
    InvalidArguments,
    ParamValidationError,
    TaskNotFound,
    close_match,
    invalid,
    unavailable,
)
from dagdeck.groups import TaskGroup
from dagdeck.keys import check_key
from dagdeck.params import DagParam, ParamsDict
from dagdeck.timetables import read_schedule, zone_name
from dagdeck.xcom_arg import NOTSET

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator

TAG_LENGTH = 100
DEFAULT_MAX_ACTIVE = 16


class DAG(DagAttributes):
    """A DAG. Arguments, defaults and meaning are those of Airflow 3.3.

    Raises UserError, which is also a ValueError or TypeError, naming the DAG, the argument and its value.
    """

    def __init__(
        self,
        dag_id: str,
        *,
        description: str | None = None,
        schedule: Any = NOTSET,
        start_date: datetime | str | None = None,
        end_date: datetime | str | None = None,
        template_searchpath: str | Iterable[str] | None = None,
        template_undefined: Any = None,
        user_defined_macros: Mapping[str, Any] | None = None,
        user_defined_filters: Mapping[str, Callable[..., Any]] | None = None,
        default_args: Mapping[str, Any] | None = None,
        max_active_tasks: int | None = None,
        max_active_runs: int | None = None,
        max_consecutive_failed_dag_runs: int | None = None,
        dagrun_timeout: timedelta | None = None,
        catchup: bool | None = None,
        on_success_callback: Any = None,
        on_failure_callback: Any = None,
        doc_md: str | None = None,
        params: Mapping[str, Any] | None = None,
        access_control: Mapping[str, Any] | None = None,
        is_paused_upon_creation: bool | None = None,
        jinja_environment_kwargs: Mapping[str, Any] | None = None,
        render_template_as_native_obj: bool = False,
        tags: Collection[str] | None = None,
        owner_links: Mapping[str, str] | None = None,
        auto_register: bool = True,
        fail_fast: bool = False,
        dag_display_name: str | None = None,
        deadline: Any = None,
        disable_bundle_versioning: bool | None = None,
        rerun_with_latest_version: bool | None = None,
        allowed_run_types: Collection[Any] | None = None,
        **others: Any,
    ) -> None:
        old: dict[str, Any] = {}
        if others:
            old, unknown = old_keywords.for_dag(dag_id, others)
            self._refuse_unknown(dag_id, unknown)
            max_active_tasks = old.get("max_active_tasks", max_active_tasks)
            fail_fast = old.get("fail_fast", fail_fast)
        self.dag_id = check_key(dag_id, subject=f"dag {dag_id!r}", field="dag_id")
        self.deadline = alerts(deadline, **self._at("deadline"))
        self.description = description
        self.doc_md = doc_md
        self.dag_display_name = dag_display_name or dag_id
        self.access_control = dict(access_control or {})
        self.is_paused_upon_creation = is_paused_upon_creation
        self.render_template_as_native_obj = bool(render_template_as_native_obj)
        self.template_searchpath = list(types.strings(template_searchpath, **self._at("template_searchpath")))
        self.template_undefined = template_undefined
        self._set_template_names(user_defined_macros, user_defined_filters, jinja_environment_kwargs)
        self.on_success_callback = on_success_callback
        self.on_failure_callback = on_failure_callback
        self.auto_register = auto_register
        self.fail_fast = bool(fail_fast)
        self.disable_bundle_versioning = disable_bundle_versioning
        self.rerun_with_latest_version = rerun_with_latest_version
        self.allowed_run_types = allowed_run_types
        self.fileloc = _defining_file()
        self.task_dict: dict[str, BaseOperator] = {}
        self.task_group_dict: dict[str, TaskGroup] = {}
        self.edge_info: dict[str, dict[str, str]] = {}
        self.highest_suffixes: dict[str, int] = {}
        self.partials: list[Any] = []
        """Weak references to what `.partial()` gave, to tell of those that nobody expanded."""
        self.task_group = TaskGroup(None, dag=self)
        self.has_airflow2_dates = "schedule_interval" in others
        """Whether its runs have Airflow 2's data intervals, and catch up unless told otherwise."""
        self._set_dates(start_date, end_date, default_args)
        self._set_limits(max_active_tasks, max_active_runs, max_consecutive_failed_dag_runs, dagrun_timeout)
        self._set_people(tags, owner_links)
        self._set_schedule(self._given_schedule(schedule, old), catchup)
        self._set_params(params)

    def _set_template_names(
        self,
        macros: Mapping[str, Any] | None,
        filters: Mapping[str, Callable[..., Any]] | None,
        environment: Mapping[str, Any] | None,
    ) -> None:
        self.user_defined_macros = dict(macros or {})
        self.user_defined_filters = dict(filters or {})
        self.jinja_environment_kwargs = dict(environment or {})

    def _at(self, field: str) -> dict[str, Any]:
        return {"subject": f"dag {self.dag_id!r}", "field": field}

    @staticmethod
    def _refuse_unknown(dag_id: object, unknown: Mapping[str, Any]) -> None:
        if not unknown:
            return
        name = next(iter(unknown))
        known = inspect.signature(DAG.__init__).parameters
        raise invalid(
            f"DAG takes no argument {name!r}{close_match(name, known)}",
            subject=f"dag {dag_id!r}",
            field=name,
            value=unknown[name],
            remedy="Remove it or correct its name",
            error=InvalidArguments,
        )

    def _set_dates(self, start_date: Any, end_date: Any, default_args: Mapping[str, Any] | None) -> None:
        self.default_args: dict[str, Any] = dict(default_args or {})
        for field in ("start_date", "end_date"):
            if self.default_args.get(field) is not None:
                value = self.default_args[field]
                self.default_args[field] = types.moment(value, **self._at(f"default_args[{field!r}]"))
        self.start_date = None if start_date is None else types.moment(start_date, **self._at("start_date"))
        self.end_date = None if end_date is None else types.moment(end_date, **self._at("end_date"))
        first = self.start_date or self.default_args.get("start_date")
        self.timezone = zone_name(first.tzinfo if first else None, **self._at("start_date"))

    def _set_limits(self, tasks: int | None, runs: int | None, failures: int | None, timeout: Any) -> None:
        def limit(value: int | None, default: int, low: int, field: str) -> int:
            return default if value is None else types.whole_number(value, low=low, **self._at(field))

        self.max_active_tasks = limit(tasks, DEFAULT_MAX_ACTIVE, 1, "max_active_tasks")
        self.max_active_runs = limit(runs, DEFAULT_MAX_ACTIVE, 1, "max_active_runs")
        self.max_consecutive_failed_dag_runs = limit(failures, 0, 0, "max_consecutive_failed_dag_runs")
        self.dagrun_timeout: timedelta | None = None
        if timeout is not None:
            self.dagrun_timeout = types.strict_timedelta(timeout, **self._at("dagrun_timeout"))

    def _set_people(self, tags: Collection[str] | None, owner_links: Mapping[str, str] | None) -> None:
        self.tags: set[str] = set(types.strings(tags, **self._at("tags")))
        for tag in sorted(self.tags):
            if not tag or len(tag) > TAG_LENGTH:
                raise invalid(f"a tag has 1 to {TAG_LENGTH} characters", value=tag, **self._at("tags"))
        self.owner_links = dict(owner_links or {})
        for owner, link in self.owner_links.items():
            if not str(link).startswith(("http://", "https://", "mailto:")):
                raise invalid(
                    f"the link of owner {owner!r} is neither a web address nor mailto:",
                    value=link,
                    **self._at("owner_links"),
                )

    def _given_schedule(self, schedule: Any, old: Mapping[str, Any]) -> Any:
        """The schedule, under whichever name it was given."""
        self.schedule_is_given = schedule is not NOTSET or "schedule" in old
        """Whether its author has said when it runs, if only that it never does by itself."""
        schedule = None if schedule is NOTSET else schedule
        given = old.get("schedule")
        if given is not None and schedule is not None:
            raise invalid(
                "only one of schedule and schedule_interval can be given", value=given, **self._at("schedule_interval")
            )
        return schedule if given is None else given

    def _set_schedule(self, schedule: Any, catchup: bool | None) -> None:
        self.schedule = schedule
        self.timetable, self.asset_condition = read_schedule(
            schedule,
            timezone=self.timezone,
            cron_data_intervals=self.has_airflow2_dates,
            delta_data_intervals=self.has_airflow2_dates,
            **self._at("schedule"),
        )
        self.catchup = bool(catchup)
        self.catchup_is_given = catchup is not None
        if (
            self.catchup
            and not self.has_airflow2_dates
            and self.timetable.can_be_scheduled
            and not (self.start_date or self.default_args.get("start_date"))
        ):
            raise invalid("catchup=True needs a start_date", **self._at("start_date"))
        limit = self.timetable.active_runs_limit
        if limit is not None and self.max_active_runs > limit:
            raise invalid(
                f"this schedule allows at most {limit} active run{'s' if limit > 1 else ''}",
                value=self.max_active_runs,
                remedy=f"Set max_active_runs={limit}",
                **self._at("max_active_runs"),
            )

    def _set_params(self, params: Mapping[str, Any] | None) -> None:
        self.params = ParamsDict(self.default_args.get("params"))
        self.params.update(params or {})
        self.default_args.pop("params", None)
        if not self.timetable.can_be_scheduled:
            return
        try:
            self.params.validate()
        except ParamValidationError as error:
            raise invalid(
                f"a DAG with a schedule needs params whose defaults are valid: {error}",
                remedy="Give each param a valid default, or set schedule=None",
                **self._at("params"),
            ) from error

    # ------------------------------------------------------------ with DAG(...)

    def __enter__(self) -> DAG:
        scope.enter_group(self.task_group)
        if self.auto_register:
            scope.register(self)
        return self

    def __exit__(self, *_: object) -> None:
        scope.leave_group()

    def __repr__(self) -> str:
        return f"<DAG: {self.dag_id}>"

    # ------------------------------------------------------------ tasks

    @property
    def tasks(self) -> list[BaseOperator]:
        """Its tasks, in the order they were made."""
        return list(self.task_dict.values())

    @property
    def task_ids(self) -> list[str]:
        """The ids of its tasks."""
        return list(self.task_dict)

    @property
    def roots(self) -> list[BaseOperator]:
        """Its tasks without upstream."""
        return [task for task in self.tasks if not task.upstream_task_ids]

    @property
    def leaves(self) -> list[BaseOperator]:
        """Its tasks without downstream."""
        return [task for task in self.tasks if not task.downstream_task_ids]

    @property
    def owner(self) -> str:
        """The owners of its tasks, with commas."""
        return ", ".join(sorted({task.owner for task in self.tasks}))

    @property
    def folder(self) -> str:
        """The folder of the DAG file."""
        return str(Path(self.fileloc).parent)

    @property
    def has_on_success_callback(self) -> bool:
        """Whether something is to be called when a run succeeds."""
        return bool(self.on_success_callback)

    @property
    def has_on_failure_callback(self) -> bool:
        """Whether something is to be called when a run fails."""
        return bool(self.on_failure_callback)

    def add_task(self, task: BaseOperator) -> None:
        """Take in a task. Raises DuplicateTaskIdFound (through its group) for a taken id."""
        if self.task_dict.get(task.task_id) is task:
            return
        if task.task_group is None or task.task_group.dag is not self:
            self.task_group.add(task)
        self.task_dict[task.task_id] = task
        if task._dag is None:
            task._dag = self

    def add_result(self, result: Any) -> Any:
        """Mark the task behind an XComArg as giving the DAG's result; returns the XComArg."""
        result.operator.returns_dag_result = True
        return result

    def has_task(self, task_id: str) -> bool:
        """Whether it has a task with this id."""
        return task_id in self.task_dict

    def get_task(self, task_id: str) -> BaseOperator:
        """The task with this id. Raises TaskNotFound."""
        task = self.task_dict.get(task_id)
        if task is None:
            raise TaskNotFound(f"dag {self.dag_id!r} has no task {task_id!r}{close_match(task_id, self.task_dict)}")
        return task

    def param(self, name: str, default: Any = NOTSET) -> DagParam:
        """A stand-in for the value that param `name` has when a task runs."""
        return DagParam(self, name, default)

    def set_edge_label(self, upstream_task_id: str, downstream_task_id: str, label: str) -> None:
        """Put a text on the edge between two tasks."""
        self.edge_info.setdefault(upstream_task_id, {})[downstream_task_id] = label

    def get_edge_info(self, upstream_task_id: str, downstream_task_id: str) -> dict[str, str]:
        """`{"label": text}` of an edge, or nothing."""
        label = self.edge_info.get(upstream_task_id, {}).get(downstream_task_id)
        return {"label": label} if label else {}

    def topological_sort(self) -> tuple[BaseOperator, ...]:
        """Its tasks, each after those it depends on. Raises AirflowDagCycleException."""
        from dagdeck.ordering import topological_order

        return tuple(self.task_dict[task_id] for task_id in topological_order(self))

    def get_template_env(self, *, force_sandboxed: bool = False) -> Any:
        """The Jinja environment in which its tasks' templates are rendered."""
        from dagdeck.templating import environment_for

        return environment_for(self, force_sandboxed=force_sandboxed)

    # ------------------------------------------------------------ running without a cluster

    def test(
        self,
        logical_date: datetime | None = NOTSET,  # type: ignore[assignment]
        run_conf: Mapping[str, Any] | None = None,
        conn_file_path: str | None = None,
        variable_file_path: str | None = None,
        use_executor: bool = False,
        mark_success_pattern: Any = None,
        run_after: datetime | None = None,
        responder: Any = None,
    ) -> Any:
        """Run the DAG once in this process and return the finished run, for authors and debuggers.

        `conn_file_path` and `variable_file_path` name JSON files with what tasks may ask for; tasks whose id
        matches `mark_success_pattern` succeed without being run. `responder(task_id, question)` answers what tasks
        ask people; without it nobody answers in time, so defaults count. No database, queue or daemon is used.
        """
        if use_executor:
            raise unavailable("dag.test(use_executor=True)", "Start `dagdeckd standalone` and trigger the DAG")
        # The runner builds on this package, so it cannot be imported from here at the top.
        import importlib

        in_process = importlib.import_module("dagdeck_task.in_process")
        return in_process.run_dag(
            self,
            logical_date=logical_date,
            run_conf=run_conf,
            connections_file=conn_file_path,
            variables_file=variable_file_path,
            mark_success_pattern=mark_success_pattern,
            run_after=run_after,
            responder=responder,
        )


def _defining_file() -> str:
    """The file of the nearest caller outside this package."""
    here = str(Path(__file__).parent)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return frame.f_code.co_filename
