"""Arguments of DAGs and operators that earlier Airflow versions had: what they mean today.

Decides that by one declared table and gives one warning for each. Does not check the values. Called when a DAG or an
operator is made with arguments that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from dagdeck.deprecation import warn_deprecated
from dagdeck.exceptions import InvalidArguments, invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class OldKeyword:
    """What became of an argument."""

    now: str = ""
    """The argument that means the same today; "" when there is none."""
    advice: str = ""
    """What the warning says instead of naming `now`."""
    refused: bool = False
    """Whether the argument cannot be left out without changing what the DAG does."""

    def instead(self) -> str:
        """What to write."""
        return self.advice or f"Write {self.now}="


_GONE = OldKeyword(advice="Remove it: it has no effect")

DAG_KEYWORDS: Mapping[str, OldKeyword] = {
    "schedule_interval": OldKeyword(
        now="schedule",
        advice="Write schedule=; for the same dates and runs, a CronDataIntervalTimetable and catchup=True",
    ),
    "timetable": OldKeyword(now="schedule"),
    "concurrency": OldKeyword(now="max_active_tasks"),
    "fail_stop": OldKeyword(now="fail_fast"),
    "sla_miss_callback": OldKeyword(advice="Use deadline=DeadlineAlert(…): SLAs no longer exist"),
    "default_view": _GONE,
    "orientation": _GONE,
    "full_filepath": _GONE,
    "last_loaded": _GONE,
}
"""Arguments of DAG and `@dag`."""

OPERATOR_KEYWORDS: Mapping[str, Mapping[str, OldKeyword]] = {
    "BaseOperator": {
        "provide_context": OldKeyword(advice="Remove it: functions get the values that they have parameters for"),
        "task_concurrency": OldKeyword(now="max_active_tis_per_dag"),
        "sla": OldKeyword(advice="Use a deadline of the DAG (deadline=DeadlineAlert(…)): SLAs no longer exist"),
        "xcom_push": OldKeyword(now="do_xcom_push"),
        "run_as_owner": _GONE,
        "adhoc": _GONE,
    },
    "BashOperator": {"skip_exit_code": OldKeyword(now="skip_on_exit_code")},
    "TriggerDagRunOperator": {
        "execution_date": OldKeyword(now="logical_date"),
        "python_callable": OldKeyword(
            advice="Write conf={…}, with templates; put a ShortCircuitOperator before it where it may not trigger",
            refused=True,
        ),
    },
    "BranchDateTimeOperator": {"use_task_execution_date": OldKeyword(now="use_task_logical_date")},
    "BranchDayOfWeekOperator": {
        "use_task_execution_day": OldKeyword(now="use_task_logical_date"),
        "use_task_execution_date": OldKeyword(now="use_task_logical_date"),
    },
    "DayOfWeekSensor": {
        "use_task_execution_day": OldKeyword(now="use_task_logical_date"),
        "use_task_execution_date": OldKeyword(now="use_task_logical_date"),
    },
    "ExternalTaskMarker": {"execution_date": OldKeyword(now="logical_date")},
}
"""Class name → arguments that it and its subclasses had."""

OPERATOR_NAMES = frozenset(name for keywords in OPERATOR_KEYWORDS.values() for name in keywords)
"""Every old argument of any operator: what has none of them is not looked at further."""


def for_dag(dag_id: object, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the old ones among `given` mean today, and the others. Warns of each."""
    today: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in given.items():
        old = DAG_KEYWORDS.get(name)
        if old is None:
            others[name] = value
            continue
        warn_deprecated(f"{name}= of a DAG", old.instead())
        if old.now in today:
            raise invalid(
                f"only one of schedule, schedule_interval and timetable can be given, not {name} as well",
                subject=f"dag {dag_id!r}",
                field=name,
                value=value,
                error=InvalidArguments,
            )
        if old.now:
            today[old.now] = value
    return today, others


def for_operator(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with old ones replaced by what they mean today.

    Warns of each; raises UserError for one that cannot be replaced.
    """
    own = cls.own_arguments()  # type: ignore[attr-defined]
    today = dict(given)
    for name, old in _keywords_of(cls):
        if name not in given or name in own:
            continue
        value = today.pop(name)
        if old.refused:
            raise invalid(
                f"{cls.__name__} takes no argument {name!r} any more",
                subject=f"task {given.get('task_id')!r}",
                field=name,
                value=value,
                remedy=old.instead(),
                error=InvalidArguments,
            )
        warn_deprecated(f"{name}= of {cls.__name__.lstrip('_')}", old.instead())
        if old.now:
            today.setdefault(old.now, value)
    return today


def for_default_args(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """default_args with the names of today, for what every operator takes."""
    today = dict(defaults)
    for name, old in OPERATOR_KEYWORDS["BaseOperator"].items():
        if name in today and old.now:
            warn_deprecated(f"{name} in default_args", old.instead())
            today.setdefault(old.now, today.pop(name))
    return today


@cache
def _keywords_of(cls: type) -> list[tuple[str, OldKeyword]]:
    found: dict[str, OldKeyword] = {}
    for base in cls.__mro__:
        for name, old in OPERATOR_KEYWORDS.get(base.__name__, {}).items():
            found.setdefault(name, old)
    return list(found.items())
