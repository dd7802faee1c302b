"""What running tasks do to other DAGs: trigger a run, clear one, and hear what became of that.

Decides how a task's wish becomes a row in the action table, the same row when the wish is repeated. Its effect is
decided by the scheduler, as for people's actions: there is one door. Used by one thread of the worker, through
`SqlWorkerQueries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core.actions import BY_TASK, Action, ActionState, ClearTaskInstances, TaskTarget, TriggerDagRun
from dagdeck_core.actions import action_encoder as encoder
from dagdeck_core.errors import UserError
from dagdeck_core.states import DagRunType
from dagdeck_io.db.dialects import HotConnection, with_retry
from dagdeck_io.db.faults import NotFound
from dagdeck_io.db.types import from_json, unpack_spec
from dagdeck_io.run_conf import check_conf

MAX_TARGETS = 100_000
MAX_KEY = 200


@dataclass(slots=True, kw_only=True)
class SqlWorkerActions:
    """Stores actions on behalf of the task instance `ti_id`; `new_id` makes row ids."""

    connection: HotConnection
    new_id: Callable[[], int]

    def trigger(
        self,
        ti_id: int,
        key: str,
        dag_id: str,
        run_id: str | None,
        logical_date: datetime | None,
        conf: Mapping[str, Any] | None,
        note: str | None,
    ) -> int:
        """Ask for a run of `dag_id`; the action's id.

        Raises NotFound for an unknown DAG, UserError when it cannot be triggered or the conf does not fit its params.
        """
        self._check(dag_id, conf or {})
        action = TriggerDagRun(
            dag_id=dag_id, run_id=run_id, logical_date=logical_date, conf=dict(conf or {}), note=note
        )
        return self._store(ti_id, key, action)

    def clear(
        self, ti_id: int, key: str, dag_id: str, run_id: str | None, logical_date: datetime | None
    ) -> dict[str, Any]:
        """Ask that a whole run be cleared: run `run_id`, else the one of `logical_date`; the action's id and run id.

        Raises NotFound when there is no such run.
        """
        run_key, found_id = self._run(dag_id, run_id, logical_date)
        script = self.connection.script()
        script.read(
            f"SELECT ti_id, task_id, map_index FROM task_instance WHERE run_key = {run_key} ORDER BY ti_id "
            f"LIMIT {MAX_TARGETS}"
        )
        rows = with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]
        targets = tuple(TaskTarget(ti_id=each[0], task_id=each[1], map_index=each[2]) for each in rows)
        action = ClearTaskInstances(run_key=run_key, targets=targets)
        return {"action_id": self._store(ti_id, key, action), "run_id": found_id}

    def outcome(self, action_id: int) -> dict[str, Any]:
        """{"state", "refused", "result"} of an action. Raises NotFound."""
        script = self.connection.script()
        script.read(f"SELECT state, refused, result FROM action WHERE action_id = {int(action_id)}")
        found = with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]
        if not found:
            raise NotFound(f"there is no action {action_id}")
        state, refused, result = found[0]
        return {"state": state, "refused": refused, "result": from_json(result) if result else {}}

    # -------------------------------------------------------------- inside

    def _check(self, dag_id: str, conf: Mapping[str, Any]) -> None:
        script = self.connection.script()
        script.read(
            "SELECT d.has_import_errors, d.is_stale, d.allowed_run_types, v.spec FROM dag d JOIN dag_version v "
            f"ON v.version_id = d.version_id WHERE d.dag_id = {script.text(dag_id)}"
        )
        found = with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]
        if not found:
            raise NotFound(f"there is no DAG {dag_id!r}")
        broken, stale, allowed, spec = found[0]
        if broken or stale:
            why = "has import errors" if broken else "is no longer in the DAG folder"
            raise UserError(f"the DAG {dag_id!r} {why}, so it cannot be triggered")
        types = None if allowed is None else from_json(allowed)
        if types is not None and DagRunType.OPERATOR_TRIGGERED not in types:
            raise UserError(f"the DAG {dag_id!r} does not allow operator_triggered runs")
        check_conf(unpack_spec(spec).params, conf)

    def _run(self, dag_id: str, run_id: str | None, logical_date: datetime | None) -> tuple[int, str]:
        script = self.connection.script()
        wanted = [] if run_id is None else [f"run_id = {script.text(run_id)}"]
        if logical_date is not None:
            wanted.append(f"logical_date = {script.instant(logical_date)}")
        if not wanted:
            raise UserError("a run to clear needs a run_id or a logical_date")
        script.read(
            f"SELECT run_key, run_id FROM dag_run WHERE dag_id = {script.text(dag_id)} AND ({' OR '.join(wanted)})"
        )
        found = with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]
        if not found:
            raise NotFound(f"the DAG {dag_id!r} has no such run")
        same_id = [row for row in found if row[1] == run_id]
        return (same_id or found)[0]

    def _store(self, ti_id: int, key: str, action: Action) -> int:
        """Insert the action unless the task asked for it before with this key; its id."""
        if not key or len(key) > MAX_KEY:
            raise UserError(f"the key of an action has 1 to {MAX_KEY} characters", field="key", value=key)
        actor = self._actor(ti_id)
        payload = msgspec.json.decode(encoder.encode(action))
        script = self.connection.script()
        row = (
            f"({self.new_id()},{script.text(key)},{script.text(payload['kind'])},{script.json(payload)},"
            f"{script.text(ActionState.PENDING)},{script.text(actor)},{script.text(BY_TASK)},{script.dialect.now})"
        )
        script.add(
            f"{script.dialect.insert_ignore} action "
            f"(action_id, idempotency_key, kind, payload, state, actor, source, requested_at) VALUES {row}"
        )
        script.read(
            f"SELECT action_id FROM action WHERE actor = {script.text(actor)} AND idempotency_key = {script.text(key)}"
        )
        return int(with_retry(lambda: self.connection.run(script))[0][0][0])

    def _actor(self, ti_id: int) -> str:
        script = self.connection.script()
        script.read(
            "SELECT r.dag_id, t.task_id FROM task_instance t JOIN dag_run r ON r.run_key = t.run_key "
            f"WHERE t.ti_id = {int(ti_id)}"
        )
        found = with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]
        if not found:
            raise NotFound(f"there is no task instance {ti_id}")
        return f"{found[0][0]}.{found[0][1]}"[:250]
