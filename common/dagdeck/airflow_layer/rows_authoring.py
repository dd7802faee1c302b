"""Rows of the table: DAGs, tasks, groups, values, schedules and assets.

Decides which of Airflow's modules these are found in. Read by `table`.
"""

from __future__ import annotations

from dagdeck.airflow_layer.declaration import Row

COMPAT = "providers.common.compat.sdk"

_DAGS = (
    Row(home="dags", names="DAG", now=f"sdk sdk.definitions.dag . {COMPAT}", old="models models.dag"),
    Row(
        home="decorators.dag_decorator",
        names="dag",
        now=f"sdk sdk.definitions.dag {COMPAT}",
        old="decorators models.dag",
    ),
    Row(
        home="decorators.task_decorators",
        names="task",
        now=f"sdk sdk.definitions.decorators {COMPAT}",
        old="decorators",
    ),
    Row(
        home="decorators.group_decorator",
        names="task_group",
        now=f"sdk sdk.definitions.decorators sdk.definitions.decorators.task_group {COMPAT}",
        old="decorators decorators.task_group",
    ),
    Row(
        home="decorators.setup_teardown",
        names="setup teardown",
        now=f"sdk sdk.definitions.decorators sdk.definitions.decorators.setup_teardown {COMPAT}",
        old="decorators decorators.setup_teardown",
    ),
    Row(home="dagdeck", names="result", now="sdk sdk.definitions.decorators"),
    Row(
        home="decorators.task_decorators",
        names="TaskDecorators",
        now="sdk.definitions.decorators sdk.definitions.decorators:TaskDecoratorCollection",
        old="decorators:TaskDecoratorCollection",
    ),
    Row(
        home="decorators.task_factory",
        names="TaskFactory",
        now=f"sdk.bases.decorator:TaskDecorator {COMPAT}:TaskDecorator",
        old="decorators.base:TaskDecorator decorators:TaskDecorator",
    ),
    Row(
        home="groups",
        names="TaskGroup",
        now=f"sdk sdk.definitions.taskgroup {COMPAT}",
        old="utils.task_group",
    ),
    Row(
        home="mapping.mapped_group",
        names="MappedTaskGroup",
        now="sdk.definitions.taskgroup",
        old="utils.task_group",
    ),
    Row(
        home="dependencies",
        names="Label EdgeModifier",
        now=f"sdk sdk.definitions.edges {COMPAT}",
        old="utils.edgemodifier",
    ),
    Row(
        home="dependencies",
        names="chain cross_downstream",
        now=f"sdk sdk.bases.operator {COMPAT}",
        old="models.baseoperator utils.helpers",
    ),
    Row(
        home="dependencies",
        names="chain_linear",
        now=f"sdk sdk.bases.operator {COMPAT}",
        old="models.baseoperator",
    ),
    Row(home="dependencies", names="DependencyMixin", now="sdk.definitions._internal.mixins", old="models.taskmixin"),
    Row(
        home="params",
        names="Param ParamsDict",
        now="sdk sdk.definitions.param",
        old="models.param",
    ),
    Row(home="params", names="Param", now=COMPAT, old="models"),
    Row(home="params", names="DagParam", now="sdk.definitions.param", old="models.param models.dagparam"),
    Row(
        home="xcom_arg",
        names="XComArg",
        now=f"sdk sdk.definitions.xcom_arg . {COMPAT}",
        old="models.xcom_arg",
    ),
    Row(
        home="xcom_arg",
        names="XComArg",
        now="sdk sdk.definitions.xcom_arg:PlainXComArg",
        old="models.xcom_arg:PlainXComArg",
    ),
    Row(home="mapping.mapped_operator", names="MappedOperator", now=f"sdk.definitions.mappedoperator {COMPAT} models"),
    Row(home="mapping.mapped_operator", names="MappedOperator", old="models.mappedoperator"),
    Row(
        home="templating",
        names="literal",
        now=f"sdk sdk.definitions.template {COMPAT}",
        old="utils.template",
    ),
    Row(home="variable", names="Variable", now=f"sdk sdk.definitions.variable {COMPAT} models models.variable"),
    Row(
        home="connection",
        names="Connection",
        now=f"sdk sdk.definitions.connection {COMPAT} models models.connection",
    ),
    Row(home="hook", names="BaseHook", now=f"sdk sdk.bases.hook {COMPAT} hooks.base", old="hooks.base_hook hooks"),
    Row(
        home="notifier",
        names="BaseNotifier",
        now=f"sdk sdk.bases.notifier {COMPAT} providers.common.compat.notifier",
        old="notifications.basenotifier",
    ),
    Row(home="dagdeck", names="BaseOperatorLink", now=f"sdk sdk.bases.operatorlink {COMPAT} models"),
    Row(home="dagdeck", names="BaseOperatorLink", now="sdk", old="models.baseoperatorlink models.baseoperator"),
    Row(
        home="dagdeck",
        names="BaseXCom",
        now="sdk sdk.bases.xcom models models.xcom",
    ),
    Row(home="xcom", names="XCom", now=f"sdk.execution_time.xcom {COMPAT} models models.xcom"),
    Row(
        home="xcom_arg",
        names="XCOM_RETURN_KEY",
        now=f"models.xcom sdk.bases.xcom {COMPAT}",
        old="utils.xcom models.xcom_arg",
    ),
    Row(home="storage.filesystems", names="attach", now="sdk.io sdk.io.store io io.store"),
    Row(home="storage.filesystems", names="get_fs has_fs", now="sdk.io.fs sdk.io io io.fs"),
    Row(home="dagdeck", names="ObjectStoragePath", now=f"sdk sdk.io sdk.io.path {COMPAT} io.path io"),
)

