"""Retry policies and priority strategies as DAG files write them."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from dagdeck import DAG, EmptyOperator
from dagdeck.priority import PriorityWeightStrategy
from dagdeck.retry_policies import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryPolicy, RetryRule
from dagdeck.serialize import serialize_dag
from dagdeck_core.errors import UserError
from dagdeck_core.graph import build_graph
from dagdeck_core.states import TaskInstanceState
from tests.core.machine_driver import Driver, dag, tasks

S = TaskInstanceState


class Slow(ConnectionError):
    """A kind of ConnectionError."""


@pytest.mark.parametrize(
    ("rule", "error", "matches"),
    [
        (RetryRule(ConnectionError), Slow(), True),
        (RetryRule(ConnectionError, match_subclasses=False), Slow(), False),
        (RetryRule("builtins.ValueError"), ValueError(), True),
        (RetryRule(["no.such.module.Error", ValueError]), ValueError(), True),
        (RetryRule("no.such.module.Error"), ValueError(), False),
        (RetryRule("dagdeck.retry_policies.RetryRule"), ValueError(), False),
    ],
)
def test_which_exceptions_a_rule_is_about(rule: RetryRule, error: BaseException, matches: bool) -> None:
    assert rule.matches(error) is matches


def test_the_first_matching_rule_decides() -> None:
    policy = ExceptionRetryPolicy(
        [
            RetryRule(Slow, retry_delay=timedelta(seconds=5), reason="slow"),
            RetryRule(ConnectionError, RetryAction.FAIL),
        ],
        default=RetryAction.RETRY,
    )
    assert policy.evaluate(Slow(), 1, 3) == RetryDecision.retry(timedelta(seconds=5), "slow")
    assert policy.evaluate(ConnectionError(), 1, 3).action is RetryAction.FAIL
    assert policy.evaluate(ValueError(), 1, 3) == RetryDecision(action=RetryAction.RETRY)


def test_a_policy_survives_its_form_as_data() -> None:
    policy = ExceptionRetryPolicy([RetryRule([ValueError, "a.B"], retry_delay=timedelta(minutes=1))])
    again = ExceptionRetryPolicy.deserialize(policy.serialize())
    assert again.serialize() == policy.serialize()
    assert again.rules[0].exception_path == "builtins.ValueError,a.B"


def test_a_path_without_a_dot_is_refused() -> None:
    with pytest.raises(UserError, match="whole import path"):
        RetryRule("ValueError")


def test_a_policy_of_ones_own_needs_evaluate_alone() -> None:
    class Never(RetryPolicy):
        def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> Any:
            return RetryDecision.fail("never")

    assert Never().evaluate(ValueError(), 1, 2).reason == "never"
    with pytest.raises(NotImplementedError):
        Never().serialize()


# ---------------------------------------------------------------- priority


class Falling(PriorityWeightStrategy):
    """Less with every try."""

    def get_weight(self, ti: Any) -> int:
        return max(9 - 4 * ti.try_number, 1) + len(ti.task.downstream_task_ids)


class Curious(PriorityWeightStrategy):
    """Asks for what a run has."""

    def get_weight(self, ti: Any) -> int:
        return int(ti.dag_run.conf["weight"])


class Endless(PriorityWeightStrategy):
    """Answers what no database holds."""

    def get_weight(self, ti: Any) -> int:
        return 2**40


@pytest.mark.parametrize("rule", [Falling, Falling(), "tests.core.test_authoring_retry_policies.Falling"])
def test_a_strategy_is_asked_for_each_try_when_the_file_is_parsed(rule: Any) -> None:
    with DAG("d") as made:
        EmptyOperator(task_id="a", weight_rule=rule, retries=4) >> EmptyOperator(task_id="b")
    spec = serialize_dag(made)
    assert spec.tasks[0].weights == (10, 6, 2)
    assert spec.tasks[1].weights == ()
    assert build_graph(spec).priority == (10, 1)


@pytest.mark.parametrize(
    ("rule", "message"),
    [(Endless, "whole number"), ("no.such.Strategy", "cannot be made")],
)
def test_what_a_strategy_cannot_do(rule: Any, message: str) -> None:
    with DAG("d") as made:
        EmptyOperator(task_id="a", weight_rule=rule)
    with pytest.raises(UserError, match=message):
        serialize_dag(made)


def test_a_strategy_that_looks_at_the_run_is_not_followed_and_warned_of() -> None:
    with DAG("d") as made:
        EmptyOperator(task_id="a", weight_rule=Curious, priority_weight=7, retries=2)
    with pytest.warns(UserWarning, match="task 'a': .* has no 'dag_run'; .* the task has its priority_weight"):
        spec = serialize_dag(made)
    assert (spec.tasks[0].weights, build_graph(spec).priority) == ((7,), (7,))


def test_a_strategy_of_the_dag_file_itself_is_found() -> None:
    module = ModuleType("dag_file_of_this_test")
    exec(
        "from dagdeck.priority import PriorityWeightStrategy\n"
        "class Own(PriorityWeightStrategy):\n    def get_weight(self, ti): return 7\n",
        module.__dict__,
    )
    sys.modules[module.__name__] = module
    try:
        with DAG("d") as made:
            EmptyOperator(task_id="a", weight_rule=module.Own)
        assert serialize_dag(made).tasks[0].weights == (7,)
    finally:
        del sys.modules[module.__name__]


def test_each_try_has_its_own_weight_in_the_machine() -> None:
    specs = tasks("a", a={"weights": (10, 6, 2), "retries": 3, "retry_delay": 0.0, "weight_rule": "x.Y"})
    driver = Driver(dag("d", specs=specs))
    driver.trigger()
    seen = []
    for _ in range(4):
        row = driver.row("r.a")
        task = driver.machine.world.runs[row.run_key].by_id[row.ti_id]
        seen.append(task.priority)
        driver.end("r.a", S.UP_FOR_RETRY, next_at=driver.now)
    assert seen == [10, 6, 2, 2]
    driver.fail_over()
    row = driver.row("r.a")
    assert driver.machine.world.runs[row.run_key].by_id[row.ti_id].priority == 2
    driver.clear("r.a")
    assert driver.machine.world.runs[row.run_key].by_id[row.ti_id].priority == 2
