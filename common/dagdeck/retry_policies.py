"""Retry policies: what an author wants done about a failure, judged by the exception itself.

Decides the vocabulary, which is Airflow's, and how rules match. Evaluated in the task's own process when a try has
failed (`dagdeck_task.execution`); the verdict travels with the outcome, so neither worker nor scheduler ever runs
it. A policy can end a task early or choose the delay; it cannot give more tries than `retries`.
"""

from __future__ import annotations

import importlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from dagdeck.exceptions import invalid

if TYPE_CHECKING:
    from dagdeck.context import Context

_log = logging.getLogger("dagdeck.task")

ExceptionSpec = type[BaseException] | str
"""An exception class, or its import path."""


class RetryAction(Enum):
    """What is to be done about a failure."""

    RETRY = "retry"
    """Try again while tries are left, also after the delay that the decision names."""
    FAIL = "fail"
    """Fail now, whatever tries are left."""
    DEFAULT = "default"
    """What the task would do without a policy."""


@dataclass(frozen=True)
class RetryDecision:
    """A policy's verdict on one failure. `retry_delay` None keeps the task's own delay."""

    action: RetryAction = RetryAction.DEFAULT
    retry_delay: timedelta | None = None
    reason: str | None = None

    @classmethod
    def fail(cls, reason: str | None = None) -> RetryDecision:
        """Fail now."""
        return cls(action=RetryAction.FAIL, reason=reason)

    @classmethod
    def retry(cls, delay: timedelta | None = None, reason: str | None = None) -> RetryDecision:
        """Try again, after `delay` if given."""
        return cls(action=RetryAction.RETRY, retry_delay=delay, reason=reason)

    @classmethod
    def default(cls) -> RetryDecision:
        """As without a policy."""
        return cls()


class RetryPolicy(ABC):
    """Base of policies. `evaluate` runs in the task's process and sees the exception as it was raised.

    AirflowFailException and AirflowSensorTimeout fail a task without any policy being asked.
    """

    @abstractmethod
    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """The verdict on this failure. What it raises is logged, and counts as DEFAULT."""

    def serialize(self) -> dict[str, Any]:
        """The policy as data, where it has such a form."""
        raise NotImplementedError(f"{type(self).__name__} has no serialize method")

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RetryPolicy:
        """The policy that `serialize` described."""
        raise NotImplementedError(f"{cls.__name__} has no deserialize method")


@dataclass
class RetryRule:
    """What to do about these exceptions: a class, an import path, or several of them.

    With `match_subclasses` False only exactly these classes count. Raises UserError for a path without a dot.
    """

    exception: ExceptionSpec | list[ExceptionSpec]
    action: RetryAction = RetryAction.RETRY
    retry_delay: timedelta | None = None
    reason: str | None = None
    match_subclasses: bool = True
    _classes: tuple[type[BaseException], ...] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for spec in self._specs:
            if isinstance(spec, str) and "." not in spec:
                raise invalid(
                    "an exception is named by its whole import path",
                    field="exception",
                    value=spec,
                    remedy="For example 'builtins.ValueError'",
                )

    @property
    def _specs(self) -> Sequence[ExceptionSpec]:
        return self.exception if isinstance(self.exception, list) else [self.exception]

    @property
    def exception_path(self) -> str:
        """The import paths, with commas."""
        return ",".join(_path_of(spec) for spec in self._specs)

    def matches(self, exc: BaseException) -> bool:
        """Whether the rule is about `exc`. A path that cannot be imported here matches nothing."""
        if self._classes is None:
            self._classes = tuple(found for spec in self._specs if (found := _class_of(spec)) is not None)
        return isinstance(exc, self._classes) if self.match_subclasses else type(exc) in self._classes

    def serialize(self) -> dict[str, Any]:
        """The rule as data."""
        paths = [_path_of(spec) for spec in self._specs]
        data: dict[str, Any] = {
            "exception": paths if len(paths) > 1 else paths[0],
            "action": self.action.value,
            "match_subclasses": self.match_subclasses,
        }
        if self.retry_delay is not None:
            data["retry_delay"] = self.retry_delay.total_seconds()
        if self.reason is not None:
            data["reason"] = self.reason
        return data

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RetryRule:
        """The rule that `serialize` described."""
        seconds = data.get("retry_delay")
        return cls(
            exception=data["exception"],
            action=RetryAction(data["action"]),
            retry_delay=None if seconds is None else timedelta(seconds=seconds),
            reason=data.get("reason"),
            match_subclasses=data.get("match_subclasses", True),
        )


class ExceptionRetryPolicy(RetryPolicy):
    """Rules in order: the first that is about the exception decides, and `default` where none is."""

    def __init__(self, rules: Sequence[RetryRule], default: RetryAction = RetryAction.DEFAULT) -> None:
        self.rules = list(rules)
        self.default = default

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """The first matching rule's decision."""
        for rule in self.rules:
            if rule.matches(exception):
                reason = rule.reason or f"a rule is about {type(exception).__name__}"
                return RetryDecision(action=rule.action, retry_delay=rule.retry_delay, reason=reason)
        return RetryDecision(action=self.default)

    def serialize(self) -> dict[str, Any]:
        """The policy as data."""
        return {
            "__type": "ExceptionRetryPolicy",
            "rules": [rule.serialize() for rule in self.rules],
            "default": self.default.value,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ExceptionRetryPolicy:
        """The policy that `serialize` described."""
        rules = [RetryRule.deserialize(rule) for rule in data["rules"]]
        return cls(rules, RetryAction(data.get("default", "default")))


def _path_of(spec: ExceptionSpec) -> str:
    return spec if isinstance(spec, str) else f"{spec.__module__}.{spec.__qualname__}"


def _class_of(spec: ExceptionSpec) -> type[BaseException] | None:
    if isinstance(spec, type):
        return spec
    module, _, name = spec.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        _log.warning("the exception %s of a retry rule cannot be imported here, so the rule does not match it", spec)
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
