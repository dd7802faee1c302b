"""Trigger rules against a statement of Airflow 3's documented rules in its own words, over all small upstreams.

The statement below is written over lists of states, one clause per sentence of the documentation and of the
scheduler's behaviour; the product judges by counters.
"""

from __future__ import annotations

import itertools

import pytest

from dagdeck_core.spec import TriggerRule
from dagdeck_core.states import TERMINAL, TaskInstanceState
from dagdeck_core.trigger_rules import Judgement, UpstreamCounts, judge

S = TaskInstanceState
R = TriggerRule
ENDED = [S.SUCCESS, S.FAILED, S.SKIPPED, S.UPSTREAM_FAILED]
FAILURES = (S.FAILED, S.UPSTREAM_FAILED)


def may_run(rule: TriggerRule, states: list[TaskInstanceState]) -> bool:
    """Airflow's documentation: when a task with this rule runs. What was removed is looked through."""
    ended = all(state in TERMINAL for state in states)
    kept = [state for state in states if state is not S.REMOVED]
    match rule:
        case R.ALL_SUCCESS:
            return all(state is S.SUCCESS for state in kept)
        case R.ALL_FAILED:
            return all(state in FAILURES for state in kept)
        case R.ALL_DONE:
            return ended
        case R.ALL_SKIPPED:
            return all(state is S.SKIPPED for state in states)
        case R.ONE_FAILED:
            return any(state in FAILURES for state in states)
        case R.ONE_SUCCESS:
            return S.SUCCESS in states
        case R.ONE_DONE:
            return S.SUCCESS in states or S.FAILED in states
        case R.NONE_FAILED:
            return ended and not any(state in FAILURES for state in states)
        case R.NONE_FAILED_MIN_ONE_SUCCESS:
            return ended and not any(state in FAILURES for state in states) and S.SUCCESS in states
        case R.NONE_SKIPPED:
            return ended and S.SKIPPED not in states
        case R.ALL_DONE_MIN_ONE_SUCCESS:
            return ended and S.SKIPPED not in states and S.SUCCESS in states
        case R.ALWAYS:
            return True
        case _:
            raise AssertionError(rule)


def can_still_run(rule: TriggerRule, states: list[TaskInstanceState]) -> bool:
    """Whether any way in which the rest may end lets it run."""
    choices = [[state] if state in TERMINAL else ENDED for state in states]
    return any(may_run(rule, list(ends)) for ends in itertools.product(*choices))


def instead(rule: TriggerRule, states: list[TaskInstanceState]) -> Judgement:
    """What becomes of a task whose rule can no longer hold."""
    failed = any(state in FAILURES for state in states)
    all_skipped = all(state is S.SKIPPED for state in states)
    if rule in (R.ALL_SUCCESS, R.NONE_FAILED):
        return Judgement.UPSTREAM_FAILED if failed else Judgement.SKIP
    if rule is R.NONE_FAILED_MIN_ONE_SUCCESS:
        return Judgement.SKIP if all_skipped else Judgement.UPSTREAM_FAILED
    if rule is R.ONE_SUCCESS:
        return Judgement.SKIP if all_skipped else Judgement.UPSTREAM_FAILED
    if rule is R.ALL_DONE_MIN_ONE_SUCCESS:
        return Judgement.SKIP if S.SKIPPED in states else Judgement.UPSTREAM_FAILED
    if rule is R.ALL_SKIPPED and not failed and S.SUCCESS not in states:
        return Judgement.WAIT  # for what was removed: the run ends as one that cannot go on
    return Judgement.SKIP


def counted(states: list[TaskInstanceState], setups: list[bool] | None = None) -> UpstreamCounts:
    flags = setups or [False] * len(states)
    counts = UpstreamCounts(total=len(states), setups=sum(flags))
    for state, is_setup in zip(states, flags, strict=True):
        counts.count(state, 1, is_setup=is_setup)
    return counts


