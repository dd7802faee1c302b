"""Trigger rules: whether a task may run, judged by how many of its direct upstream ended how.

Decides run, wait, skip or upstream_failed from counters alone, in constant time. Does not walk the
graph or know tasks. Called by the scheduling machine, by `explain()` and by `dag.test()`.
The rules are Airflow 3's (documentation, "Trigger Rules"); what each does when it can no longer hold
follows the behaviour of its scheduler. A removed instance (its map index went with a clear) has ended and speaks
neither for a success nor for a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dagdeck_core.spec import TriggerRule
from dagdeck_core.states import TERMINAL, TaskInstanceState


class Judgement(StrEnum):
    """What a trigger rule says of a task now."""

    RUN = "run"
    WAIT = "wait"
    SKIP = "skip"
    UPSTREAM_FAILED = "upstream_failed"


@dataclass(slots=True)
class UpstreamCounts:
    """How many direct upstream task instances there are and how many have ended in which state."""

    total: int = 0
    success: int = 0
    skipped: int = 0
    failed: int = 0
    upstream_failed: int = 0
    removed: int = 0
    setups: int = 0
    """How many of `total` are setups, and how many of those succeeded or were skipped."""
    setup_success: int = 0
    setup_skipped: int = 0

    @property
    def done(self) -> int:
        """Upstream task instances that have ended."""
        return self.success + self.skipped + self.failed + self.upstream_failed + self.removed

    def count(self, state: TaskInstanceState, step: int, *, is_setup: bool = False) -> None:
        """Count one more (`step` 1) or one less (−1) upstream in terminal `state`; other states do nothing."""
        if state is TaskInstanceState.SUCCESS:
            self.success += step
            if is_setup:
                self.setup_success += step
        elif state is TaskInstanceState.SKIPPED:
            self.skipped += step
            if is_setup:
                self.setup_skipped += step
        elif state is TaskInstanceState.FAILED:
            self.failed += step
        elif state is TaskInstanceState.UPSTREAM_FAILED:
            self.upstream_failed += step
        elif state is TaskInstanceState.REMOVED:
            self.removed += step


_RUN, _WAIT = Judgement.RUN, Judgement.WAIT
_SKIP, _UPSTREAM_FAILED = Judgement.SKIP, Judgement.UPSTREAM_FAILED


def _all_success(c: UpstreamCounts) -> Judgement:
    if c.failed or c.upstream_failed:
        return _UPSTREAM_FAILED
    if c.skipped:
        return _SKIP
    return _RUN if c.success + c.removed == c.total else _WAIT


def _all_failed(c: UpstreamCounts) -> Judgement:
    if c.success or c.skipped:
        return _SKIP
    return _RUN if c.failed + c.upstream_failed + c.removed == c.total else _WAIT


def _all_done(c: UpstreamCounts) -> Judgement:
    return _RUN if c.done == c.total else _WAIT


def _all_done_min_one_success(c: UpstreamCounts) -> Judgement:
    if c.skipped:
        return _SKIP
    if c.done < c.total:
        return _WAIT
    return _RUN if c.success else _UPSTREAM_FAILED


def _all_done_setup_success(c: UpstreamCounts) -> Judgement:
    if c.done < c.total:
        return _WAIT
    if not c.setups or c.setup_success:
        return _RUN
    return _SKIP if c.setup_skipped == c.setups else _UPSTREAM_FAILED


def _one_success(c: UpstreamCounts) -> Judgement:
    if c.success or not c.total:
        return _RUN
    if c.done < c.total:
        return _WAIT
    return _SKIP if c.skipped == c.total else _UPSTREAM_FAILED


def _one_failed(c: UpstreamCounts) -> Judgement:
    if c.failed or c.upstream_failed:
        return _RUN
    return _SKIP if c.done == c.total else _WAIT


def _one_done(c: UpstreamCounts) -> Judgement:
    if c.success or c.failed or not c.total:
        return _RUN
    return _SKIP if c.done == c.total else _WAIT


def _none_failed(c: UpstreamCounts) -> Judgement:
    if c.failed or c.upstream_failed:
        return _UPSTREAM_FAILED
    return _RUN if c.success + c.skipped + c.removed == c.total else _WAIT


def _none_failed_min_one_success(c: UpstreamCounts) -> Judgement:
    if c.failed or c.upstream_failed:
        return _UPSTREAM_FAILED
    if c.done < c.total:
        return _WAIT
    if c.success:
        return _RUN
    return _SKIP if c.skipped == c.total else _UPSTREAM_FAILED


def _none_skipped(c: UpstreamCounts) -> Judgement:
    if c.skipped:
        return _SKIP
    return _RUN if c.done == c.total else _WAIT


def _all_skipped(c: UpstreamCounts) -> Judgement:
    if c.success or c.failed or c.upstream_failed:
        return _SKIP
    return _RUN if c.skipped == c.total else _WAIT


def _always(c: UpstreamCounts) -> Judgement:
    return _RUN


_RULES: Mapping[TriggerRule, Callable[[UpstreamCounts], Judgement]] = {
    TriggerRule.ALL_SUCCESS: _all_success,
    TriggerRule.ALL_FAILED: _all_failed,
    TriggerRule.ALL_DONE: _all_done,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: _all_done_min_one_success,
    TriggerRule.ALL_DONE_SETUP_SUCCESS: _all_done_setup_success,
    TriggerRule.ONE_SUCCESS: _one_success,
    TriggerRule.ONE_FAILED: _one_failed,
    TriggerRule.ONE_DONE: _one_done,
    TriggerRule.NONE_FAILED: _none_failed,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
    TriggerRule.NONE_SKIPPED: _none_skipped,
    TriggerRule.ALL_SKIPPED: _all_skipped,
    TriggerRule.ALWAYS: _always,
}


def judge(rule: TriggerRule, counts: UpstreamCounts) -> Judgement:
    """What `rule` says of a task whose direct upstream stand as `counts` tell.

    A task without upstream runs under every rule, as in Airflow.
    """
    if not counts.total:
        return _RUN
    return _RULES[rule](counts)


def held_back(judgement: Judgement, states: Sequence[TaskInstanceState], *, is_teardown: bool) -> Judgement:
    """`judgement` of a task's trigger rule, with what holds it back further up (`Graph.guards`) in these `states`.

    A teardown waits until all has ended. Any other task needs success, whatever its rule says: a setup that failed or
    was skipped decides at once.
    """
    if not is_teardown:
        if TaskInstanceState.FAILED in states or TaskInstanceState.UPSTREAM_FAILED in states:
            return _UPSTREAM_FAILED
        if TaskInstanceState.SKIPPED in states:
            return _SKIP
    if judgement is not _RUN or all(state in TERMINAL for state in states):
        return judgement
    return _WAIT
