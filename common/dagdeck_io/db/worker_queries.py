"""What running tasks ask of the database: XComs, variables, connections, and other runs.

Decides the answers to `dagdeck_core.wire.REQUEST_METHODS`, as values that travel as JSON. Does not decide what a task
has written itself and not yet committed (the worker knows that). Made by `Database.worker_queries` on a connection of
its own; used by one thread of the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_core.ports import Revealing, XComWrite
from dagdeck_core.spec import DagSpec
from dagdeck_core.states import DagRunState
from dagdeck_core.wire import REQUEST_METHODS
from dagdeck_io.db import rows as r
from dagdeck_io.db import sealed_xcoms
from dagdeck_io.db.asset_queries import AssetQueries
from dagdeck_io.db.dialects import HotConnection, Row, Script, with_retry
from dagdeck_io.db.faults import NotFound
from dagdeck_io.db.types import unpack_spec
from dagdeck_io.db.worker_actions import SqlWorkerActions
from dagdeck_io.secrets import FIELD, Vault

LISTED = 100_000
"""Most values that one answer carries."""

_FOR_THE_ASKING_TASK = frozenset(
    {
        "xcom_set",
        "xcom_delete",
        "dag_run_trigger",
        "dag_run_clear",
        "task_state_get",
        "task_state_set",
        "task_state_delete",
        "asset_state_set",
    }
)


@dataclass(slots=True, kw_only=True)
class SqlWorkerQueries(AssetQueries):
    """One method per request; `answer` finds it by name."""

    connection: HotConnection
    vault: Vault | None
    actions: SqlWorkerActions
    default_retention: timedelta | None = None
    """How long states of task instances are kept that do not say; None: as long as their run."""

    def answer(self, ti_id: int, method: str, arguments: Mapping[str, Any]) -> Any:
        """The answer to one request of the task instance `ti_id`.

        Raises NotFound for what does not exist, UserError for arguments that make no sense, EnvironmentFault.
        """
        known = REQUEST_METHODS.get(method)
        if known is None or not set(arguments) <= set(known):
            raise UserError(f"there is no request {method!r} of this form")
        try:
            if method in _FOR_THE_ASKING_TASK:
                return getattr(self, method)(ti_id, **arguments)
            return getattr(self, method)(**arguments)
        except TypeError as error:
            raise UserError(f"the request {method!r} lacks an argument: {error}") from error

    # -------------------------------------------------------------- XComs

    def xcom_get(
        self,
        key: str,
        run_key: int,
        task_id: str | None = None,
        map_index: int | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        include_prior_dates: bool = False,
    ) -> list[list[Any]] | Revealing:
        """[map_index, JSON text] pairs by map_index; `map_index` None asks for all of the task.

        The run is `run_key`, or run `run_id` (else the one with the same logical date) of DAG `dag_id`. With
        `include_prior_dates`, the newest run up to that one that has a value counts, of another DAG up to the moment
        of the run that asks. Without a task, the newest
        value under this key counts.
        """
        script = self.connection.script()
        runs = self._runs(script, run_key, dag_id, run_id, include_prior_dates)
        conditions = [f"x.`key` = {script.text(key)}"]
        if task_id is not None:
            conditions.append(f"t.task_id = {script.text(task_id)}")
        if map_index is not None:
            conditions.append(f"t.map_index = {int(map_index)}")
        order = "r.logical_date DESC, r.run_key DESC, "
        order += "t.map_index" if task_id is not None else "x.timestamp DESC, x.ti_id DESC"
        script.read(
            f"SELECT t.map_index, x.value, r.run_key FROM {runs} JOIN task_instance t ON t.run_key = r.run_key "
            f"JOIN xcom x ON x.ti_id = t.ti_id WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT {LISTED}"
        )
        found = self._run(script)
        if task_id is None:
            found = found[:1]
        return self._exact([[index, value] for index, value, key_of_run in found if key_of_run == found[0][2]])

    def xcom_count(self, run_key: int, task_id: str, key: str) -> int:
        """How many instances of an expanded task have a value under this key."""
        script = self.connection.script()
        script.read(f"SELECT COUNT(*) FROM {self._instances_with(script, run_key, task_id, key)}")
        return int(self._run(script)[0][0])

    def xcom_page(self, run_key: int, task_id: str, key: str, offset: int, limit: int) -> list[list[Any]] | Revealing:
        """[map_index, JSON text] pairs of an expanded task's values, by map_index, from `offset` on."""
        script = self.connection.script()
        script.read(
            f"SELECT t.map_index, x.value FROM {self._instances_with(script, run_key, task_id, key)} "
            f"ORDER BY t.map_index LIMIT {max(0, min(int(limit), LISTED))} OFFSET {max(0, int(offset))}"
        )
        return self._exact([[index, value] for index, value in self._run(script)])

    def _exact(self, pairs: list[list[Any]]) -> list[list[Any]] | Revealing:
        """The pairs with sealed values as they were pushed."""
        revealed: dict[str, None] = {}
        for pair in pairs:
            if pair[1].startswith(sealed_xcoms.MARK):
                pair[1], secrets = sealed_xcoms.opened(pair[1], self._vault())
                revealed.update(dict.fromkeys(secrets))
        return Revealing(pairs, tuple(revealed)) if revealed else pairs

    def instance_count(self, run_key: int, task_id: str) -> int:
        """How many instances an expanded task has in this run."""
        script = self.connection.script()
        script.read(
            f"SELECT COUNT(*) FROM task_instance WHERE run_key = {int(run_key)} "
            f"AND task_id = {script.text(task_id)} AND map_index >= 0 AND state <> 'removed'"
        )
        return int(self._run(script)[0][0])

    @staticmethod
    def _instances_with(script: Script, run_key: int, task_id: str, key: str) -> str:
        """Instances t of an expanded task and their values x under a key; removed ones do not count."""
        return (
            f"task_instance t JOIN xcom x ON x.ti_id = t.ti_id WHERE t.run_key = {int(run_key)} "
            f"AND t.task_id = {script.text(task_id)} AND t.map_index >= 0 AND t.state <> 'removed' "
            f"AND x.`key` = {script.text(key)}"
        )

    @staticmethod
    def _runs(script: Script, run_key: int, dag_id: str | None, run_id: str | None, prior: bool) -> str:
        """The runs to look at, as a derived table r."""
        columns = "run_key, dag_id, COALESCE(logical_date, run_after) AS logical_date"
        own = f"FROM dag_run WHERE run_key = {int(run_key)}"
        wanted = f"(SELECT dag_id {own})" if dag_id is None else script.text(dag_id)
        if run_id is not None:
            chosen = f"dag_id = {wanted} AND run_id = {script.text(run_id)}"
        elif dag_id is not None:
            chosen = f"dag_id = {wanted} AND logical_date = (SELECT logical_date {own})"
        else:
            chosen = f"run_key = {int(run_key)}"
        if prior:
            # Of another DAG: its runs up to the one that asks. Runs that assets started have no logical date.
            last = f"run_key = {int(run_key)}" if dag_id is not None and run_id is None else chosen
            until = f"(SELECT MAX(COALESCE(logical_date, run_after)) FROM dag_run WHERE {last})"
            chosen = (
                f"dag_id = {wanted} AND (({chosen}) OR logical_date <= {until} "
                f"OR (logical_date IS NULL AND run_after <= {until}))"
            )
        return f"(SELECT {columns} FROM dag_run WHERE {chosen}) r"

    def xcom_delete(self, ti_id: int, key: str) -> None:
        """Remove a value of the asking task instance."""
        script = self.connection.script()
        script.add(f"DELETE FROM xcom WHERE ti_id = {int(ti_id)} AND `key` = {script.text(key)}")
        with_retry(lambda: self.connection.run(script))

    def xcom_set(self, ti_id: int, key: str, value: str | XComWrite) -> None:
        """Store a value of the asking task instance at once; `value` is JSON text, or what is to be sealed."""
        script = self.connection.script()
        if isinstance(value, XComWrite):
            value = sealed_xcoms.stored(value, self.vault)
        script.add(
            "REPLACE INTO xcom (ti_id, `key`, run_key, dispatch_no, value, timestamp) SELECT ti_id, "
            f"{script.text(key)}, run_key, dispatch_no, {script.text(value)}, {script.dialect.now} "
            f"FROM task_instance WHERE ti_id = {int(ti_id)} AND state = 'running'"
        )
        with_retry(lambda: self.connection.run(script))

    # -------------------------------------------------------------- variables, connections

    def variable_get(self, key: str) -> str:
        """The variable's text. Raises NotFound."""
        script = self.connection.script()
        script.read(f"SELECT value FROM variable WHERE `key` = {script.text(key)}")
        found = self._run(script)
        if not found:
            raise NotFound(f"there is no Variable {key!r}")
        return self._vault().decrypt(found[0][0])

    def variable_set(self, key: str, value: str, description: str | None = None) -> None:
        """Create or replace a variable; a description that is not given stays."""
        script = self.connection.script()
        script.add(
            f"UPDATE variable SET value = {script.text(self._vault().encrypt(value))}, "
            f"description = COALESCE({script.text(description)}, description), updated_at = {script.dialect.now} "
            f"WHERE `key` = {script.text(key)}"
        )
        script.insert(
            "variable",
            "`key`, value, description, updated_at",
            [value],
            lambda text: (
                f"({script.text(key)},{script.text(self._vault().encrypt(text))},"
                f"{script.text(description)},{script.dialect.now})"
            ),
            verb=script.dialect.insert_ignore,
        )
        with_retry(lambda: self.connection.run(script))

    def variable_delete(self, key: str) -> None:
        """Remove a variable. Raises NotFound."""
        script = self.connection.script()
        script.read(f"SELECT 1 FROM variable WHERE `key` = {script.text(key)}")
        script.add(f"DELETE FROM variable WHERE `key` = {script.text(key)}")
        if not with_retry(lambda: self.connection.run(script))[0]:
            raise NotFound(f"there is no Variable {key!r}")

    def connection_get(self, conn_id: str) -> dict[str, Any]:
        """The connection's parts. Raises NotFound."""
        parts = ("conn_id", "conn_type", "description", "host", "login", "password", "schema", "port", "extra")
        script = self.connection.script()
        columns = ", ".join(f"`{part}`" for part in parts)
        script.read(f"SELECT {columns} FROM connection WHERE conn_id = {script.text(conn_id)}")
        found = self._run(script)
        if not found:
            raise NotFound(f"there is no Connection {conn_id!r}")
        values = dict(zip(parts, found[0], strict=True))
        for secret in ("password", "extra"):
            if values[secret] is not None:
                values[secret] = self._vault().decrypt(values[secret])
        return values

    # -------------------------------------------------------------- other runs

    def task_states_get(
        self,
        dag_id: str,
        run_ids: Sequence[str] | None = None,
        task_ids: Sequence[str] | None = None,
        logical_dates: Sequence[datetime | str] | None = None,
        task_group_id: str | None = None,
        map_index: int | None = None,
    ) -> dict[str, dict[str, str | None]]:
        """{run_id: {task_id: state}}; a mapped task instance is named task_id_index, none is None.

        `task_group_id` adds the tasks of a group of the DAG's newest version. Raises NotFound for an unknown one.
        """
        script = self.connection.script()
        conditions = self._task_conditions(script, dag_id, run_ids, task_ids, logical_dates, task_group_id, map_index)
        script.read(
            "SELECT r.run_id, t.task_id, t.map_index, t.state FROM dag_run r JOIN task_instance t "
            f"ON t.run_key = r.run_key WHERE {' AND '.join(conditions)} ORDER BY r.run_key, t.ti_id LIMIT {LISTED}"
        )
        states: dict[str, dict[str, str | None]] = {}
        for run, task_id, map_index, state in self._run(script):
            name = task_id if map_index < 0 else f"{task_id}_{map_index}"
            states.setdefault(run, {})[name] = None if state == "none" else state
        return states

    def task_count(
        self,
        dag_id: str,
        run_ids: Sequence[str] | None = None,
        task_ids: Sequence[str] | None = None,
        logical_dates: Sequence[datetime | str] | None = None,
        task_group_id: str | None = None,
        map_index: int | None = None,
        states: Sequence[str | None] | None = None,
    ) -> int:
        """How many task instances there are that `task_states_get` would name, in these states if given."""
        script = self.connection.script()
        conditions = self._task_conditions(script, dag_id, run_ids, task_ids, logical_dates, task_group_id, map_index)
        conditions += _among(script, "t.state", None if states is None else [each or "none" for each in states])
        script.read(
            "SELECT COUNT(*) FROM dag_run r JOIN task_instance t ON t.run_key = r.run_key "
            f"WHERE {' AND '.join(conditions)}"
        )
        return int(self._run(script)[0][0])

    def _task_conditions(
        self,
        script: Script,
        dag_id: str,
        run_ids: Sequence[str] | None,
        task_ids: Sequence[str] | None,
        logical_dates: Sequence[datetime | str] | None,
        task_group_id: str | None,
        map_index: int | None,
    ) -> list[str]:
        if task_group_id is not None:
            task_ids = [*(task_ids or ()), *self._tasks_of_group(dag_id, task_group_id)]
        conditions = [f"r.dag_id = {script.text(dag_id)}"]
        conditions += _among(script, "r.run_id", run_ids) + _among(script, "t.task_id", task_ids)
        conditions += _dated(script, "r.logical_date", logical_dates)
        return conditions if map_index is None else [*conditions, f"t.map_index = {int(map_index)}"]

    def _tasks_of_group(self, dag_id: str, group_id: str) -> list[str]:
        spec = self._newest_spec(dag_id)
        members = spec.tasks_of_group(group_id)
        if not members:
            raise NotFound(f"the DAG {dag_id!r} has no task group {group_id!r}")
        return members

    def _newest_spec(self, dag_id: str) -> DagSpec:
        script = self.connection.script()
        script.read(
            "SELECT v.spec FROM dag d JOIN dag_version v ON v.version_id = d.version_id "
            f"WHERE d.dag_id = {script.text(dag_id)}"
        )
        found = self._run(script)
        if not found:
            raise NotFound(f"there is no DAG {dag_id!r}")
        return unpack_spec(found[0][0])

    def dag_get(
        self, dag_id: str, task_ids: Sequence[str] | None = None, task_group_id: str | None = None
    ) -> dict[str, Any]:
        """{"is_paused", "is_stale", "missing_task_ids", "has_task_group"} of a DAG. Raises NotFound."""
        script = self.connection.script()
        script.read(f"SELECT is_paused, is_stale FROM dag WHERE dag_id = {script.text(dag_id)}")
        found = self._run(script)
        if not found:
            raise NotFound(f"there is no DAG {dag_id!r}")
        missing: list[str] = []
        has_group = True
        if task_ids or task_group_id is not None:
            spec = self._newest_spec(dag_id)
            known = {task.task_id for task in spec.tasks}
            missing = [task_id for task_id in task_ids or () if task_id not in known]
            has_group = task_group_id is None or any(group.group_id == task_group_id for group in spec.groups)
        return {
            "is_paused": bool(found[0][0]),
            "is_stale": bool(found[0][1]),
            "missing_task_ids": missing,
            "has_task_group": has_group,
        }

    def dag_run_get(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The fields of a run (`DagRunContext`). Raises NotFound."""
        script = self.connection.script()
        script.read(
            f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE dag_id = {script.text(dag_id)} "
            f"AND run_id = {script.text(run_id)}"
        )
        found = self._run(script)
        if not found:
            raise NotFound(f"there is no run {run_id!r} of DAG {dag_id!r}")
        return self._run_fields(found[0])

    def previous_dag_run_get(
        self, dag_id: str, logical_date: datetime | str, state: str | None = None
    ) -> dict[str, Any] | None:
        """The fields of the run before `logical_date`, in `state` if given; None when there is none."""
        script = self.connection.script()
        conditions = [
            f"dag_id = {script.text(dag_id)}",
            f"logical_date < {script.instant(_instant(logical_date))}",
        ]
        if state is not None:
            conditions.append(f"state = '{_run_state(state)}'")
        script.read(
            f"SELECT {r.RUN_COLUMNS} FROM dag_run WHERE {' AND '.join(conditions)} ORDER BY logical_date DESC LIMIT 1"
        )
        found = self._run(script)
        return self._run_fields(found[0]) if found else None

    def dag_run_count(
        self,
        dag_id: str,
        run_ids: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
        logical_dates: Sequence[datetime | str] | None = None,
    ) -> int:
        """How many runs of the DAG there are, of these ids, dates and states if given."""
        script = self.connection.script()
        conditions = [f"dag_id = {script.text(dag_id)}", *_among(script, "run_id", run_ids)]
        conditions += _dated(script, "logical_date", logical_dates)
        if states is not None:
            conditions += _among(script, "state", [_run_state(state).value for state in states])
        script.read(f"SELECT COUNT(*) FROM dag_run WHERE {' AND '.join(conditions)}")
        return int(self._run(script)[0][0])

    # -------------------------------------------------------------- actions

    def dag_run_trigger(
        self,
        ti_id: int,
        key: str,
        dag_id: str,
        run_id: str | None = None,
        logical_date: datetime | str | None = None,
        conf: Mapping[str, Any] | None = None,
        note: str | None = None,
    ) -> dict[str, Any]:
        """See SqlWorkerActions.trigger; {"action_id"}."""
        date = None if logical_date is None else _instant(logical_date)
        return {"action_id": self.actions.trigger(ti_id, key, dag_id, run_id, date, conf, note)}

    def dag_run_clear(
        self,
        ti_id: int,
        key: str,
        dag_id: str,
        run_id: str | None = None,
        logical_date: datetime | str | None = None,
    ) -> dict[str, Any]:
        """See SqlWorkerActions.clear."""
        date = None if logical_date is None else _instant(logical_date)
        return self.actions.clear(ti_id, key, dag_id, run_id, date)

    def action_get(self, action_id: int) -> dict[str, Any]:
        """See SqlWorkerActions.outcome."""
        return self.actions.outcome(action_id)

    # -------------------------------------------------------------- inside

    def _run_fields(self, row: Row) -> dict[str, Any]:
        context = r.run_context(row, self.connection.dialect)
        fields = {name: getattr(context, name) for name in context.__struct_fields__}
        plain: dict[str, Any] = msgspec.to_builtins(fields, builtin_types=(datetime,))
        return plain

    def _run(self, script: Script) -> list[Row]:
        return with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]

    def _vault(self) -> Vault:
        if self.vault is None:
            raise UserError("variables and connections need a key", field=FIELD, remedy="Set it on this worker")
        return self.vault


def _among(script: Script, column: str, values: Sequence[str] | None) -> list[str]:
    """The condition that `column` is one of `values`; none for None, and one that never holds for no values."""
    if values is None:
        return []
    if not values:
        return ["1 = 0"]
    return [f"{column} IN ({','.join(script.text(str(value)) for value in values)})"]


def _dated(script: Script, column: str, dates: Sequence[datetime | str] | None) -> list[str]:
    """The condition that `column` is one of `dates`; none for None."""
    if dates is None:
        return []
    if not dates:
        return ["1 = 0"]
    return [f"{column} IN ({','.join(script.instant(_instant(date)) for date in dates)})"]


def _run_state(text: str) -> DagRunState:
    try:
        return DagRunState(text)
    except ValueError:
        raise UserError(
            "unknown run state", field="state", value=text, remedy=f"Use {', '.join(DagRunState)}"
        ) from None


def _instant(value: datetime | str) -> datetime:
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise UserError("this is no date", field="logical_date", value=value) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
