"""The audit record of an action: who asked for what, what was there before, and what it asked to be there after.

Decides what of an action is kept and how much of it. Does not decide an action's effect. Called by
scheduler_store.py before the transaction that ends the action: nobody but the scheduler changes what is read here,
except workers, whose tasks may end in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from dagdeck_core import actions as a
from dagdeck_core.records import ActionRecord
from dagdeck_io.db.dialects import HotConnection, id_list

LISTED = 100
"""Most task instances or DAGs that one record lists; `…_more` counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What audit_log stores of one action, apart from its result."""

    event: str
    actor: str
    source: str
    address: str | None = None
    token_id: int | None = None
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    logical_date: datetime | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


def read_audits(
    connection: HotConnection, action_ids: Sequence[int], known: Mapping[int, ActionRecord]
) -> dict[int, AuditEntry]:
    """The entries of these actions by id; ids that nobody knows are left out. `known` need not be read again."""
    found = {each: known[each] for each in action_ids if each in known}
    unknown = [each for each in action_ids if each not in found]
    if unknown:
        script = connection.script()
        script.read(
            "SELECT action_id, payload, actor, source, address, token_id FROM action "
            f"WHERE action_id IN ({id_list(unknown)})"
        )
        (rows,) = connection.run(script, begin=False, commit=False)
        found |= {row[0]: _record(*row) for row in rows}
    return {action_id: _entry(connection, record) for action_id, record in found.items()}


def _record(
    action_id: int, payload: bytes, actor: str, source: str, address: str | None, token_id: int | None
) -> ActionRecord:
    return ActionRecord(
        action_id=action_id,
        action=a.action_decoder.decode(payload),
        actor=actor,
        source=source,
        address=address,
        token_id=token_id,
    )


def _entry(connection: HotConnection, record: ActionRecord) -> AuditEntry:
    action = record.action
    request = msgspec.to_builtins(action)
    _shorten(request)
    place, before = _before(connection, action)
    return AuditEntry(
        event=request["kind"],
        actor=record.actor,
        source=record.source,
        address=record.address,
        token_id=record.token_id,
        request=request,
        before=before,
        after=_after(action),
        **place,
    )


def _shorten(values: dict[str, Any]) -> None:
    for name in ("targets", "dag_ids"):
        items = values.get(name)
        if items is not None and len(items) > LISTED:
            values[name], values[f"{name}_more"] = items[:LISTED], len(items) - LISTED


def _before(connection: HotConnection, action: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the action's subject stands (columns of the entry), and its state now."""
    match action:
        case a.ClearTaskInstances() | a.SetTaskInstanceState():
            return _tasks(connection, action.run_key, action.targets)
        case a.SetDagRunState() | a.DeleteDagRun() | a.SetNote():
            ti_id = action.ti_id if isinstance(action, a.SetNote) else None
            if ti_id is not None:
                return _tasks(connection, action.run_key, (a.TaskTarget(ti_id, ""),))
            return _run(connection, action.run_key)
        case a.RespondToInput():
            return _tasks(connection, action.run_key, (a.TaskTarget(action.ti_id, action.task_id),))
        case a.SetDagsPaused():
            return _paused(connection, action.dag_ids)
        case a.PutPool() | a.DeletePool():
            return {}, _one(connection, "pool", "name", action.name, ("slots", "include_deferred", "description"))
        case a.SetWorkerDrain():
            return {}, _one(connection, "worker", "worker_id", action.worker_id, ("name", "state"))
        case a.TriggerDagRun():
            return {"dag_id": action.dag_id, "run_id": action.run_id, "logical_date": action.logical_date}, {}
        case a.DeleteDag():
            return {"dag_id": action.dag_id}, {}
        case _:
            return {}, {}


def _after(action: Any) -> dict[str, Any]:
    match action:
        case a.ClearTaskInstances():
            return {"state": "none"}
        case a.SetTaskInstanceState() | a.SetDagRunState():
            return {"state": action.state.value}
        case a.RespondToInput():
            return {"chosen_options": list(action.chosen_options), "params_input": action.params_input}
        case a.SetDagsPaused():
            return {"is_paused": action.is_paused}
        case a.PutPool():
            return {
                "slots": action.slots,
                "include_deferred": action.include_deferred,
                "description": action.description,
            }
        case a.SetWorkerDrain():
            return {"state": "draining" if action.drain else "active"}
        case a.SetNote():
            return {"note": action.note}
        case _:
            return {}


def _run(connection: HotConnection, run_key: int) -> tuple[dict[str, Any], dict[str, Any]]:
    script = connection.script()
    script.read(f"SELECT dag_id, run_id, logical_date, state, note FROM dag_run WHERE run_key = {run_key}")
    (rows,) = connection.run(script, begin=False, commit=False)
    if not rows:
        return {}, {}
    dag_id, run_id, logical_date, state, note = rows[0]
    place = {"dag_id": dag_id, "run_id": run_id, "logical_date": connection.dialect.read_instant(logical_date)}
    return place, {"state": state, "note": note}


def _tasks(
    connection: HotConnection, run_key: int, targets: Sequence[a.TaskTarget]
) -> tuple[dict[str, Any], dict[str, Any]]:
    place, before = _run(connection, run_key)
    script = connection.script()
    script.read(
        "SELECT task_id, map_index, state, try_number, note FROM task_instance "
        f"WHERE ti_id IN ({id_list(target.ti_id for target in targets[:LISTED]) or 0}) ORDER BY ti_id"
    )
    (rows,) = connection.run(script, begin=False, commit=False)
    if len(targets) == 1 and rows:
        place |= {"task_id": rows[0][0], "map_index": rows[0][1]}
    listed = [{"task_id": r[0], "map_index": r[1], "state": r[2], "try_number": r[3], "note": r[4]} for r in rows]
    return place, {"run_state": before.get("state"), "task_instances": listed}


def _paused(connection: HotConnection, dag_ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    script = connection.script()
    names = ",".join(script.text(dag_id) for dag_id in dag_ids[:LISTED]) or "NULL"
    script.read(f"SELECT dag_id, is_paused FROM dag WHERE dag_id IN ({names}) ORDER BY dag_id")
    (rows,) = connection.run(script, begin=False, commit=False)
    place = {"dag_id": dag_ids[0]} if len(dag_ids) == 1 else {}
    return place, {"is_paused": {dag_id: bool(paused) for dag_id, paused in rows}}


def _one(connection: HotConnection, table: str, key: str, value: str | int, columns: Sequence[str]) -> dict[str, Any]:
    script = connection.script()
    shown = str(value) if isinstance(value, int) else script.text(value)
    script.read(f"SELECT {', '.join(columns)} FROM {table} WHERE {key} = {shown}")
    (rows,) = connection.run(script, begin=False, commit=False)
    return dict(zip(columns, rows[0], strict=True)) if rows else {}
