"""A DAG as the spec that is stored: everything about it that does not need its code.

Decides how each attribute of a DAG becomes a field of `dagdeck_core.spec.DagSpec`, and refuses DAGs that
cannot run. Does not store anything. Called by the DAG processor's parsing child, by the runner (retry
rules need the task's spec) and by `dag.test()`.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from dagdeck import listeners, operator_link, xcom_codec
from dagdeck.assets import Asset, AssetAlias, AssetRef, AssetWatcher
from dagdeck.dags import DAG
from dagdeck.exceptions import AirflowException, ParamValidationError, invalid
from dagdeck.groups import TaskGroup
from dagdeck.json_view import viewed
from dagdeck.mapping.mapped_group import MappedTaskGroup
from dagdeck.operator import BaseOperator
from dagdeck.operator_defaults import link_template_fields
from dagdeck.operators.empty import EmptyOperator
from dagdeck.operators.skipping import SkipMixin
from dagdeck.ordering import topological_order
from dagdeck.params import Param, ParamsDict
from dagdeck.priority import weights_of
from dagdeck.timetables import read_schedule
from dagdeck.xcom_codec import XComError
from dagdeck_core.limits import limits_of
from dagdeck_core.spec import (
    DagSpec,
    ParamSpec,
    ReferenceSpec,
    StartTriggerSpec,
    TaskGroupSpec,
    TaskSpec,
    TriggerRule,
    WatcherSpec,
)
from dagdeck_core.validate import Severity, validate

OWN_PROCESS = "own_process"
"""Key of executor_config: true asks for a process forked for this task alone."""
_CALLBACKS = tuple(f"on_{moment}_callback" for moment in ("execute", "failure", "success", "retry", "skipped"))


def serialize_dag(
    dag: DAG,
    *,
    root: str | Path | None = None,
    cron_data_intervals: bool = False,
    delta_data_intervals: bool = False,
    catchup_by_default: bool = False,
) -> DagSpec:
    """The spec of `dag`.

    `root` is the folder that the stored file path is relative to. `cron_data_intervals` gives plain cron strings data
    intervals, `delta_data_intervals` timedeltas, and `catchup_by_default` catches up DAGs that do not say and have a
    start date, as settings of the cluster may ask. Raises UserError naming DAG, task, field, value and remedy.
    """
    finish_definition(dag)
    timetable, condition = read_schedule(
        dag.schedule,
        timezone=dag.timezone,
        subject=f"dag {dag.dag_id!r}",
        field="schedule",
        cron_data_intervals=cron_data_intervals or dag.has_airflow2_dates,
        delta_data_intervals=delta_data_intervals or dag.has_airflow2_dates,
    )
    params = _params(dag.params, f"dag {dag.dag_id!r}")
    listening = listeners.get_listener_manager()
    spec = DagSpec(
        dag_id=dag.dag_id,
        fileloc=_relative(dag.fileloc, root),
        display_name=_unless(dag.dag_display_name, dag.dag_id),
        description=dag.description,
        doc_md=_document(dag.doc_md, dag.folder),
        tags=tuple(sorted(dag.tags)),
        owner_links=dag.owner_links,
        timetable=timetable.spec,
        timezone=dag.timezone,
        start_date=_utc(first_date(dag)),
        end_date=_utc(last_date(dag)),
        catchup=dag.catchup if dag.catchup_is_given else _catches_up(dag, catchup_by_default or dag.has_airflow2_dates),
        max_active_runs=dag.max_active_runs,
        max_active_tasks=dag.max_active_tasks,
        max_consecutive_failed_dag_runs=dag.max_consecutive_failed_dag_runs,
        dagrun_timeout=_seconds(dag.dagrun_timeout),
        is_paused_upon_creation=dag.is_paused_upon_creation,
        fail_fast=dag.fail_fast,
        render_template_as_native_obj=dag.render_template_as_native_obj,
        has_on_success_callback=dag.has_on_success_callback or listening.wants("on_dag_run_success"),
        has_on_failure_callback=dag.has_on_failure_callback or listening.wants("on_dag_run_failed"),
        has_on_running_listener=listening.wants("on_dag_run_running"),
        asset_listeners=tuple(name for name in listeners.OF_ASSETS if listening.wants(name)),
        params=params,
        param_order=() if list(params) == sorted(params) else tuple(params),
        default_args=viewed(dag.default_args),
        access_control=viewed(dag.access_control),
        deadlines=tuple(alert.spec() for alert in dag.deadline),
        asset_expression=None if condition is None else condition.as_expression(),
        schedule_assets=() if condition is None else _references(list(condition.iter_assets())),
        tasks=tuple(serialize_task(dag.task_dict[task_id]) for task_id in topological_order(dag)),
        groups=tuple(_group(group) for group in dag.task_group.groups()),
    )
    for finding in validate(spec):
        if finding.severity is Severity.ERROR:
            raise finding.as_error(f"{spec.fileloc}: dag {spec.dag_id!r}")
    return spec


def finish_definition(dag: DAG) -> None:
    """Take in what was assigned to template fields after a task was made, and check the DAG as a whole.

    Raises UserError. Doing it twice is harmless.
    """
    for task in dag.tasks:
        link_template_fields(task)
    for task in dag.tasks:
        _check_relations(dag, task)
        _check_mapping(dag, task)
    _warn_of_unexpanded(dag)


def _check_mapping(dag: DAG, task: BaseOperator) -> None:
    group = task.task_group
    if group is not None and task.trigger_rule is TriggerRule.ALWAYS and group.is_mapped_inside:
        raise invalid(
            "Task-generated mapping within a mapped task group is not allowed with trigger rule 'always'",
            subject=f"dag {dag.dag_id!r}, task {task.task_id!r}",
            field="trigger_rule",
            value=task.trigger_rule.value,
            remedy="Use all_done",
        )


def _warn_of_unexpanded(dag: DAG) -> None:
    """Tell of each `.partial()` that was kept and never expanded: the author meant a task that is not there."""
    for reference in dag.partials:
        partial = reference()
        if partial is not None and not partial.is_expanded:
            task_id = partial.arguments.get("task_id", "?")
            warnings.warn(f"dag {dag.dag_id!r}: Task {task_id!r} was never mapped!", UserWarning, stacklevel=2)
            partial.is_expanded = True


def _check_relations(dag: DAG, task: BaseOperator) -> None:
    subject = f"dag {dag.dag_id!r}, task {task.task_id!r}"
    for other in sorted(task.upstream_task_ids | task.downstream_task_ids):
        if other not in dag.task_dict:
            raise invalid(
                "it is connected to a task that the DAG does not have", subject=subject, field="upstream", value=other
            )
    if dag.fail_fast and task.trigger_rule is not TriggerRule.ALL_SUCCESS and not task.is_teardown:
        raise invalid(
            "a DAG with fail_fast has tasks with the default trigger rule only",
            subject=subject,
            field="trigger_rule",
            value=task.trigger_rule.value,
            remedy="Use all_success, or drop fail_fast",
        )
    if task.is_setup:
        for follower in task.downstream_list:
            if not follower.is_teardown and follower.trigger_rule is not TriggerRule.ALL_SUCCESS:
                raise invalid(
                    f"it follows the setup task {task.task_id!r} and so needs the trigger rule all_success",
                    subject=f"dag {dag.dag_id!r}, task {follower.task_id!r}",
                    field="trigger_rule",
                    value=follower.trigger_rule.value,
                )


def serialize_task(task: BaseOperator) -> TaskSpec:
    """The spec of one task. Raises UserError."""
    cls = task.operator_class
    group = task.task_group
    subject = f"dag {task.dag_id!r}, task {task.task_id!r}"
    links = operator_link.links_of(task)
    callbacks: dict[str, Any] = {f"has_{name}": bool(getattr(task, name)) for name in _CALLBACKS}
    limits = limits_of(task.executor_config)
    return TaskSpec(
        task_id=task.task_id,
        task_type=cls.__name__,
        module=cls.__module__,
        display_name=_unless(task.task_display_name, task.task_id),
        operator_name=_unless(task.operator_name, cls.__name__),
        group_id=group.group_id if group is not None else None,
        upstream=tuple(sorted(task.upstream_task_ids)),
        edge_labels=dict(sorted(task.dag.edge_info.get(task.task_id, {}).items())),
        owner=task.owner,
        trigger_rule=task.trigger_rule,
        retries=task.retries,
        retry_delay=task.retry_delay.total_seconds(),
        retry_exponential_backoff=task.retry_exponential_backoff,
        max_retry_delay=_seconds(task.max_retry_delay),
        execution_timeout=_seconds(task.execution_timeout),
        depends_on_past=task.depends_on_past,
        ignore_first_depends_on_past=task.ignore_first_depends_on_past,
        wait_for_downstream=task.wait_for_downstream,
        wait_for_past_depends_before_skipping=task.wait_for_past_depends_before_skipping,
        start_date=_utc(task.start_date),
        end_date=_utc(task.end_date),
        pool=task.pool,
        pool_slots=task.pool_slots,
        priority_weight=task.priority_weight,
        weight_rule=task.weight_rule,
        weights=weights_of(task),
        queue=task.queue,
        executor=task.executor,
        executor_config=viewed(task.executor_config),
        run_as_user=task.run_as_user,
        max_active_tis_per_dag=task.max_active_tis_per_dag,
        max_active_tis_per_dagrun=task.max_active_tis_per_dagrun,
        is_setup=task.is_setup,
        is_teardown=task.is_teardown,
        on_failure_fail_dagrun=task.on_failure_fail_dagrun,
        is_empty=_is_empty(task),
        is_sensor=bool(getattr(task, "is_sensor", False)),
        can_skip_downstream=issubclass(cls, SkipMixin),
        start_trigger=_start_trigger(task) if task.start_from_trigger else None,
        own_process=bool(task.executor_config.get(OWN_PROCESS) or task.run_as_user or limits),
        limits=limits,
        has_retry_policy=task.retry_policy is not None,
        inlets=_references(task.inlets),
        outlets=_references(task.outlets),
        do_xcom_push=task.do_xcom_push,
        multiple_outputs=task.multiple_outputs,
        template_fields=tuple(task.template_fields),
        template_fields_renderers=dict(task.template_fields_renderers),
        template_values=_template_values(task),
        params=_params(ParamsDict(task._own_params), subject),
        map_index_template=task.map_index_template,
        marker=getattr(task, "marker_spec", None),
        mapped=task.expand_input.spec() if task.is_mapped else None,
        extra_links=tuple(links),
        extra_link_keys=tuple(map(operator_link.key_of, links.values())),
        doc_md=_document(task.doc_md, task.dag.folder),
        ui_color=task.ui_color,
        ui_fgcolor=task.ui_fgcolor,
        email=tuple(task.email or ()),
        **callbacks,
    )


def _start_trigger(task: BaseOperator) -> StartTriggerSpec | None:
    """The trigger in which the task begins; None where a worker has to begin it."""
    from dagdeck.start_triggers import start_trigger_spec  # few tasks begin so

    return start_trigger_spec(task)


def _is_empty(task: BaseOperator) -> bool:
    """Whether running the task could have no effect at all, so that the scheduler may complete it itself."""
    cls = task.operator_class
    return (
        issubclass(cls, EmptyOperator)
        and cls.execute is EmptyOperator.execute
        and cls.pre_execute is BaseOperator.pre_execute
        and cls.post_execute is BaseOperator.post_execute
        and task._pre_execute_hook is None
        and task._post_execute_hook is None
        and not task.outlets
        and not getattr(task, "needs_rendering", False)
        and not any(getattr(task, name) for name in _CALLBACKS)
    )


def _template_values(task: BaseOperator) -> dict[str, Any]:
    if task.is_mapped:
        known = task.field_values()
        values = {field: known.get(field) for field in task.template_fields}
    else:
        values = {field: getattr(task, field, None) for field in task.template_fields}
    return {field: viewed(value, name=field) for field, value in values.items() if value not in (None, (), [], {})}


def _params(params: ParamsDict, subject: str) -> dict[str, ParamSpec]:
    return {name: _param(name, param, subject) for name, param in params.items_as_params()}


def _param(name: str, param: Param, subject: str) -> ParamSpec:
    """A param; a default that breaks its own schema is allowed until the DAG has a schedule (DAG checks that)."""
    try:
        param.resolve(suppress_exception=True)
    except ParamValidationError as error:
        raise invalid(str(error), subject=subject, field=f"params[{name!r}]") from error
    return ParamSpec(
        value=param.value if param.has_value else None,
        has_value=param.has_value,
        description=param.description,
        schema=viewed(param.schema),
    )


def _references(items: list[Any]) -> tuple[ReferenceSpec, ...]:
    found = []
    for item in items:
        if isinstance(item, Asset):
            found.append(
                ReferenceSpec(
                    kind="asset",
                    name=item.name,
                    uri=item.uri,
                    group=item.group,
                    extra=viewed(item.extra),
                    watchers=tuple(_watcher(watcher) for watcher in item.watchers),
                )
            )
        elif isinstance(item, AssetAlias):
            found.append(ReferenceSpec(kind="alias", name=item.name, group=item.group))
        elif isinstance(item, AssetRef):
            found.append(ReferenceSpec(kind="ref", name=item.name, uri=item.uri))
    return tuple(found)


def _watcher(watcher: AssetWatcher) -> WatcherSpec:
    class_path, kwargs = watcher.trigger.serialize()
    try:
        return WatcherSpec(name=watcher.name, class_path=class_path, kwargs=xcom_codec.to_json(kwargs, "kwargs"))
    except XComError as error:
        raise invalid(
            "a trigger that watches an asset is written down with its arguments, which is not possible here",
            subject=f"AssetWatcher {watcher.name!r}",
            field="trigger",
            value=str(error),
            remedy="Let serialize() give a class path and a dict of plain values",
        ) from error


def _group(group: TaskGroup) -> TaskGroupSpec:
    parent = group.parent_group
    return TaskGroupSpec(
        group_id=group.node_id,
        parent_id=parent.group_id if parent is not None else None,
        label=group.label or "",
        tooltip=group.tooltip,
        prefix_group_id=group.prefix_group_id,
        upstream_group_ids=tuple(sorted(group.upstream_group_ids)),
        upstream_task_ids=tuple(sorted(group.upstream_task_ids)),
        downstream_group_ids=tuple(sorted(group.downstream_group_ids)),
        downstream_task_ids=tuple(sorted(group.downstream_task_ids)),
        mapped=group.expand_input.spec() if isinstance(group, MappedTaskGroup) else None,
        ui_color=group.ui_color,
        ui_fgcolor=group.ui_fgcolor,
    )


def _relative(fileloc: str, root: str | Path | None) -> str:
    path = Path(fileloc)
    if root is not None:
        try:
            return PurePosixPath(path.resolve().relative_to(Path(root).resolve())).as_posix()
        except ValueError:
            pass
    return path.name


def _document(doc_md: Any, folder: str) -> str | None:
    """The text of doc_md; the name of a .md file beside the DAG file stands for what it holds."""
    if not isinstance(doc_md, str):
        return None
    if doc_md.endswith(".md") and "\n" not in doc_md:
        try:
            return Path(folder, doc_md).read_text(encoding="utf-8")
        except OSError as error:
            raise AirflowException(f"doc_md names a file that cannot be read: {doc_md}: {error}") from error
    return doc_md


def _unless(value: str | None, usual: str) -> str | None:
    return None if value == usual else value


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


def _catches_up(dag: DAG, by_default: bool) -> bool:
    """What the cluster's default means for a DAG without `catchup=`: nothing without a date to begin at."""
    return by_default and first_date(dag) is not None


def first_date(dag: DAG) -> datetime | None:
    """Where the DAG's runs begin: at its own start_date, else at the earliest of its tasks."""
    own = dag.start_date or dag.default_args.get("start_date")
    dates = [task.start_date for task in dag.tasks if task.start_date is not None] if own is None else []
    return min(dates, default=own)


def last_date(dag: DAG) -> datetime | None:
    """Where the DAG's runs end: at its own end_date, else at the latest of its tasks when all of them have one."""
    own = dag.end_date or dag.default_args.get("end_date")
    dates = [task.end_date for task in dag.tasks if task.end_date is not None] if own is None else []
    return max(dates) if dates and len(dates) == len(dag.tasks) else own


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    plain = datetime(*value.timetuple()[:6], value.microsecond, tzinfo=value.tzinfo, fold=value.fold)
    return plain.astimezone(UTC)
