"""PriorityWeightStrategy: an author's own way to weigh task instances against each other.

Decides the interface, which is Airflow's, and what such code may look at: the task, its DAG and the number of the
try. Evaluated once for each try when the DAG file is parsed (`weights_of`), and stored in the spec as numbers; the
scheduler never runs it. Subclassed in DAG files and plugins; given to operators as weight_rule=.
"""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from dagdeck.exceptions import invalid

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator

MOST_TRIES = 32
"""Tries for which a weight is asked; later ones have that of the last."""
LARGEST_WEIGHT = 2**31 - 1


class PriorityWeightStrategy(ABC):
    """Base of strategies. They take no arguments, and equal classes are equal strategies."""

    @abstractmethod
    def get_weight(self, ti: Any) -> int:
        """The weight of a task instance; larger goes first. `ti.try_number` is 0 before the first try."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self))

    def __hash__(self) -> int:
        return hash(type(self))


class RunNotKnown(AttributeError):
    """A strategy asked for what only a task instance of a run has."""


class WeighedInstance:
    """What a strategy sees of a task instance that does not exist yet.

    Everything about a certain run is missing: a strategy that asks for it cannot be followed (`weights_of`).
    """

    def __init__(self, task: BaseOperator, try_number: int) -> None:
        self.task = task
        self.task_id = task.task_id
        self.dag_id = task.dag_id
        self.try_number = try_number
        self.max_tries = task.retries
        self.map_index = -1
        self.priority_weight = task.priority_weight
        self.pool = task.pool
        self.queue = task.queue
        self.state = None

    def __getattr__(self, name: str) -> Any:
        raise RunNotKnown(
            f"a priority strategy is asked before there is a run, so its task instance has no {name!r}; "
            "use what the task, its DAG and try_number say"
        )


def weights_of(task: BaseOperator) -> tuple[int, ...]:
    """The strategy's weights for the tries of `task`, the first first; without a strategy nothing.

    A strategy that looks at the run is not followed: the task has its priority_weight, and the author is warned. Raises
    UserError when the strategy raises anything else, or answers anything but a number that a database holds.
    """
    if "." not in task.weight_rule:
        return ()
    strategy = _strategy(task)
    try:
        weights = [_weight(task, strategy, number) for number in range(min(task.retries + 1, MOST_TRIES))]
    except RunNotKnown as unknown:
        warnings.warn(
            f"dag {task.dag_id!r}, task {task.task_id!r}: {unknown}; the task has its priority_weight instead",
            UserWarning,
            stacklevel=2,
        )
        return (int(task.priority_weight),)
    while len(weights) > 1 and weights[-1] == weights[-2]:
        weights.pop()
    return tuple(weights)


def _strategy(task: BaseOperator) -> PriorityWeightStrategy:
    module, _, name = task.weight_rule.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)()
    except Exception as error:
        raise invalid(
            f"this priority strategy cannot be made: {type(error).__name__}: {error}",
            subject=f"dag {task.dag_id!r}, task {task.task_id!r}",
            field="weight_rule",
            value=task.weight_rule,
            remedy="It must be a class at the top level of a module, and take no arguments",
        ) from error
    return cast("PriorityWeightStrategy", found)


def _weight(task: BaseOperator, strategy: PriorityWeightStrategy, try_number: int) -> int:
    subject = f"dag {task.dag_id!r}, task {task.task_id!r}"
    try:
        weight = strategy.get_weight(WeighedInstance(task, try_number))
    except RunNotKnown:
        raise
    except Exception as error:
        raise invalid(
            f"the priority strategy {type(strategy).__name__} raised {type(error).__name__}: {error}",
            subject=subject,
            field="weight_rule",
        ) from error
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or abs(weight) > LARGEST_WEIGHT:
        raise invalid(
            f"the priority strategy {type(strategy).__name__} must answer a whole number up to {LARGEST_WEIGHT:,}",
            subject=subject,
            field="weight_rule",
            value=weight,
        )
    return int(weight)
