"""What people ask for: the payloads of rows in the `action` table.

Decides which actions exist and what each carries. The control API authorises, resolves (which task
instances a "clear downstream" means, by `dagdeck_core.graph`) and stores them; the scheduling
machine decides their effect; the scheduler's committer writes effect, audit record and result in
one transaction. Every action is explicit: it names rows, never a query, so what was authorised is
what happens.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from dagdeck_core.states import DagRunState, TaskInstanceState

BY_TASK = "operator"
"""The source of an action that a running task asked for; its actor is `dag_id.task_id`."""


class ActionState(StrEnum):
    """Where an action stands: only `pending` ones still have an effect to come."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"


class _Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """Base of all actions; JSON objects told apart by `kind`."""


class TriggerDagRun(_Action, frozen=True, kw_only=True, tag="trigger_dag_run"):
    """Create a manual run. `conf` was validated against the DAG's params by the API."""

    dag_id: str
    run_id: str | None = None
    logical_date: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    run_after: datetime | None = None
    conf: dict[str, Any] = {}
    note: str | None = None
    partition_key: str | None = None
    materializes: bool = False
    """Whether an asset was asked for and not the DAG: only the run's type tells."""


class CreateAssetEvent(_Action, frozen=True, kw_only=True, tag="create_asset_event"):
    """Record an event of an asset as if a task had emitted it."""

    asset_id: int
    extra: dict[str, Any] = {}
    partition_key: str | None = None


class DeleteQueuedEvents(_Action, frozen=True, kw_only=True, tag="delete_queued_events"):
    """Forget the events that wait for a DAG, or of an asset, or both; only those from before `before`, if given."""

    dag_id: str | None = None
    asset_id: int | None = None
    before: datetime | None = None


class SetDagsPaused(_Action, frozen=True, kw_only=True, tag="set_dags_paused"):
    """Pause or unpause DAGs. Running tasks go on; nothing new starts in a paused DAG."""

    dag_ids: tuple[str, ...]
    is_paused: bool


class TaskTarget(msgspec.Struct, frozen=True, array_like=True):
    """One task instance an action means, with the state in which the person saw it (None: any)."""

    ti_id: int
    task_id: str
    map_index: int = -1
    expected: TaskInstanceState | None = None


class ClearTaskInstances(_Action, frozen=True, kw_only=True, tag="clear_task_instances"):
    """Make task instances of one run none again, so that they run once more.

    `run_key` is the run's row id. `reset_run` puts a finished run back to queued (Airflow's
    reset_dag_runs); `latest_version` moves the run to the DAG's newest version first.
    """

    run_key: int
    targets: tuple[TaskTarget, ...]
    reset_run: bool = True
    latest_version: bool = False
    note: str | None = None


class SetTaskInstanceState(_Action, frozen=True, kw_only=True, tag="set_task_instance_state"):
    """Mark task instances of one run as success, failed or skipped."""

    run_key: int
    targets: tuple[TaskTarget, ...]
    state: TaskInstanceState
    note: str | None = None


class SetDagRunState(_Action, frozen=True, kw_only=True, tag="set_dag_run_state"):
    """Mark a run success or failed (its unfinished tasks end with it), or queue it again."""

    run_key: int
    state: DagRunState
    note: str | None = None


class DeleteDagRun(_Action, frozen=True, kw_only=True, tag="delete_dag_run"):
    """Remove a run and everything stored of it. Refused while a dispatch of it is live."""

    run_key: int


class RespondToInput(_Action, frozen=True, kw_only=True, tag="respond_to_input"):
    """Answer the question of a task instance that waits for a person. The API has checked who may, and what fits."""

    run_key: int
    ti_id: int
    task_id: str
    chosen_options: tuple[str, ...]
    params_input: dict[str, Any] = {}
    user_id: str
    user_name: str


class SetNote(_Action, frozen=True, kw_only=True, tag="set_note"):
    """Attach a note to a run, or to one task instance of it when `ti_id` is given. None removes it."""

    run_key: int
    ti_id: int | None = None
    note: str | None = None


class PutPool(_Action, frozen=True, kw_only=True, tag="put_pool"):
    """Create or change a pool. `slots` -1 means without limit. `create` refuses an existing name."""

    name: str
    slots: int
    description: str | None = None
    include_deferred: bool = False
    create: bool = False


class DeletePool(_Action, frozen=True, kw_only=True, tag="delete_pool"):
    """Remove a pool; the default pool cannot be removed."""

    name: str


class DeleteDag(_Action, frozen=True, kw_only=True, tag="delete_dag"):
    """Remove a DAG with its runs and versions. Refused while a run of it is unfinished."""

    dag_id: str


class SetWorkerDrain(_Action, frozen=True, kw_only=True, tag="set_worker_drain"):
    """Let a worker take nothing new (`drain`), or let it take work again."""

    worker_id: int
    drain: bool


Action = (
    TriggerDagRun
    | CreateAssetEvent
    | DeleteQueuedEvents
    | SetDagsPaused
    | ClearTaskInstances
    | SetTaskInstanceState
    | SetDagRunState
    | DeleteDagRun
    | RespondToInput
    | SetNote
    | PutPool
    | DeletePool
    | DeleteDag
    | SetWorkerDrain
)

action_encoder = msgspec.json.Encoder()
action_decoder = msgspec.json.Decoder(Action)
