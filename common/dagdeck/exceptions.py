"""What task code raises to say how it ended, and what a wrong definition raises.

Decides the classes and whose fault each is; what an exception means for the task instance is decided
in `dagdeck_task.results`. Raised by DAG authors' code, by operators and by the authoring package
itself. Names are Airflow's, so that the same DAG files can catch them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from dagdeck_core.errors import UserError


class AirflowException(UserError):
    """Base of what operators and task code raise; the task instance fails and may be retried."""

    def __init__(self, *args: object, **described: Any) -> None:
        """`described` are UserError's own arguments: file, field, value and remedy."""
        super().__init__(str(args[0]) if args else "", **described)
        if not described:
            self.args = args


class AirflowSkipException(AirflowException):
    """The task instance is to be skipped; nothing is wrong."""


class AirflowFailException(AirflowException):
    """The task instance fails for good: no retries, however many it has left."""


class AirflowInactiveAssetInInletOrOutletException(AirflowFailException):
    """A task names assets that are not active: another asset has their name or their URI."""

    def __init__(self, inactive_asset_keys: Collection[Any]) -> None:
        self.inactive_asset_keys = inactive_asset_keys
        super().__init__(
            f"Task has the following inactive assets in its inlets or outlets: {self.inactive_assets_message}"
        )

    @property
    def inactive_assets_message(self) -> str:
        """The assets by name and URI."""
        return ", ".join(f"Asset(name={key.name!r}, uri={key.uri!r})" for key in self.inactive_asset_keys)


class AirflowNotFoundException(AirflowException):
    """A Connection, Variable or other object that the task asked for does not exist."""


class VariableNotFound(AirflowNotFoundException, KeyError):
    """There is no such Variable; a KeyError too, which is what DAG files for Airflow 2 wait for."""


class AirflowBadRequest(AirflowException):
    """An operator was asked for something that cannot be done."""


class AirflowSensorTimeout(AirflowException):
    """A sensor waited longer than its timeout; the task instance fails for good."""


class AirflowPokeFailException(AirflowException):
    """A sensor's poke found that what it waits for can no longer happen."""


class AirflowRescheduleException(AirflowException):
    """The task instance gives its slot back and wants to run again at `reschedule_date` (aware)."""

    def __init__(self, reschedule_date: datetime) -> None:
        super().__init__(f"to run again at {reschedule_date.isoformat()}")
        self.reschedule_date = reschedule_date


class AirflowTaskTimeout(BaseException):
    """The task ran longer than its execution_timeout. No `except Exception` of task code catches it."""


class AirflowTaskTerminated(BaseException):
    """The task is to end now: a person or the scheduler asked for it (SIGTERM)."""


class TaskDeferred(BaseException):
    """The task hands its waiting to a trigger."""

    def __init__(
        self,
        *,
        trigger: Any,
        method_name: str,
        kwargs: dict[str, Any] | None = None,
        timeout: Any = None,
    ) -> None:
        super().__init__(f"deferred until {trigger!r} fires, then {method_name}")
        self.trigger = trigger
        self.method_name = method_name
        self.kwargs = kwargs
        self.timeout = timeout


class TaskAwaitingInput(BaseException):
    """The task asks a person and ends until the answer comes; it goes on in its operator's `method_name`.

    The question is what the operator's `question()` says. Without an answer for `timeout` (a timedelta) the task goes
    on all the same, with its defaults or to fail.
    """

    def __init__(self, *, method_name: str, kwargs: dict[str, Any] | None = None, timeout: Any = None) -> None:
        super().__init__(f"waiting for a person's answer, then {method_name}")
        self.method_name = method_name
        self.kwargs = kwargs
        self.timeout = timeout


class HITLTriggerEventError(AirflowException):
    """A task that asked a person cannot go on with what it was told."""


class HITLTimeoutError(HITLTriggerEventError):
    """Nobody answered a task's question in time, and it has no defaults."""


class HITLRejectException(AirflowException):
    """A person rejected, and the task was asked to fail then."""


class TaskDeferralError(AirflowException):
    """A trigger that a task waited for failed."""


class TaskDeferralTimeout(AirflowException):
    """A trigger that a task waited for did not fire in time."""


class DownstreamTasksSkipped(AirflowException):
    """The task ended well and asks that `tasks` (task ids) of its run be skipped."""

    def __init__(self, *, tasks: Sequence[str | tuple[str, int]]) -> None:
        super().__init__(f"{len(tasks)} downstream tasks are to be skipped")
        self.tasks = tasks


class DeserializingResultError(AirflowException, ValueError):
    """What a function returned in another interpreter cannot be read in this one."""


class DagRunAlreadyExists(AirflowBadRequest):
    """The DAG has a run with this id or logical date already."""

    def __init__(self, dag_id: str = "", run_id: str = "", message: str = "") -> None:
        super().__init__(message or f"A Dag Run already exists for Dag {dag_id} with run id {run_id}")
        self.dag_id = dag_id
        self.run_id = run_id


class DagNotFound(AirflowNotFoundException):
    """There is no DAG with this id."""


class DagIsPaused(AirflowException):
    """A DAG that somebody wants to run is paused."""

    def __init__(self, dag_id: str = "") -> None:
        super().__init__(f"Dag {dag_id} is paused")
        self.dag_id = dag_id


class ExternalTaskError(AirflowException):
    """Base of what sensors raise that wait for another DAG."""


class ExternalDagNotFoundError(ExternalTaskError):
    """The DAG that is waited for does not exist."""


