"""Rows of the table: operators, sensors, hooks and triggers.

Decides which of Airflow's modules these are found in. Read by `table`.
"""

from __future__ import annotations

from dagdeck.airflow_layer.declaration import Row
from dagdeck.airflow_layer.rows_authoring import COMPAT

_STANDARD = "providers.standard"
_COMPAT_STANDARD = "providers.common.compat.standard"

_BASES = (
    Row(
        home="operator",
        names="BaseOperator",
        now=f"sdk sdk.bases.operator {COMPAT}",
        old="models models.baseoperator operators",
    ),
    Row(home="dagdeck", names="BaseAsyncOperator", now="sdk sdk.bases.operator"),
    Row(
        home="operator",
        names="BaseOperator",
        now="sdk sdk.definitions._internal.abstractoperator:AbstractOperator",
        old="models.abstractoperator:AbstractOperator models.operator:Operator models:Operator",
    ),
    Row(
        home="operators.skipping",
        names="BaseBranchOperator BranchMixIn",
        now=f"sdk sdk.bases.branch {COMPAT} {_STANDARD}.operators.branch",
        old="operators.branch operators.branch_operator",
    ),
    Row(
        home="operators.skipping",
        names="SkipMixin",
        now=f"sdk sdk.bases.skipmixin {COMPAT} {_STANDARD}.utils.skipmixin",
        old="models models.skipmixin operators.python",
    ),
    Row(
        home="sensors.base",
        names="BaseSensorOperator",
        now=f"sdk sdk.bases.sensor {COMPAT}",
        old="sensors.base sensors.base_sensor_operator operators.sensors sensors",
    ),
    Row(home="sensors.base", names="PokeReturnValue", now=f"sdk sdk.bases.sensor {COMPAT}", old="sensors.base"),
    Row(home="sensors.base", names="poke_mode_only", now=f"sdk.bases.sensor {COMPAT}", old="sensors.base"),
    Row(home="dagdeck", names="ResumableJobMixin", now=f"sdk sdk.bases.resumablejobmixin {COMPAT}"),
)