_SCHEDULES = (
    Row(
        home="timetables",
        names="CronTriggerTimetable MultipleCronTriggerTimetable DeltaTriggerTimetable",
        now="sdk sdk.definitions.timetables.trigger timetables.trigger",
    ),
    Row(
        home="timetables",
        names="CronDataIntervalTimetable DeltaDataIntervalTimetable",
        now="sdk sdk.definitions.timetables.interval timetables.interval",
    ),
    Row(home="timetables", names="EventsTimetable", now="sdk sdk.definitions.timetables.events timetables.events"),
    Row(
        home="timetables",
        names="AssetOrTimeSchedule",
        now="sdk sdk.definitions.timetables.assets timetables.assets",
    ),
    Row(
        home="timetables",
        names="AssetTriggeredTimetable",
        now="sdk.definitions.timetables.assets timetables.simple",
        old="timetables.simple:DatasetTriggeredTimetable",
    ),
    Row(
        home="airflow_layer.dataset_schedules",
        names="DatasetOrTimeSchedule",
        old="timetables.datasets",
        instead="Write: from airflow.sdk import AssetOrTimeSchedule, with assets= in place of datasets=",
    ),
    Row(
        home="airflow_layer.simple_timetables",
        names="NullTimetable OnceTimetable ContinuousTimetable",
        now="timetables.simple sdk.definitions.timetables.simple",
    ),
    Row(home="timetables", names="Timetable", now="timetables.base sdk.bases.timetable:BaseTimetable"),
    Row(home="timetable_values", names="DagRunInfo DataInterval TimeRestriction", now="timetables.base"),
    Row(
        home="dagdeck",
        names="CronPartitionTimetable",
        now="sdk sdk.definitions.timetables.trigger timetables.trigger",
    ),
    Row(
        home="dagdeck",
        names="PartitionedAssetTimetable PartitionedAtRuntime",
        now="sdk sdk.definitions.timetables.assets timetables.simple",
    ),
    Row(
        home="dagdeck",
        names="PartitionMapper RollupMapper",
        now="sdk sdk.definitions.partition_mappers.base partition_mappers.base",
    ),
    Row(
        home="dagdeck",
        names="AllowedKeyMapper",
        now="sdk partition_mappers.allowed_key sdk.definitions.partition_mappers.allowed_key",
    ),
    Row(home="dagdeck", names="ChainMapper", now="sdk partition_mappers.chain sdk.definitions.partition_mappers.chain"),
    Row(
        home="dagdeck",
        names="FixedKeyMapper",
        now="sdk partition_mappers.fixed_key sdk.definitions.partition_mappers.fixed_key",
    ),
    Row(
        home="dagdeck",
        names="IdentityMapper",
        now="sdk partition_mappers.identity sdk.definitions.partition_mappers.identity",
    ),
    Row(
        home="dagdeck",
        names="ProductMapper",
        now="sdk partition_mappers.product sdk.definitions.partition_mappers.product",
    ),
    Row(
        home="dagdeck",
        names="FanOutMapper StartOfDayMapper StartOfHourMapper StartOfMonthMapper StartOfQuarterMapper "
        "StartOfWeekMapper StartOfYearMapper",
        now="sdk sdk.definitions.partition_mappers.temporal partition_mappers.temporal",
    ),
    Row(
        home="dagdeck",
        names="Window HourWindow DayWindow WeekWindow MonthWindow QuarterWindow YearWindow SegmentWindow",
        now="sdk sdk.definitions.partition_mappers.window partition_mappers.window",
    ),
    Row(
        home="dagdeck",
        names="MinimumCount WaitForAll",
        now="sdk partition_mappers.wait_policy sdk.definitions.partition_mappers.wait_policy",
    ),
    Row(
        home="dagdeck.partition_mappers",
        names="WaitPolicy PartitionSatisfaction",
        now="partition_mappers.wait_policy sdk.definitions.partition_mappers.wait_policy",
    ),
)

