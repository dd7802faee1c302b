"""The tables of legal moves: complete, closed, and with the properties that the rest relies on."""

from __future__ import annotations

import pytest

from dagdeck_core.states import (
    DAG_RUN_MOVES,
    DISPATCHED,
    TASK_INSTANCE_MOVES,
    TERMINAL,
    DagRunState,
    TaskInstanceState,
    is_terminal,
    may_move,
    run_may_move,
)

S = TaskInstanceState


def test_values_are_airflows_words() -> None:
    assert {state.value for state in S} == {
        "none",
        "scheduled",
        "queued",
        "running",
        "success",
        "failed",
        "up_for_retry",
        "up_for_reschedule",
        "deferred",
        "awaiting_input",
        "skipped",
        "upstream_failed",
        "removed",
        "restarting",
    }
    assert {state.value for state in DagRunState} == {"queued", "running", "success", "failed"}


def test_every_state_has_its_row_and_every_move_its_reason() -> None:
    assert set(TASK_INSTANCE_MOVES) == set(S)
    assert set(DAG_RUN_MOVES) == set(DagRunState)
    assert all(reason for moves in TASK_INSTANCE_MOVES.values() for reason in moves.values())
    assert all(reason for moves in DAG_RUN_MOVES.values() for reason in moves.values())


@pytest.mark.parametrize("state", [state for state in S if state is not S.RESTARTING])
def test_everything_can_be_cleared(state: TaskInstanceState) -> None:
    assert state is S.NONE or may_move(state, S.NONE)


@pytest.mark.parametrize("state", [state for state in S if state is not S.REMOVED])
@pytest.mark.parametrize("mark", [S.SUCCESS, S.FAILED, S.SKIPPED])
def test_everything_can_be_marked(state: TaskInstanceState, mark: TaskInstanceState) -> None:
    assert state is mark or may_move(state, mark)


def test_what_has_ended_moves_only_by_a_clear_or_a_mark() -> None:
    assert {state for state in S if is_terminal(state)} == TERMINAL
    marks = {S.SUCCESS, S.FAILED, S.SKIPPED}
    for state in TERMINAL - {S.REMOVED}:
        assert set(TASK_INSTANCE_MOVES[state]) == {S.NONE, S.REMOVED, *marks} - {state}
    assert set(TASK_INSTANCE_MOVES[S.REMOVED]) == {S.NONE}


def test_only_a_queued_dispatch_can_begin_to_run() -> None:
    assert [state for state in S if may_move(state, S.RUNNING)] == [S.QUEUED]
    assert [state for state in S if may_move(state, S.RESTARTING)] == [S.RUNNING]


def test_a_running_task_is_dispatched_anew_only_as_queued() -> None:
    assert may_move(S.RUNNING, S.QUEUED)
    assert not may_move(S.RUNNING, S.SCHEDULED)
    assert {S.QUEUED, S.RUNNING, S.RESTARTING} == DISPATCHED
    assert not DISPATCHED & TERMINAL


def test_everything_is_reachable_from_none() -> None:
    seen, stack = {S.NONE}, [S.NONE]
    while stack:
        for state in TASK_INSTANCE_MOVES[stack.pop()]:
            if state not in seen:
                seen.add(state)
                stack.append(state)
    assert seen == set(S)


def test_runs() -> None:
    assert not run_may_move(DagRunState.SUCCESS, DagRunState.RUNNING), "an ended run is queued first"
    assert run_may_move(DagRunState.FAILED, DagRunState.QUEUED)
    assert not any(run_may_move(state, state) for state in DagRunState)