_OPERATORS = (
    Row(
        home="operators.bash",
        names="BashOperator",
        now=f"{_STANDARD}.operators.bash",
        old="operators.bash operators.bash_operator operators",
    ),
    Row(
        home="operators.empty",
        names="EmptyOperator",
        now=f"{_STANDARD}.operators.empty",
        old="operators.empty operators.dummy:DummyOperator operators.dummy_operator:DummyOperator "
        "operators.dummy:EmptyOperator operators:DummyOperator operators.empty:DummyOperator",
    ),
    Row(
        home="operators.python",
        names="PythonOperator BranchPythonOperator ShortCircuitOperator",
        now=f"{_STANDARD}.operators.python",
        old="operators.python operators.python_operator",
    ),
    Row(home="operators.python", names="PythonOperator", now=f"{_STANDARD}.operators.python", old="operators"),
    Row(
        home="operators.python_virtualenv",
        names="PythonVirtualenvOperator ExternalPythonOperator BranchPythonVirtualenvOperator "
        "BranchExternalPythonOperator",
        now=f"{_STANDARD}.operators.python",
        old="operators.python",
    ),
    Row(
        home="operators.python_virtualenv",
        names="PythonVirtualenvOperator",
        now=f"{_STANDARD}.operators.python",
        old="operators.python_operator",
    ),
    Row(
        home="airflow_layer.environments",
        names="is_venv_installed",
        old="operators.python",
        instead="Remove the question: DagDeck makes virtual environments by itself",
    ),
    Row(
        home="decorators.task_decorators",
        names="task",
        now="sdk",
        old="operators.python",
    ),
    Row(
        home="operators.latest_only",
        names="LatestOnlyOperator",
        now=f"{_STANDARD}.operators.latest_only",
        old="operators.latest_only operators.latest_only_operator",
    ),
    Row(
        home="operators.trigger_dagrun",
        names="TriggerDagRunOperator",
        now=f"{_STANDARD}.operators.trigger_dagrun",
        old="operators.trigger_dagrun operators.dagrun_operator",
    ),
    Row(
        home="operators.trigger_dagrun",
        names="DagIsPaused XCOM_DAG_ID XCOM_RUN_ID",
        now=f"{_STANDARD}.operators.trigger_dagrun",
    ),
    Row(
        home="operators.datetime",
        names="BranchDateTimeOperator",
        now=f"{_STANDARD}.operators.datetime",
        old="operators.datetime",
    ),
    Row(
        home="operators.weekday",
        names="BranchDayOfWeekOperator",
        now=f"{_STANDARD}.operators.weekday",
        old="operators.weekday",
    ),
    Row(
        home="operators.email",
        names="EmailOperator",
        stands_in=True,
        now="providers.smtp.operators.smtp",
        old="operators.email operators.email_operator",
    ),
    Row(home="smtp", names="SmtpNotifier", now="providers.smtp.notifications.smtp"),
    Row(
        home="operators.hitl",
        names="HITLOperator ApprovalOperator HITLBranchOperator HITLEntryOperator",
        now=f"{_STANDARD}.operators.hitl",
    ),
    Row(
        home="decorators.custom",
        names="DecoratedOperator",
        now=f"sdk.bases.decorator {COMPAT}",
        old="decorators.base",
    ),
    Row(
        home="decorators.custom",
        names="task_decorator_factory get_unique_task_id",
        now=f"sdk.bases.decorator {COMPAT}",
        old="decorators.base",
    ),
    Row(
        home="decorators.task_decorators",
        names="python_task",
        now=f"{_STANDARD}.decorators.python",
        old="decorators.python",
    ),
    Row(home="decorators.custom", names="unwrap_partial unwrap_callable", now="sdk.bases.decorator"),
    Row(
        home="decorators.custom",
        names="remove_task_decorator",
        now="sdk.definitions._internal.decorators",
        old="utils.decorators",
    ),
    Row(
        home="operators.interpreter_scripts",
        names="write_python_script prepare_virtualenv",
        now=f"{_STANDARD}.utils.python_virtualenv {_COMPAT_STANDARD}.utils",
        old="utils.python_virtualenv",
    ),
    Row(
        home="operators.interpreter_call",
        names="SERIALIZER_LIBRARIES",
        now=f"{_STANDARD}.operators.python:_SERIALIZERS {_COMPAT_STANDARD}.operators:_SERIALIZERS",
        old="operators.python:_SERIALIZERS",
    ),
    Row(home="operator", names="BaseOperator", now=f"{_COMPAT_STANDARD}.operators"),
    Row(home="dagdeck", names="BaseAsyncOperator", now=f"{_COMPAT_STANDARD}.operators {COMPAT}"),
    Row(home="runtime", names="get_current_context", now=f"{_COMPAT_STANDARD}.operators"),
    Row(home="async_operator", names="is_async_callable", now=f"{_COMPAT_STANDARD}.operators {COMPAT}"),
    Row(home="operators.python", names="PythonOperator ShortCircuitOperator", now=f"{_COMPAT_STANDARD}.operators"),
    Row(home="triggers.temporal", names="TimeDeltaTrigger", now=f"{_COMPAT_STANDARD}.triggers"),
    Row(
        home="decorators.operators",
        names="_PythonDecoratedOperator",
        now=f"{_STANDARD}.decorators.python",
        old="decorators.python",
    ),
)