_ASSETS = (
    Row(
        home="assets",
        names="Asset",
        now=f"sdk sdk.definitions.asset . {COMPAT} providers.common.compat.assets",
        old=".:Dataset datasets:Dataset",
    ),
    Row(
        home="assets",
        names="AssetAlias",
        now=f"sdk sdk.definitions.asset {COMPAT} providers.common.compat.assets",
        old="datasets:DatasetAlias",
    ),
    Row(
        home="assets",
        names="AssetAll",
        now=f"sdk sdk.definitions.asset {COMPAT} providers.common.compat.assets",
        old="datasets:DatasetAll",
    ),
    Row(
        home="assets",
        names="AssetAny",
        now=f"sdk sdk.definitions.asset {COMPAT} providers.common.compat.assets",
        old="datasets:DatasetAny",
    ),
    Row(home="assets", names="BaseAsset", now="sdk.definitions.asset", old="datasets:BaseDataset"),
    Row(home="assets", names="AssetRef AssetNameRef AssetUriRef AssetUniqueKey", now="sdk.definitions.asset"),
    Row(home="dagdeck", names="AssetWatcher AssetAccessControl", now="sdk sdk.definitions.asset"),
    Row(home="dagdeck", names="asset", now="sdk sdk.definitions.asset.decorators"),
    Row(
        home="dagdeck",
        names="Metadata",
        now=f"sdk sdk.definitions.asset.metadata {COMPAT}",
        old="datasets.metadata",
    ),
)

_POLICIES = (
    Row(
        home="dagdeck",
        names="ExceptionRetryPolicy RetryAction RetryDecision RetryPolicy RetryRule",
        now=f"sdk sdk.definitions.retry_policy {COMPAT}",
    ),
    Row(
        home="dagdeck",
        names="DeadlineAlert DeadlineReference BaseDeadlineReference deadline_reference",
        now="sdk sdk.definitions.deadline",
    ),
    Row(home="dagdeck", names="AsyncCallback SyncCallback", now="sdk sdk.definitions.callback"),
    Row(home="priority", names="PriorityWeightStrategy", now="task.priority_strategy"),
    Row(home="plugins", names="AirflowPlugin", now=f"plugins_manager sdk.plugins_manager {COMPAT}"),
    Row(home="listeners", names="hookimpl", now=f"listeners {COMPAT}"),
    Row(home="listeners", names="get_listener_manager", now="listeners.listener sdk.listener"),
)

ROWS = (*_DAGS, *_SCHEDULES, *_ASSETS, *_POLICIES)
