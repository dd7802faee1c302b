"""Rows of the table: states, exceptions, the running task, dates, and the small functions of `airflow.utils`.

Decides which of Airflow's modules these are found in. Read by `table`.
"""

from __future__ import annotations

from dagdeck.airflow_layer.declaration import Row
from dagdeck.airflow_layer.rows_authoring import COMPAT

_LEGACY = "airflow_layer"

_STATES = (
    Row(
        home="states",
        names="DagRunState TaskInstanceState",
        now=f"sdk {COMPAT} utils.state sdk.api.datamodels._generated",
    ),
    Row(home=f"{_LEGACY}.state_names", names="State", now="utils.state"),
    Row(
        home="states",
        names="TriggerRule",
        now=f"sdk {COMPAT} task.trigger_rule sdk.api.datamodels._generated",
        old="utils.trigger_rule",
    ),
    Row(
        home="states",
        names="WeightRule",
        now=f"sdk {COMPAT} task.weight_rule sdk.api.datamodels._generated",
        old="utils.weight_rule",
    ),
    Row(home="states", names="DagRunType", now="utils.types sdk.types"),
    Row(home="weekday", names="WeekDay", now="providers.standard.utils.weekday", old="utils.weekday"),
    Row(home="xcom_arg", names="NOTSET ArgNotSet", now="sdk.types sdk.definitions._internal.types utils.types"),
)

_EXCEPTIONS = (
    Row(
        home="exceptions",
        names="AirflowException AirflowNotFoundException",
        now=f"sdk.exceptions exceptions {COMPAT}",
    ),
    Row(home="exceptions", names="AirflowException", now="sdk.exceptions", old="."),
    Row(
        home="exceptions",
        names="AirflowSkipException AirflowFailException AirflowSensorTimeout AirflowTaskTimeout TaskDeferred "
        "ParamValidationError XComNotFound AirflowOptionalProviderFeatureException AirflowConfigException",
        now=f"sdk.exceptions exceptions {COMPAT}",
    ),
    Row(
        home="exceptions",
        names="TaskAwaitingInput AirflowInactiveAssetInInletOrOutletException",
        now="sdk.exceptions",
    ),
    Row(
        home="exceptions",
        names="HITLTriggerEventError HITLTimeoutError HITLRejectException",
        now="providers.standard.exceptions",
    ),
    Row(
        home="exceptions",
        names="AirflowRescheduleException AirflowTaskTerminated TaskDeferralError TaskDeferralTimeout "
        "DownstreamTasksSkipped DuplicateTaskIdFound TaskNotFound AirflowDagCycleException AirflowBadRequest "
        "AirflowInternalRuntimeError AirflowTimetableInvalid DagNotFound DagRunNotFound DagRunAlreadyExists "
        "TaskAlreadyInTaskGroup SerializationError TaskInstanceNotFound PoolNotFound UnmappableXComTypePushed "
        "XComForMappingNotPushed AirflowClusterPolicyViolation AirflowClusterPolicySkipDag AirflowDagInconsistent "
        "AirflowDagDuplicatedIdException InvalidStatsNameException AirflowWebServerTimeout BackfillUnfinished "
        "ConnectionNotUnique DeserializingResultError UnknownExecutorException",
        now="exceptions sdk.exceptions",
    ),
    Row(
        home="exceptions",
        names="ExternalTaskNotFoundError ExternalDagNotFoundError ExternalDagDeletedError ExternalTaskFailedError "
        "ExternalDagFailedError ExternalTaskGroupNotFoundError ExternalTaskGroupFailedError "
        "DuplicateStateError HITLTriggerEventError HITLTimeoutError HITLRejectException",
        now="providers.standard.exceptions",
    ),
    Row(home="exceptions", names="TaskAwaitingInput", now="sdk.exceptions"),
    Row(home="deprecation", names="RemovedInAirflow4Warning", now="sdk.exceptions"),
    Row(
        home="deprecation",
        names="RemovedInAirflow3Warning RemovedInAirflow4Warning AirflowProviderDeprecationWarning",
        now="exceptions",
    ),
)