_SENSORS = (
    Row(
        home="sensors.python",
        names="PythonSensor",
        now=f"{_STANDARD}.sensors.python",
        old="sensors.python contrib.sensors.python_sensor",
    ),
    Row(
        home="sensors.bash",
        names="BashSensor",
        now=f"{_STANDARD}.sensors.bash",
        old="sensors.bash contrib.sensors.bash_sensor",
    ),
    Row(
        home="sensors.filesystem",
        names="FileSensor",
        now=f"{_STANDARD}.sensors.filesystem",
        old="sensors.filesystem contrib.sensors.file_sensor",
    ),
    Row(
        home="sensors.external_task",
        names="ExternalTaskSensor ExternalTaskMarker",
        now=f"{_STANDARD}.sensors.external_task",
        old="sensors.external_task sensors.external_task_sensor",
    ),
    Row(
        home="sensors.external_task",
        names="ExternalTaskSensor",
        now=f"{_STANDARD}.sensors.external_task",
        old="operators.sensors sensors",
    ),
    Row(
        home="sensors.date_time",
        names="DateTimeSensor DateTimeSensorAsync",
        now=f"{_STANDARD}.sensors.date_time",
        old="sensors.date_time",
    ),
    Row(
        home="sensors.date_time",
        names="DateTimeSensor",
        now=f"{_STANDARD}.sensors.date_time",
        old="sensors.date_time_sensor",
    ),
    Row(home="sensors.time", names="TimeSensor TimeSensorAsync", now=f"{_STANDARD}.sensors.time"),
    Row(
        home="sensors.time",
        names="TimeSensor TimeSensorAsync",
        now=f"{_STANDARD}.sensors.time",
        old="sensors.time_sensor operators.sensors",
    ),
    Row(
        home="sensors.time_delta",
        names="TimeDeltaSensor TimeDeltaSensorAsync",
        now=f"{_STANDARD}.sensors.time_delta",
        old="sensors.time_delta sensors.time_delta_sensor operators.sensors",
    ),
    Row(home="sensors.time_delta", names="WaitSensor", now=f"{_STANDARD}.sensors.time_delta", old="sensors.time_delta"),
    Row(
        home="sensors.weekday",
        names="DayOfWeekSensor",
        now=f"{_STANDARD}.sensors.weekday",
        old="sensors.weekday contrib.sensors.weekday_sensor",
    ),
)

_HOOKS = (
    Row(
        home="hooks.package_index",
        names="PackageIndexHook",
        now=f"{_STANDARD}.hooks.package_index",
        old="hooks.package_index",
    ),
    Row(
        home="hooks.filesystem",
        names="FSHook",
        now=f"{_STANDARD}.hooks.filesystem",
        old="hooks.filesystem contrib.hooks.fs_hook",
    ),
    Row(home="hooks.package_index", names="PackageIndexHook", now=f"{_STANDARD}.hooks.package_index"),
    Row(
        home="hooks.subprocess",
        names="SubprocessHook SubprocessResult",
        now=f"{_STANDARD}.hooks.subprocess",
        old="hooks.subprocess",
    ),
)

_TRIGGERS = (
    Row(
        home="triggers.base",
        names="BaseTrigger TriggerEvent BaseEventTrigger StartTriggerArgs TaskSuccessEvent TaskFailedEvent "
        "TaskSkippedEvent BaseTaskEndEvent",
        now="triggers.base",
    ),
    Row(home="triggers.base", names="BaseTrigger TriggerEvent", now="providers.common.compat.triggers"),
    Row(
        home="triggers.temporal",
        names="DateTimeTrigger TimeDeltaTrigger",
        now=f"{_STANDARD}.triggers.temporal",
        old="triggers.temporal",
    ),
    Row(
        home="triggers.file",
        names="FileTrigger FileDeleteTrigger DirectoryFileDeleteTrigger",
        now=f"{_STANDARD}.triggers.file",
    ),
    Row(home="triggers.file", names="FileTrigger", now=f"{_STANDARD}.triggers.file", old="triggers.file"),
    Row(
        home="triggers.external_task",
        names="WorkflowTrigger DagStateTrigger",
        now=f"{_STANDARD}.triggers.external_task",
        old="triggers.external_task",
    ),
)

ROWS = (*_BASES, *_OPERATORS, *_SENSORS, *_HOOKS, *_TRIGGERS)
