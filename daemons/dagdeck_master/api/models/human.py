"""Answers about questions to people, and about deadlines of runs.

Decides the fields of these answers; those of questions are Airflow's. Filled by `queries.human`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dagdeck_master.api.models.runs import TaskInstanceHistoryResponse, TaskInstanceResponse


class _Answer(msgspec.Struct, kw_only=True):
    """Base of answers: every field is always sent, null included, as Airflow does."""


class HITLUser(_Answer):
    """A person who may answer, or has."""

    id: str
    name: str


class _Detail(_Answer):
    options: list[str]
    subject: str
    body: str | None
    defaults: list[str] | None
    multiple: bool
    params: dict[str, Any]
    assigned_users: list[HITLUser]
    created_at: datetime
    responded_by_user: HITLUser | None
    responded_at: datetime | None
    chosen_options: list[str] | None
    params_input: dict[str, Any]
    response_received: bool


class HITLDetail(_Detail):
    """A question of a task instance, with its answer once there is one."""

    task_instance: TaskInstanceResponse


class HITLDetailHistory(_Detail):
    """The same for a certain try."""

    task_instance: TaskInstanceHistoryResponse


class HITLDetailCollection(_Answer):
    """One page of questions."""

    hitl_details: list[HITLDetail]
    total_entries: int | None


class HITLDetailResponse(_Answer):
    """What a person has answered."""

    responded_by: HITLUser
    responded_at: datetime
    chosen_options: list[str]
    params_input: dict[str, Any]


class DeadlineResponse(_Answer):
    """A deadline of a run. `callback_state` is that of the work that calls its callback once it was missed."""

    id: str
    dag_id: str
    dag_run_id: str
    deadline_time: datetime
    missed: bool
    created_at: datetime
    alert_name: str | None
    reference: str
    interval: float | None
    callback: str
    callback_state: str | None
    callback_error: str | None


class DeadlineCollectionResponse(_Answer):
    """The deadlines of a run."""

    deadlines: list[DeadlineResponse]
    total_entries: int