RULES = [rule for rule in R if rule is not R.ALL_DONE_SETUP_SUCCESS]


@pytest.mark.parametrize("rule", RULES)
def test_every_small_upstream(rule: TriggerRule) -> None:
    """Counts up to five of each state at once: rules compare counts only with one another, 0 and 1."""
    for size in range(1, 6):
        for states in itertools.combinations_with_replacement([*ENDED, S.REMOVED, S.RUNNING], size):
            ends = list(states)
            got = judge(rule, counted(ends))
            if may_run(rule, ends):
                assert got is Judgement.RUN, (rule, ends)
            elif can_still_run(rule, ends):
                assert got is Judgement.WAIT, (rule, ends)
            else:
                assert got is instead(rule, ends), (rule, ends)


def test_every_small_teardown() -> None:
    """A teardown runs when all direct upstream has ended and a setup among it, if there is any, was successful."""
    for size in range(1, 5):
        for pairs in itertools.combinations_with_replacement(
            list(itertools.product([*ENDED, S.REMOVED, S.RUNNING], [True, False])), size
        ):
            states, setups = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            of_setups = [state for state, is_setup in pairs if is_setup]
            got = judge(R.ALL_DONE_SETUP_SUCCESS, counted(states, setups))
            if S.RUNNING in states:
                wanted = Judgement.WAIT
            elif not of_setups or S.SUCCESS in of_setups:
                wanted = Judgement.RUN
            elif all(state is S.SKIPPED for state in of_setups):
                wanted = Judgement.SKIP
            else:
                wanted = Judgement.UPSTREAM_FAILED
            assert got is wanted, pairs


@pytest.mark.parametrize("rule", list(R))
def test_without_upstream_every_rule_runs(rule: TriggerRule) -> None:
    assert judge(rule, UpstreamCounts()) is Judgement.RUN


@pytest.mark.parametrize(
    ("setups", "work", "judgement"),
    [
        ([S.SUCCESS], [S.SUCCESS], Judgement.RUN),
        ([S.SUCCESS], [S.FAILED], Judgement.RUN),
        ([S.SUCCESS], [S.RUNNING], Judgement.WAIT),
        ([S.FAILED], [S.UPSTREAM_FAILED], Judgement.UPSTREAM_FAILED),
        ([S.FAILED], [S.RUNNING], Judgement.WAIT),
        ([S.SKIPPED], [S.SKIPPED], Judgement.SKIP),
        ([S.SKIPPED, S.SUCCESS], [S.SUCCESS], Judgement.RUN),
        ([S.SKIPPED, S.FAILED], [S.FAILED], Judgement.UPSTREAM_FAILED),
        ([], [S.FAILED], Judgement.RUN),
        ([], [S.RUNNING], Judgement.WAIT),
    ],
)
def test_all_done_setup_success(
    setups: list[TaskInstanceState], work: list[TaskInstanceState], judgement: Judgement
) -> None:
    counts = counted(setups + work, [True] * len(setups) + [False] * len(work))
    assert judge(R.ALL_DONE_SETUP_SUCCESS, counts) is judgement


def test_removed_upstream_counts_as_ended() -> None:
    assert judge(R.ALL_DONE, counted([S.REMOVED, S.SUCCESS])) is Judgement.RUN
    assert judge(R.ALL_SUCCESS, counted([S.REMOVED, S.SUCCESS])) is Judgement.RUN


def test_counting_back_undoes_counting() -> None:
    counts = counted([S.SUCCESS, S.SKIPPED, S.FAILED, S.UPSTREAM_FAILED, S.REMOVED], [True] * 5)
    for state in (S.SUCCESS, S.SKIPPED, S.FAILED, S.UPSTREAM_FAILED, S.REMOVED):
        counts.count(state, -1, is_setup=True)
    assert counts == UpstreamCounts(total=5, setups=5)
    assert counts.done == 0
