"""The arguments that every operator takes, declared once as data.

Decides their names, defaults and checks. `dagdeck.operator` applies them; what an operator's own
class adds stands in its own signature. Defaults are those of Airflow 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from dagdeck import argument_types as types
from dagdeck.exceptions import invalid
from dagdeck_core.errors import UserError
from dagdeck_core.limits import limits_of
from dagdeck_core.spec import DEFAULT_POOL, DEFAULT_QUEUE, TriggerRule, WeightRule

DEFAULT_OWNER = "airflow"


class Check(Protocol):
    """Converts a value or raises UserError naming subject and field."""

    def __call__(self, value: Any, *, subject: str, field: str) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument: its default, the check of a given value, whether None may be given for the default."""

    default: Any = None
    check: Check | None = None
    none_is_default: bool = False

    def convert(self, value: Any, *, subject: str, field: str) -> Any:
        """The value to keep on the operator. Raises UserError when it is wrong."""
        if value is None and (self.none_is_default or self.default is None):
            return self.default
        return value if self.check is None else self.check(value, subject=subject, field=field)


def _at_least(low: int) -> Check:
    def check(value: Any, *, subject: str, field: str) -> int:
        return types.whole_number(value, subject=subject, field=field, low=low)

    return check


def _flag(value: Any, *, subject: str, field: str) -> bool:
    return bool(value)


def _backoff(value: Any, *, subject: str, field: str) -> float:
    """The factor by which the delay grows; True is Airflow 2's way to say 2."""
    if value is True:
        return 2.0
    if isinstance(value, (int, float)) and value >= 0:
        return float(value)
    raise invalid("this must be True, False or a factor", subject=subject, field=field, value=value)


def _callback(value: Any, *, subject: str, field: str) -> Any:
    """A callable or a list of them."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not callable(item):
            raise invalid("a callback must be callable", subject=subject, field=field, value=item)
    return value


def _mapping(value: Any, *, subject: str, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid("this must be a dict", subject=subject, field=field, value=value)
    return dict(value)


def _executor_config(value: Any, *, subject: str, field: str) -> dict[str, Any]:
    """A dict; what it says about limits must make sense."""
    config = _mapping(value, subject=subject, field=field)
    try:
        limits_of(config)
    except UserError as error:
        raise invalid(
            error.message, subject=subject, field=error.field, value=error.value, remedy=error.remedy
        ) from error
    return config


def _references(value: Any, *, subject: str, field: str) -> list[Any]:
    """Inlets or outlets: one asset or several."""
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def _addresses(value: Any, *, subject: str, field: str) -> tuple[str, ...]:
    """Who gets mail: nobody when something false is given, as many files have it."""
    return types.strings(value, subject=subject, field=field) if value else ()


def _plain(default: Any = None, check: Check | None = None) -> Argument:
    return Argument(default=default, check=check)


def _required(default: Any, check: Check) -> Argument:
    return Argument(default=default, check=check, none_is_default=True)


_WEIGHT_DEFAULT = WeightRule.DOWNSTREAM.value
_ANY: Callable[[], Argument] = _plain

COMMON_ARGUMENTS: Mapping[str, Argument] = {
    "owner": _required(DEFAULT_OWNER, types.text),
    "email": _plain(check=_addresses),
    "email_on_retry": _plain(True, _flag),
    "email_on_failure": _plain(True, _flag),
    "retries": _required(0, types.whole_number),
    "retry_delay": _required(timedelta(seconds=300), types.duration),
    "retry_exponential_backoff": _required(0.0, _backoff),
    "max_retry_delay": _plain(check=types.duration),
    "retry_policy": _ANY(),
    "start_date": _plain(check=types.moment),
    "end_date": _plain(check=types.moment),
    "depends_on_past": _plain(False, _flag),
    "ignore_first_depends_on_past": _plain(True, _flag),
    "wait_for_past_depends_before_skipping": _plain(False, _flag),
    "wait_for_downstream": _plain(False, _flag),
    "priority_weight": _required(1, _at_least(-(2**31))),
    "weight_rule": _required(_WEIGHT_DEFAULT, types.weight_rule),
    "queue": _required(DEFAULT_QUEUE, types.text),
    "pool": _required(DEFAULT_POOL, types.text),
    "pool_slots": _required(1, _at_least(1)),
    "execution_timeout": _plain(check=types.strict_timedelta),
    "on_execute_callback": _plain(check=_callback),
    "on_failure_callback": _plain(check=_callback),
    "on_success_callback": _plain(check=_callback),
    "on_retry_callback": _plain(check=_callback),
    "on_skipped_callback": _plain(check=_callback),
    "trigger_rule": _required(TriggerRule.ALL_SUCCESS, types.trigger_rule),
    "resources": _ANY(),
    "run_as_user": _plain(check=types.text),
    "map_index_template": _plain(check=types.text),
    "max_active_tis_per_dag": _plain(check=_at_least(1)),
    "max_active_tis_per_dagrun": _plain(check=_at_least(1)),
    "executor": _plain(check=types.text),
    "executor_config": _required({}, _executor_config),
    "do_xcom_push": _plain(True, _flag),
    "multiple_outputs": _plain(False, _flag),
    "inlets": _required([], _references),
    "outlets": _required([], _references),
    "doc": _ANY(),
    "doc_md": _ANY(),
    "doc_json": _ANY(),
    "doc_yaml": _ANY(),
    "doc_rst": _ANY(),
    "task_display_name": _plain(check=types.text),
    "logger_name": _plain(check=types.text),
    "allow_nested_operators": _plain(True, _flag),
}
"""Every argument of BaseOperator that becomes an attribute of the same name."""

CONSTRUCTION_ARGUMENTS = ("task_id", "dag", "task_group", "default_args", "params", "pre_execute", "post_execute")
"""Arguments of BaseOperator that do more than become an attribute."""