_RUNNING = (
    Row(home="context", names="Context", now=f"sdk sdk.definitions.context {COMPAT}", old="utils.context"),
    Row(home="context", names="context_merge", now=f"sdk.definitions.context {COMPAT}", old="utils.context"),
    Row(
        home="runtime",
        names="get_current_context",
        now=f"sdk sdk.definitions.context {COMPAT}",
        old="operators.python providers.standard.operators.python",
    ),
    Row(
        home="parsing_context",
        names="get_parsing_context AirflowParsingContext",
        now="sdk sdk.definitions.context",
        old="utils.dag_parsing_context",
    ),
    Row(home="parsing_context", names="get_parsing_context", now=COMPAT),
    Row(
        home="airflow_layer.keyword_parameters",
        names="determine_kwargs KeywordParameters",
        now=f"sdk.bases.decorator {COMPAT}",
        old="utils.operator_helpers",
    ),
    Row(
        home="task_environment",
        names="context_to_airflow_vars AIRFLOW_VAR_NAME_FORMAT_MAPPING",
        now=f"sdk.execution_time.context {COMPAT}",
        old="utils.operator_helpers",
    ),
    Row(home="dagdeck", names="NEVER_EXPIRE", now="sdk sdk.execution_time.context"),
    Row(home="dagdeck_task.task_instance", names="TaskInstance", now="sdk sdk.types models models.taskinstance"),
    Row(
        home="dagdeck_task.task_instance",
        names="TaskInstance",
        now="sdk.execution_time.task_runner:RuntimeTaskInstance sdk.types:RuntimeTaskInstanceProtocol",
    ),
    Row(home="dagdeck_task.dag_run", names="DagRun", now="models.dagrun models sdk.types:DagRunProtocol"),
    Row(home="airflow_layer.instance_keys", names="TaskInstanceKey", now=f"sdk.types models.taskinstancekey {COMPAT}"),
    Row(home="airflow_layer.instance_keys", names="TaskInstanceKey", now="sdk.types", old="models.taskinstance"),
    Row(home="time_limit", names="timeout", now=f"sdk.execution_time.timeout {COMPAT}", old="utils.timeout"),
    Row(
        home="runtime",
        names="mask_secret",
        now=f"sdk.log sdk.execution_time.secrets_masker {COMPAT}",
        old="utils.log.secrets_masker",
    ),
    Row(
        home="secrecy",
        names="redact",
        now=f"sdk.log sdk.execution_time.secrets_masker {COMPAT}",
        old="utils.log.secrets_masker",
    ),
    Row(home="macros", names="", now="sdk.execution_time.macros sdk.macros macros"),
    Row(
        home="macros",
        names="ds_add ds_format ds_format_locale datetime_diff_for_humans",
        now="sdk.execution_time.macros macros",
    ),
)

_DATES = (
    Row(home="timezone", names="", now=f"sdk.timezone {COMPAT}.timezone utils.timezone"),
    Row(
        home=f"{_LEGACY}.dates",
        names="days_ago",
        old="utils.dates",
        instead="Write the date itself, for example pendulum.datetime(2026, 1, 1, tz='UTC')",
    ),
    Row(
        home=f"{_LEGACY}.dates",
        names="date_range round_time cron_presets infer_time_unit scale_time_units",
        old="utils.dates",
        instead="Write it with datetime and timedelta",
    ),
    Row(
        home="timezone",
        names="parse",
        old="utils.dates:parse_execution_date",
        instead="Write: from airflow.sdk import timezone, then timezone.parse(…)",
    ),
)

