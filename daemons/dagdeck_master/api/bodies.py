"""Request bodies, as FastAPI parses and checks them.

Decides names, types, defaults and limits, as Airflow 3.3's. Does not decide what a request does (`routes`). Unknown
fields are refused where Airflow refuses them, so that a misspelt one does not silently do something else.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_master.api.filters import ExecutionRanges, Int, RowId, UtcDatetime

MAX_NAME = 250
Note = Annotated[str, Field(max_length=1000)]
DagId = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Names = Annotated[list[str], Field(max_length=1000)]


class StrictBody(BaseModel):
    """A body whose unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class DagPatchBody(StrictBody):
    """PATCH /dags and /dags/{dag_id}."""

    is_paused: bool


class TriggerDagRunBody(StrictBody):
    """POST /dags/{dag_id}/dagRuns. `logical_date` must be there; null means a run without one."""

    dag_run_id: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None
    data_interval_start: UtcDatetime | None = None
    data_interval_end: UtcDatetime | None = None
    logical_date: UtcDatetime | None = None
    run_after: UtcDatetime | None = None
    conf: dict[str, Any] | None = None
    note: str | None = None
    partition_key: str | None = None

    @model_validator(mode="after")
    def _interval_is_whole(self) -> TriggerDagRunBody:
        if (self.data_interval_start is None) != (self.data_interval_end is None):
            raise ValueError("Give both data_interval_start and data_interval_end, or neither")
        if self.data_interval_start and self.data_interval_end and self.data_interval_start > self.data_interval_end:
            raise ValueError("data_interval_start must not be later than data_interval_end")
        return self


class RespondBody(BaseModel):
    """PATCH …/hitlDetails."""

    chosen_options: Annotated[list[str], Field(min_length=1, max_length=1000)]
    params_input: dict[str, Any] = {}


class DagRunPatchBody(StrictBody):
    """PATCH …/dagRuns/{dag_run_id}."""

    state: Annotated[DagRunState, Field(json_schema_extra={"enum": ["queued", "success", "failed"]})] | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _state_can_be_set(self) -> DagRunPatchBody:
        if self.state is DagRunState.RUNNING:
            raise ValueError("A run cannot be set running: queue it, and the scheduler starts it")
        return self


class DagRunClearBody(StrictBody):
    """POST …/dagRuns/{dag_run_id}/clear."""

    dry_run: bool = True
    only_failed: bool = False
    only_new: bool = False
    run_on_latest_version: bool = False
    note: Note | None = None


class DagRunsBatchBody(StrictBody, ExecutionRanges):
    """POST /dags/~/dagRuns/list."""

    order_by: str | None = None
    page_offset: RowId = 0
    page_limit: RowId = 100
    dag_ids: Names | None = None
    states: Annotated[list[DagRunState | None], Field(max_length=10)] | None = None
    conf_contains: Annotated[str, Field(max_length=1000)] | None = None


class TaskInstancesBatchBody(StrictBody, ExecutionRanges):
    """POST /dags/~/dagRuns/~/taskInstances/list."""

    order_by: str | None = None
    page_offset: RowId = 0
    page_limit: RowId = 100
    dag_ids: Names | None = None
    dag_run_ids: Names | None = None
    task_ids: Names | None = None
    state: Annotated[list[TaskInstanceState | None], Field(max_length=20)] | None = None
    pool: Names | None = None
    queue: Names | None = None
    executor: Names | None = None


class ClearTaskInstancesBody(StrictBody):
    """POST /dags/{dag_id}/clearTaskInstances. An entry of `task_ids` is a task, a group, or [task, map_index]."""

    dry_run: bool = True
    start_date: UtcDatetime | None = None
    end_date: UtcDatetime | None = None
    only_failed: bool = True
    only_running: bool = False
    reset_dag_runs: bool = True
    task_ids: Annotated[list[str | tuple[str, Int]], Field(max_length=10_000)] | None = None
    dag_run_id: str | None = None
    include_upstream: bool = False
    include_downstream: bool = False
    include_future: bool = False
    include_past: bool = False
    run_on_latest_version: bool = False
    prevent_running_task: bool = False
    note: Note | None = None

    @model_validator(mode="after")
    def _window_and_run(self) -> ClearTaskInstancesBody:
        if self.only_failed and self.only_running:
            raise ValueError("only_failed and only_running both are set to True")
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise ValueError("end_date is sooner than start_date")
        if self.dag_run_id is None and (self.include_future or self.include_past):
            raise ValueError("include_future and include_past need a dag_run_id to begin from")
        return self