class ExternalDagDeletedError(ExternalTaskError):
    """The DAG that is waited for is no longer in the DAG folder."""


class ExternalTaskNotFoundError(ExternalTaskError):
    """The task that is waited for does not exist in its DAG."""


class ExternalTaskGroupNotFoundError(ExternalTaskError):
    """The task group that is waited for does not exist in its DAG."""


class ExternalTaskFailedError(ExternalTaskError):
    """A task that is waited for has come into one of failed_states."""


class ExternalTaskGroupFailedError(ExternalTaskError):
    """A task of the group that is waited for has come into one of failed_states."""


class ExternalDagFailedError(ExternalTaskError):
    """A run of the DAG that is waited for has come into one of failed_states."""


class XComNotFound(AirflowException):
    """A task instance has no XCom under this key."""

    def __init__(self, dag_id: str, task_id: str, key: str) -> None:
        super().__init__(
            f"task {task_id!r} of dag {dag_id!r} has pushed no XCom with the key {key!r}; "
            "it did not run, was skipped, or returned something without that key"
        )
        self.dag_id = dag_id
        self.task_id = task_id
        self.key = key


class XComForMappingNotPushed(AirflowException):
    """A task that others are expanded over has returned nothing."""

    def __init__(self) -> None:
        super().__init__("did not push XCom for task mapping: other tasks are expanded over what this task returns")


class UnmappableXComTypePushed(AirflowException):
    """A task that others are expanded over has returned no list or dict."""

    def __init__(self, value: object) -> None:
        kind = type(value).__qualname__
        super().__init__(f"unmappable return type {kind!r}: tasks are expanded over lists and dicts")


class UnmappableXComLengthPushed(AirflowException):
    """A task that others are expanded over has returned too many items."""

    def __init__(self, value: Sequence[object], limit: int) -> None:
        super().__init__(f"unmappable return value length: {len(value)} > {limit} (the setting core.max_map_length)")


class ParamValidationError(AirflowException, ValueError):
    """A param has no value or its value does not fit its JSON schema."""


class AirflowConfigException(AirflowException):
    """A setting that a DAG file asked for is missing or has a value of the wrong kind."""


class AirflowOptionalProviderFeatureException(AirflowException):
    """A provider package lacks an optional dependency."""


class AirflowInternalRuntimeError(BaseException):
    """Something that should not be possible has happened."""


class AirflowTimetableInvalid(AirflowException):
    """A timetable was given values that it cannot work with."""


class AirflowClusterPolicyViolation(AirflowException):
    """A DAG or task breaks a rule of the cluster."""


class AirflowClusterPolicySkipDag(AirflowException):
    """A rule of the cluster leaves a DAG out."""


class AirflowDagInconsistent(AirflowException):
    """The parts of a DAG contradict each other."""


class AirflowDagDuplicatedIdException(AirflowException):
    """Two DAG files define a DAG with the same id."""


class AirflowWebServerTimeout(AirflowException):
    """The web server did not answer in time."""


class InvalidStatsNameException(AirflowException):
    """The name of a counter is not valid."""


class BackfillUnfinished(AirflowException):
    """Not all tasks of a backfill have succeeded."""


class SerializationError(AirflowException):
    """A DAG cannot be described without its code."""


class TaskAlreadyInTaskGroup(AirflowException):
    """A task belongs to another task group already."""


class DagRunNotFound(AirflowNotFoundException):
    """There is no such run."""


class TaskInstanceNotFound(AirflowNotFoundException):
    """There is no such task instance."""


class PoolNotFound(AirflowNotFoundException):
    """There is no pool of this name."""


class ConnectionNotUnique(AirflowException):
    """More than one Connection has this id."""


class UnknownExecutorException(ValueError):
    """There is no such executor."""


class InvalidArguments(UserError, TypeError):
    """A DAG, operator or task was given arguments that it does not take, or lacks some."""


class InvalidDefinition(UserError, ValueError):
    """An argument of a DAG, operator, task or group has a value that cannot be right."""


class DuplicateStateError(InvalidDefinition):
    """A state is named twice among allowed, skipped and failed states."""


class DuplicateTaskIdFound(InvalidDefinition, AirflowException):
    """Two tasks or groups of one DAG have the same id."""


class AirflowDagCycleException(InvalidDefinition, AirflowException):
    """The tasks of a DAG depend on each other in a circle."""


class TaskNotFound(AirflowNotFoundException):
    """A DAG has no task with this id."""


class FeatureNotAvailable(UserError, NotImplementedError):
    """The DAG uses a feature that this version of DagDeck does not have yet."""


def unavailable(feature: str, remedy: str = "") -> FeatureNotAvailable:
    """The error for a feature of Airflow's that this version lacks."""
    return FeatureNotAvailable(f"{feature} is not available in this version of DagDeck", remedy=remedy)


def invalid(
    message: str,
    *,
    subject: str = "",
    field: str = "",
    value: object = None,
    remedy: str = "",
    error: type[UserError] = InvalidDefinition,
) -> UserError:
    """The error about one argument: `subject` is `dag 'x'` or `dag 'x', task 'y'`, `field` the argument."""
    place = ", ".join(part for part in (subject, field) if part)
    return error(message, field=place, value=value, remedy=remedy)


def close_match(name: str, known: Collection[str]) -> str:
    """` (did you mean 'x'?)` when `known` holds something like `name`, otherwise nothing."""
    import difflib

    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""