_SMALL = (
    Row(home="configuration", names="conf", now=f"sdk sdk.configuration configuration {COMPAT}"),
    Row(
        home="configuration",
        names="get getint getfloat getboolean",
        old="configuration",
        instead="Write: from airflow.configuration import conf, then conf.get(…)",
    ),
    Row(home="configuration", names="AirflowConfigParser get_airflow_home AIRFLOW_HOME", now="configuration"),
    Row(home="statistics", names="Stats", now=f"sdk.observability.stats observability.stats stats {COMPAT}"),
    Row(home="lineage", names="", now="sdk.lineage"),
    Row(
        home="lineage",
        names="get_hook_lineage_collector HookLineageCollector HookLineage HookLineageReader NoOpCollector "
        "AssetLineageInfo",
        now=f"sdk.lineage {COMPAT} lineage.hook providers.common.compat.lineage.hook",
    ),
    Row(home=f"{_LEGACY}.lineage_entities", names="File Table Column User Tag", now="lineage.entities"),
    Row(
        home=f"{_LEGACY}.lineage_entities",
        names="File Table Column User Tag",
        now="providers.common.compat.lineage.entities",
    ),
    Row(
        home="logging_mixin",
        names="LoggingMixin",
        now="utils.log.logging_mixin sdk.definitions._internal.logging_mixin",
    ),
    Row(home="imports", names="import_string", now="sdk.module_loading", old="utils.module_loading"),
    Row(home="imports", names="import_string", now="providers.common.compat.module_loading"),
    Row(
        home=f"{_LEGACY}.sessions",
        names="provide_session create_session NEW_SESSION",
        now="utils.session",
        old="utils.db",
        instead="Use Variable, Connection, XCom and the context: tasks have no metadata database",
    ),
    Row(
        home=f"{_LEGACY}.small_functions",
        names="exactly_one at_most_one prune_dict merge_dicts chunks is_container as_tuple validate_key "
        "convert_camel_to_snake render_template_to_string parse_template_string as_flattened_list partition",
        now="utils.helpers",
    ),
    Row(home=f"{_LEGACY}.small_functions", names="to_boolean get_random_string", now="utils.strings"),
    Row(home=f"{_LEGACY}.small_functions", names="get_hostname getfqdn get_host_ip_address", now="utils.net"),
    Row(home=f"{_LEGACY}.small_functions", names="TemporaryDirectory mkdirs", now="utils.file"),
    Row(
        home=f"{_LEGACY}.small_functions",
        names="apply_defaults",
        old="utils.decorators",
        instead="Remove it: default_args reach every operator by themselves",
    ),
    Row(home=f"{_LEGACY}.small_functions", names="execute_in_subprocess patch_environ", now="utils.process_utils"),
    Row(home=f"{_LEGACY}.small_functions", names="getuser is_tty IS_WINDOWS", now="utils.platform"),
    Row(home=f"{_LEGACY}.small_functions", names="get_email_address_list", now="utils.email"),
    Row(home=f"{_LEGACY}.small_functions", names="make_kwargs_callable", old="utils.operator_helpers"),
    Row(home=f"{_LEGACY}.small_functions", names="expand_env_var", now="configuration"),
    Row(home="email_messages", names="send_email", now="utils.email utils.email:send_email_smtp"),
    Row(
        home=f"{_LEGACY}.moved_modules",
        names="add_deprecated_classes DeprecatedImportWarning",
        now="utils.deprecation_tools",
    ),
    Row(home=f"{_LEGACY}.small_functions", names="md5", now="utils.hashlib_wrapper"),
    Row(
        home="xcom_arg",
        names="NOTSET",
        now=f"sdk.definitions._internal.types:SET_DURING_EXECUTION {COMPAT}:SET_DURING_EXECUTION",
    ),
    Row(home=f"{_LEGACY}.yaml_files", names="", now="utils.yaml sdk.yaml"),
    Row(home=f"{_LEGACY}.typing_names", names="", now="typing_compat"),
    Row(home="provider_packages", names="ProvidersManager", now="providers_manager"),
    Row(
        home="provider_packages",
        names="ProvidersManager",
        now="sdk.providers_manager_runtime:ProvidersManagerTaskRuntime",
    ),
    Row(home="imports", names="qualname", now="sdk.module_loading", old="utils.module_loading"),
    Row(home="async_operator", names="is_async_callable", now="sdk.bases.decorator"),
    Row(
        home="operator_defaults",
        names="OperatorMeta",
        now="sdk.bases.operator:BaseOperatorMeta",
        old="models.baseoperator:BaseOperatorMeta",
    ),
    Row(
        home=f"{_LEGACY}.versions",
        names="AIRFLOW_V_3_0_PLUS AIRFLOW_V_3_1_PLUS AIRFLOW_V_3_2_PLUS AIRFLOW_V_3_3_PLUS AIRFLOW_V_3_4_PLUS",
        now=COMPAT,
    ),
    Row(home="dagdeck_task.run_context", names="VariableAccessor ConnectionAccessor", now="sdk.execution_time.context"),
    Row(
        home="secrecy",
        names="is_sensitive_name",
        now="sdk.log:should_hide_value_for_key",
        old="utils.log.secrets_masker:should_hide_value_for_key",
    ),
    Row(home="dag_bag", names="DagBag", now="dag_processing.dagbag models models.dagbag"),
    Row(
        home="secrets_backends",
        names="BaseSecretsBackend",
        now="secrets.base_secrets secrets sdk.bases.secrets_backend",
    ),
    Row(home="secrets_backends", names="EnvironmentVariablesBackend", now="secrets.environment_variables"),
    Row(home="secrets_backends", names="LocalFilesystemBackend", now="secrets.local_filesystem"),
    Row(home=f"{_LEGACY}.process_settings", names="", now="settings"),
    Row(
        home=f"{_LEGACY}.versions",
        names="",
        now="version providers.common.compat.version_compat providers.standard.version_compat",
    ),
    Row(
        home=f"{_LEGACY}.permissions", names="", now="security.permissions providers.common.compat.security.permissions"
    ),
)

ROWS = (*_STATES, *_EXCEPTIONS, *_RUNNING, *_DATES, *_SMALL)

EMPTY_MODULES = (
    "airflow",
    "airflow.providers",
    "airflow.providers.common",
)
"""Modules that exist although no row is in them."""
