"""DagDeck for DAG authors: everything a DAG file imports.

Decides the public names, which are those of airflow.sdk plus the operators that come with DagDeck. Each is
imported when it is first used, so that `import dagdeck` stays quick. Imported by DAG files only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dagdeck import lineage as lineage
    from dagdeck import macros as macros
    from dagdeck.asset_definitions import asset as asset
    from dagdeck.assets import Asset as Asset
    from dagdeck.assets import AssetAccessControl as AssetAccessControl
    from dagdeck.assets import AssetAlias as AssetAlias
    from dagdeck.assets import AssetAll as AssetAll
    from dagdeck.assets import AssetAny as AssetAny
    from dagdeck.assets import AssetWatcher as AssetWatcher
    from dagdeck.assets import Metadata as Metadata
    from dagdeck.async_operator import BaseAsyncOperator as BaseAsyncOperator
    from dagdeck.configuration import conf as conf
    from dagdeck.connection import Connection as Connection
    from dagdeck.context import Context as Context
    from dagdeck.dags import DAG as DAG
    from dagdeck.deadlines import AsyncCallback as AsyncCallback
    from dagdeck.deadlines import BaseDeadlineReference as BaseDeadlineReference
    from dagdeck.deadlines import DeadlineAlert as DeadlineAlert
    from dagdeck.deadlines import DeadlineReference as DeadlineReference
    from dagdeck.deadlines import SyncCallback as SyncCallback
    from dagdeck.deadlines import deadline_reference as deadline_reference
    from dagdeck.decorators.dag_decorator import dag as dag
    from dagdeck.decorators.group_decorator import task_group as task_group
    from dagdeck.decorators.results import result as result
    from dagdeck.decorators.setup_teardown import setup as setup
    from dagdeck.decorators.setup_teardown import teardown as teardown
    from dagdeck.decorators.task_decorators import task as task
    from dagdeck.dependencies import EdgeModifier as EdgeModifier
    from dagdeck.dependencies import Label as Label
    from dagdeck.dependencies import chain as chain
    from dagdeck.dependencies import chain_linear as chain_linear
    from dagdeck.dependencies import cross_downstream as cross_downstream
    from dagdeck.groups import TaskGroup as TaskGroup
    from dagdeck.hook import BaseHook as BaseHook
    from dagdeck.hooks.filesystem import FSHook as FSHook
    from dagdeck.hooks.http import HttpHook as HttpHook
    from dagdeck.hooks.sql import SqlHook as SqlHook
    from dagdeck.hooks.subprocess import SubprocessHook as SubprocessHook
    from dagdeck.notifier import BaseNotifier as BaseNotifier
    from dagdeck.operator import BaseOperator as BaseOperator
    from dagdeck.operator_link import BaseOperatorLink as BaseOperatorLink
    from dagdeck.operators.bash import BashOperator as BashOperator
    from dagdeck.operators.datetime import BranchDateTimeOperator as BranchDateTimeOperator
    from dagdeck.operators.empty import EmptyOperator as EmptyOperator
    from dagdeck.operators.http import HttpOperator as HttpOperator
    from dagdeck.operators.latest_only import LatestOnlyOperator as LatestOnlyOperator
    from dagdeck.operators.python import BranchPythonOperator as BranchPythonOperator
    from dagdeck.operators.python import PythonOperator as PythonOperator
    from dagdeck.operators.python import ShortCircuitOperator as ShortCircuitOperator
    from dagdeck.operators.python_virtualenv import BranchExternalPythonOperator as BranchExternalPythonOperator
    from dagdeck.operators.python_virtualenv import BranchPythonVirtualenvOperator as BranchPythonVirtualenvOperator
    from dagdeck.operators.python_virtualenv import ExternalPythonOperator as ExternalPythonOperator
    from dagdeck.operators.python_virtualenv import PythonVirtualenvOperator as PythonVirtualenvOperator
    from dagdeck.operators.skipping import BaseBranchOperator as BaseBranchOperator
    from dagdeck.operators.skipping import BranchMixIn as BranchMixIn
    from dagdeck.operators.skipping import SkipMixin as SkipMixin
    from dagdeck.operators.sql import SQLExecuteQueryOperator as SQLExecuteQueryOperator
    from dagdeck.operators.trigger_dagrun import TriggerDagRunOperator as TriggerDagRunOperator
    from dagdeck.operators.weekday import BranchDayOfWeekOperator as BranchDayOfWeekOperator
    from dagdeck.params import Param as Param
    from dagdeck.params import ParamsDict as ParamsDict
    from dagdeck.parsing_context import get_parsing_context as get_parsing_context
    from dagdeck.partition_mappers import AllowedKeyMapper as AllowedKeyMapper
    from dagdeck.partition_mappers import ChainMapper as ChainMapper
    from dagdeck.partition_mappers import DayWindow as DayWindow
    from dagdeck.partition_mappers import FanOutMapper as FanOutMapper
    from dagdeck.partition_mappers import FixedKeyMapper as FixedKeyMapper
    from dagdeck.partition_mappers import HourWindow as HourWindow
    from dagdeck.partition_mappers import IdentityMapper as IdentityMapper
    from dagdeck.partition_mappers import MinimumCount as MinimumCount
    from dagdeck.partition_mappers import MonthWindow as MonthWindow
    from dagdeck.partition_mappers import PartitionMapper as PartitionMapper
    from dagdeck.partition_mappers import ProductMapper as ProductMapper
    from dagdeck.partition_mappers import QuarterWindow as QuarterWindow
    from dagdeck.partition_mappers import RollupMapper as RollupMapper
    from dagdeck.partition_mappers import SegmentWindow as SegmentWindow
    from dagdeck.partition_mappers import StartOfDayMapper as StartOfDayMapper
    from dagdeck.partition_mappers import StartOfHourMapper as StartOfHourMapper
    from dagdeck.partition_mappers import StartOfMonthMapper as StartOfMonthMapper
    from dagdeck.partition_mappers import StartOfQuarterMapper as StartOfQuarterMapper
    from dagdeck.partition_mappers import StartOfWeekMapper as StartOfWeekMapper
    from dagdeck.partition_mappers import StartOfYearMapper as StartOfYearMapper
    from dagdeck.partition_mappers import WaitForAll as WaitForAll
    from dagdeck.partition_mappers import WeekWindow as WeekWindow
    from dagdeck.partition_mappers import Window as Window
    from dagdeck.partition_mappers import YearWindow as YearWindow
    from dagdeck.priority import PriorityWeightStrategy as PriorityWeightStrategy
    from dagdeck.resumable_jobs import ResumableJobMixin as ResumableJobMixin
    from dagdeck.retry_policies import ExceptionRetryPolicy as ExceptionRetryPolicy
    from dagdeck.retry_policies import RetryAction as RetryAction
    from dagdeck.retry_policies import RetryDecision as RetryDecision
    from dagdeck.retry_policies import RetryPolicy as RetryPolicy
    from dagdeck.retry_policies import RetryRule as RetryRule
    from dagdeck.runtime import get_current_context as get_current_context
    from dagdeck.sensors.base import BaseSensorOperator as BaseSensorOperator
    from dagdeck.sensors.base import PokeReturnValue as PokeReturnValue
    from dagdeck.sensors.bash import BashSensor as BashSensor
    from dagdeck.sensors.date_time import DateTimeSensor as DateTimeSensor
    from dagdeck.sensors.date_time import DateTimeSensorAsync as DateTimeSensorAsync
    from dagdeck.sensors.external_task import ExternalTaskMarker as ExternalTaskMarker
    from dagdeck.sensors.external_task import ExternalTaskSensor as ExternalTaskSensor
    from dagdeck.sensors.filesystem import FileSensor as FileSensor
    from dagdeck.sensors.http import HttpSensor as HttpSensor
    from dagdeck.sensors.python import PythonSensor as PythonSensor
    from dagdeck.sensors.sql import SqlSensor as SqlSensor
    from dagdeck.sensors.time import TimeSensor as TimeSensor
    from dagdeck.sensors.time_delta import TimeDeltaSensor as TimeDeltaSensor
    from dagdeck.sensors.time_delta import WaitSensor as WaitSensor
    from dagdeck.sensors.weekday import DayOfWeekSensor as DayOfWeekSensor
    from dagdeck.state_store import NEVER_EXPIRE as NEVER_EXPIRE
    from dagdeck.states import DagRunState as DagRunState
    from dagdeck.states import TaskInstanceState as TaskInstanceState
    from dagdeck.states import TriggerRule as TriggerRule
    from dagdeck.states import WeightRule as WeightRule
    from dagdeck.storage.path import ObjectStoragePath as ObjectStoragePath
    from dagdeck.templating import literal as literal
    from dagdeck.timetables import AssetOrTimeSchedule as AssetOrTimeSchedule
    from dagdeck.timetables import CronDataIntervalTimetable as CronDataIntervalTimetable
    from dagdeck.timetables import CronPartitionTimetable as CronPartitionTimetable
    from dagdeck.timetables import CronTriggerTimetable as CronTriggerTimetable
    from dagdeck.timetables import DeltaDataIntervalTimetable as DeltaDataIntervalTimetable
    from dagdeck.timetables import DeltaTriggerTimetable as DeltaTriggerTimetable
    from dagdeck.timetables import EventsTimetable as EventsTimetable
    from dagdeck.timetables import MultipleCronTriggerTimetable as MultipleCronTriggerTimetable
    from dagdeck.timetables import PartitionedAssetTimetable as PartitionedAssetTimetable
    from dagdeck.timetables import PartitionedAtRuntime as PartitionedAtRuntime
    from dagdeck.variable import Variable as Variable
    from dagdeck.weekday import WeekDay as WeekDay
    from dagdeck.xcom import BaseXCom as BaseXCom
    from dagdeck.xcom_arg import XComArg as XComArg

_HOMES: dict[str, str] = {
    "AllowedKeyMapper": "partition_mappers",
    "Asset": "assets",
    "AssetAccessControl": "assets",
    "AssetAlias": "assets",
    "AssetAll": "assets",
    "AssetAny": "assets",
    "AssetOrTimeSchedule": "timetables",
    "AssetWatcher": "assets",
    "AsyncCallback": "deadlines",
    "BaseAsyncOperator": "async_operator",
    "BaseBranchOperator": "operators.skipping",
    "BaseDeadlineReference": "deadlines",
    "BaseHook": "hook",
    "BaseNotifier": "notifier",
    "BaseOperator": "operator",
    "BaseOperatorLink": "operator_link",
    "BaseSensorOperator": "sensors.base",
    "BaseXCom": "xcom",
    "BashOperator": "operators.bash",
    "BashSensor": "sensors.bash",
    "BranchDateTimeOperator": "operators.datetime",
    "BranchDayOfWeekOperator": "operators.weekday",
    "BranchExternalPythonOperator": "operators.python_virtualenv",
    "BranchMixIn": "operators.skipping",
    "BranchPythonOperator": "operators.python",
    "BranchPythonVirtualenvOperator": "operators.python_virtualenv",
    "ChainMapper": "partition_mappers",
    "Connection": "connection",
    "Context": "context",
    "CronDataIntervalTimetable": "timetables",
    "CronPartitionTimetable": "timetables",
    "CronTriggerTimetable": "timetables",
    "DAG": "dags",
    "DagRunState": "states",
    "DateTimeSensor": "sensors.date_time",
    "DateTimeSensorAsync": "sensors.date_time",
    "DayOfWeekSensor": "sensors.weekday",
    "DayWindow": "partition_mappers",
    "DeadlineAlert": "deadlines",
    "DeadlineReference": "deadlines",
    "DeltaDataIntervalTimetable": "timetables",
    "DeltaTriggerTimetable": "timetables",
    "EdgeModifier": "dependencies",
    "EmptyOperator": "operators.empty",
    "EventsTimetable": "timetables",
    "ExceptionRetryPolicy": "retry_policies",
    "ExternalPythonOperator": "operators.python_virtualenv",
    "ExternalTaskMarker": "sensors.external_task",
    "ExternalTaskSensor": "sensors.external_task",
    "FSHook": "hooks.filesystem",
    "FanOutMapper": "partition_mappers",
    "FileSensor": "sensors.filesystem",
    "FixedKeyMapper": "partition_mappers",
    "HourWindow": "partition_mappers",
    "HttpHook": "hooks.http",
    "HttpOperator": "operators.http",
    "HttpSensor": "sensors.http",
    "IdentityMapper": "partition_mappers",
    "Label": "dependencies",
    "LatestOnlyOperator": "operators.latest_only",
    "Metadata": "assets",
    "MinimumCount": "partition_mappers",
    "MonthWindow": "partition_mappers",
    "MultipleCronTriggerTimetable": "timetables",
    "NEVER_EXPIRE": "state_store",
    "ObjectStoragePath": "storage.path",
    "Param": "params",
    "ParamsDict": "params",
    "PartitionMapper": "partition_mappers",
    "PartitionedAssetTimetable": "timetables",
    "PartitionedAtRuntime": "timetables",
    "PokeReturnValue": "sensors.base",
    "PriorityWeightStrategy": "priority",
    "ProductMapper": "partition_mappers",
    "PythonOperator": "operators.python",
    "PythonSensor": "sensors.python",
    "PythonVirtualenvOperator": "operators.python_virtualenv",
    "QuarterWindow": "partition_mappers",
    "ResumableJobMixin": "resumable_jobs",
    "RetryAction": "retry_policies",
    "RetryDecision": "retry_policies",
    "RetryPolicy": "retry_policies",
    "RetryRule": "retry_policies",
    "RollupMapper": "partition_mappers",
    "SQLExecuteQueryOperator": "operators.sql",
    "SegmentWindow": "partition_mappers",
    "ShortCircuitOperator": "operators.python",
    "SkipMixin": "operators.skipping",
    "SqlHook": "hooks.sql",
    "SqlSensor": "sensors.sql",
    "StartOfDayMapper": "partition_mappers",
    "StartOfHourMapper": "partition_mappers",
    "StartOfMonthMapper": "partition_mappers",
    "StartOfQuarterMapper": "partition_mappers",
    "StartOfWeekMapper": "partition_mappers",
    "StartOfYearMapper": "partition_mappers",
    "SubprocessHook": "hooks.subprocess",
    "SyncCallback": "deadlines",
    "TaskGroup": "groups",
    "TaskInstance": "dagdeck_task.task_instance",
    "TaskInstanceState": "states",
    "TimeDeltaSensor": "sensors.time_delta",
    "TimeSensor": "sensors.time",
    "TriggerDagRunOperator": "operators.trigger_dagrun",
    "TriggerRule": "states",
    "Variable": "variable",
    "WaitForAll": "partition_mappers",
    "WaitSensor": "sensors.time_delta",
    "WeekDay": "weekday",
    "WeekWindow": "partition_mappers",
    "WeightRule": "states",
    "Window": "partition_mappers",
    "XComArg": "xcom_arg",
    "YearWindow": "partition_mappers",
    "asset": "asset_definitions",
    "chain": "dependencies",
    "chain_linear": "dependencies",
    "conf": "configuration",
    "cross_downstream": "dependencies",
    "dag": "decorators.dag_decorator",
    "deadline_reference": "deadlines",
    "get_current_context": "runtime",
    "get_parsing_context": "parsing_context",
    "literal": "templating",
    "result": "decorators.results",
    "setup": "decorators.setup_teardown",
    "task": "decorators.task_decorators",
    "task_group": "decorators.group_decorator",
    "teardown": "decorators.setup_teardown",
}

_MODULES = ("lineage", "macros")
"""Modules that are public names themselves."""

__all__ = ["__version__", *_MODULES, *_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is not None:
        value = getattr(importlib.import_module(home if home.startswith("dagdeck") else f"dagdeck.{home}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"dagdeck.{name}")
    raise AttributeError(f"module 'dagdeck' has no attribute {name!r}")