class PatchTaskInstanceBody(StrictBody):
    """PATCH …/taskInstances/{task_id}."""

    new_state: TaskInstanceState | None = None
    note: Note | None = None
    include_upstream: bool = False
    include_downstream: bool = False
    include_future: bool = False
    include_past: bool = False

    @model_validator(mode="after")
    def _state_can_be_set(self) -> PatchTaskInstanceBody:
        allowed = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.SKIPPED)
        if self.new_state is not None and self.new_state not in allowed:
            raise ValueError(f"'{self.new_state}' is not one of {[str(state) for state in allowed]}")
        return self


class PoolBody(StrictBody):
    """POST /pools. -1 slots means without limit."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    slots: Annotated[int, Field(ge=-1, le=2**31 - 1)]
    description: str | None = None
    include_deferred: bool = False
    team_name: Annotated[str, Field(max_length=50)] | None = None


class PoolPatchBody(StrictBody):
    """PATCH /pools/{pool_name}; a pool cannot be renamed."""

    pool: str | None = None
    slots: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    description: str | None = None
    include_deferred: bool | None = None
    team_name: Annotated[str, Field(max_length=50)] | None = None


class VariableBody(StrictBody):
    """POST /variables and PATCH /variables/{key}. A value that is not text is stored as JSON."""

    key: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    value: Any
    description: str | None = None
    team_name: Annotated[str, Field(max_length=50)] | None = None


class ConnectionBody(StrictBody):
    """POST /connections and PATCH /connections/{connection_id}."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    connection_id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.-]+$")]
    conn_type: Annotated[str, Field(min_length=1, max_length=500)]
    description: str | None = None
    host: Annotated[str, Field(max_length=500)] | None = None
    login: str | None = None
    schema_: Annotated[str, Field(max_length=500)] | None = Field(default=None, alias="schema")
    port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    password: str | None = None
    extra: str | None = None
    team_name: Annotated[str, Field(max_length=50)] | None = None


TokenScopeName = Annotated[str, Field(pattern="^(viewer|operator|admin)$")]
"""The role that a token is narrowed to."""
LifetimeSeconds = Annotated[int, Field(ge=1, le=10 * 365 * 86_400)]


class LoginBody(StrictBody):
    """POST /auth/token. `scope` and `lifetime` are DagDeck's own and narrow the token further."""

    username: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    scope: TokenScopeName | None = None
    lifetime: LifetimeSeconds | None = None


class TokenBody(StrictBody):
    """POST /api/dagdeck/v1/tokens. Without a `scope` the token may do what the caller may now."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None
    scope: TokenScopeName | None = None
    lifetime: LifetimeSeconds | None = None


ROLE_PATTERN = "^(restricted|viewer|operator|admin)$"
RoleNames = Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_NAME)]], Field(max_length=100)]
"""Names of roles that grants and DAG files give rights on DAGs to."""


class GrantBody(StrictBody):
    """POST /api/dagdeck/v1/grants: who may see or steer which DAGs."""

    subject_kind: Annotated[str, Field(pattern="^(user|role)$")]
    subject: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    level: Annotated[str, Field(pattern="^(viewer|operator)$")]
    target_kind: Annotated[str, Field(pattern="^(dag|pattern|tag)$")]
    target: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class UserBody(StrictBody):
    """POST /api/dagdeck/v1/users."""

    username: Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[\w.@+-]+$")]
    password: Annotated[str, Field(min_length=8, max_length=1024)]
    role: Annotated[str, Field(pattern=ROLE_PATTERN)]
    roles: RoleNames = []
    display_name: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    email: Annotated[str, Field(max_length=MAX_NAME)] | None = None


class UserPatchBody(StrictBody):
    """PATCH /api/dagdeck/v1/users/{username}; what is absent stays."""

    password: Annotated[str, Field(min_length=8, max_length=1024)] | None = None
    role: Annotated[str, Field(pattern=ROLE_PATTERN)] | None = None
    roles: RoleNames | None = None
    is_active: bool | None = None
