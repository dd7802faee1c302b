"""What running tasks ask about assets, and what they keep in state stores.

Decides the answers to the requests of these names (`dagdeck_core.wire.REQUEST_METHODS`). Does not register events (the
scheduler does). Mixed into `SqlWorkerQueries`, which finds a method by the request's name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagdeck_core.errors import UserError
from dagdeck_io.db.dialects import REPLACE, HotConnection, Row, Script, id_list, with_retry
from dagdeck_io.db.faults import NotFound
from dagdeck_io.db.types import from_json

MOST_EVENTS = 10_000
"""Most events that one answer carries."""
MOST_STATE_BYTES = 1_048_576
"""Most bytes that one stored state may have."""
_EVENT = (
    "e.asset_event_id, e.timestamp, e.extra, e.source_dag_id, e.source_run_id, e.source_task_id, e.source_map_index, "
    "e.partition_key, a.asset_id, a.name, a.uri, a.`group`, a.extra"
)
_RUN_TIMES = ("logical_date", "start_date", "end_date", "data_interval_start", "data_interval_end")
_ASSET = "a.asset_id, a.name, a.uri, a.`group`, a.extra"


class AssetQueries:
    """Answers over one connection, which `SqlWorkerQueries` has; `default_retention` None keeps states for ever."""

    connection: HotConnection
    default_retention: timedelta | None

    # -------------------------------------------------------------- assets and events

    def asset_get(self, name: str = "", uri: str = "") -> dict[str, Any]:
        """The active asset of this name and URI, as far as given. Raises NotFound."""
        script = self.connection.script()
        script.read(f"SELECT {_ASSET} FROM asset a WHERE a.is_active = 1 AND {_named(script, name, uri)}")
        found = self._rows(script)
        if not found:
            raise NotFound(f"there is no active asset with name {name!r} and uri {uri!r}")
        return _asset(found[0])

    def assets_inactive(self, keys: Sequence[Sequence[str]]) -> list[list[str]]:
        """Those of these (name, URI) that no active asset has."""
        script = self.connection.script()
        names = ",".join(script.text(str(name)) for name, _ in keys)
        if not names:
            return []
        script.read(f"SELECT a.name, a.uri FROM asset a WHERE a.is_active = 1 AND a.name IN ({names})")
        active = {(row[0], row[1]) for row in self._rows(script)}
        return [[name, uri] for name, uri in keys if (name, uri) not in active]

    def assets_of_alias(self, alias: str) -> list[dict[str, Any]]:
        """The assets whose events came through an alias."""
        script = self.connection.script()
        script.read(
            f"SELECT {_ASSET} FROM asset_alias l JOIN asset_alias_asset x ON x.alias_id = l.alias_id "
            f"JOIN asset a ON a.asset_id = x.asset_id WHERE l.name = {script.text(alias)} ORDER BY a.asset_id"
        )
        return [_asset(row) for row in self._rows(script)]

    def asset_events_get(
        self,
        name: str = "",
        uri: str = "",
        alias: str | None = None,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = True,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Events of an asset, or those that came through an alias, within the given times (both inclusive)."""
        script = self.connection.script()
        if alias is not None:
            source = (
                "asset_alias l JOIN asset_event_alias x ON x.alias_id = l.alias_id "
                "JOIN asset_event e ON e.asset_event_id = x.asset_event_id JOIN asset a ON a.asset_id = e.asset_id"
            )
            conditions = [f"l.name = {script.text(alias)}"]
        else:
            source = "asset a JOIN asset_event e ON e.asset_id = a.asset_id"
            conditions = [_named(script, name, uri)]
        if after is not None:
            conditions.append(f"e.timestamp >= {script.instant(_moment(after))}")
        if before is not None:
            conditions.append(f"e.timestamp <= {script.instant(_moment(before))}")
        order = "ASC" if ascending else "DESC"
        script.read(
            f"SELECT {_EVENT} FROM {source} WHERE {' AND '.join(conditions)} "
            f"ORDER BY e.asset_event_id {order} LIMIT {min(max(int(limit or MOST_EVENTS), 0), MOST_EVENTS)}"
        )
        return self._with_aliases(self._rows(script))

    def triggering_asset_events_get(self, run_key: int) -> list[dict[str, Any]]:
        """The events that a run consumed, oldest first."""
        script = self.connection.script()
        script.read(
            f"SELECT {_EVENT} FROM dag_run_asset_event x JOIN asset_event e ON e.asset_event_id = x.asset_event_id "
            f"JOIN asset a ON a.asset_id = e.asset_id WHERE x.run_key = {int(run_key)} "
            f"ORDER BY e.asset_event_id LIMIT {MOST_EVENTS}"
        )
        return self._with_aliases(self._rows(script))

    def asset_event_runs_get(self, event_id: int) -> list[dict[str, Any]]:
        """The runs that consumed an event, oldest first."""
        script, known = self.connection.script(), self.connection.dialect.read_instant
        script.read(
            f"SELECT r.run_id, r.dag_id, r.state, r.partition_key, {', '.join(f'r.{each}' for each in _RUN_TIMES)} "
            "FROM dag_run_asset_event x JOIN dag_run r ON r.run_key = x.run_key "
            f"WHERE x.asset_event_id = {int(event_id)} ORDER BY r.run_key LIMIT {MOST_EVENTS}"
        )
        found = []
        for run_id, dag_id, state, partition_key, *moments in self._rows(script):
            times = {name: known(value) for name, value in zip(_RUN_TIMES, moments, strict=True)}
            texts = {name: None if at is None else at.isoformat() for name, at in times.items()}
            found.append({"run_id": run_id, "dag_id": dag_id, "state": state, "partition_key": partition_key, **texts})
        return found

    def _with_aliases(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        aliases: dict[int, list[str]] = {}
        if rows:
            script = self.connection.script()
            script.read(
                "SELECT x.asset_event_id, l.name FROM asset_event_alias x JOIN asset_alias l "
                f"ON l.alias_id = x.alias_id WHERE x.asset_event_id IN ({id_list(row[0] for row in rows)}) "
                "ORDER BY l.name"
            )
            for event_id, name in self._rows(script):
                aliases.setdefault(event_id, []).append(name)
        return [
            {
                "id": row[0],
                "timestamp": self.connection.dialect.known_instant(row[1]).isoformat(),
                "extra": from_json(row[2]) if row[2] else {},
                "source_dag_id": row[3],
                "source_run_id": row[4],
                "source_task_id": row[5],
                "source_map_index": row[6],
                "partition_key": row[7],
                "asset": _asset(row[8:]),
                "source_aliases": aliases.get(row[0], []),
            }
            for row in rows
        ]

    # -------------------------------------------------------------- states of task instances

    def task_state_get(self, ti_id: int, key: str) -> str:
        """The JSON text of a state of the asking task instance. Raises NotFound."""
        script = self.connection.script()
        script.read(
            f"SELECT value FROM task_state_store WHERE ti_id = {int(ti_id)} AND `key` = {script.text(key)} "
            f"AND (expires_at IS NULL OR expires_at > {script.dialect.now})"
        )
        return self._state(self._rows(script), key)

    def task_state_set(self, ti_id: int, key: str, value: str, retention: float | None = None) -> None:
        """Store a state for so many seconds; None is the cluster's default, a negative number for ever."""
        kept = self.default_retention if retention is None else timedelta(seconds=retention)
        expires = datetime.now(UTC) + kept if kept is not None and kept >= timedelta() else None
        script = self.connection.script()
        script.insert(
            "task_state_store",
            "ti_id, `key`, value, updated_at, expires_at",
            [_checked(key, value)],
            lambda text: (
                f"({int(ti_id)},{script.text(key)},{script.text(text)},{script.dialect.now},{script.instant(expires)})"
            ),
            verb=REPLACE,
        )
        with_retry(lambda: self.connection.run(script))

    def task_state_delete(self, ti_id: int, key: str | None = None) -> None:
        """Forget a state of the asking task instance, or all."""
        script = self.connection.script()
        one = "" if key is None else f" AND `key` = {script.text(key)}"
        script.add(f"DELETE FROM task_state_store WHERE ti_id = {int(ti_id)}{one}")
        with_retry(lambda: self.connection.run(script))

    # -------------------------------------------------------------- states of assets

    def asset_state_get(self, key: str, name: str = "", uri: str = "") -> str:
        """The JSON text of a state of an asset. Raises NotFound."""
        asset_id = self.asset_get(name, uri)["asset_id"]
        script = self.connection.script()
        script.read(f"SELECT value FROM asset_state_store WHERE asset_id = {asset_id} AND `key` = {script.text(key)}")
        return self._state(self._rows(script), key)

    def asset_state_set(self, ti_id: int, key: str, value: str, name: str = "", uri: str = "") -> None:
        """Store a state of an asset, with who wrote it. Raises NotFound for an asset that is not there."""
        asset_id = self.asset_get(name, uri)["asset_id"]
        script = self.connection.script()
        script.read(
            "SELECT r.dag_id, r.run_id, t.task_id, t.map_index FROM task_instance t JOIN dag_run r "
            f"ON r.run_key = t.run_key WHERE t.ti_id = {int(ti_id)}"
        )
        found = self._rows(script)
        writer = dict(zip(("dag_id", "run_id", "task_id", "map_index"), found[0], strict=True)) if found else {}
        script = self.connection.script()
        script.insert(
            "asset_state_store",
            "asset_id, `key`, value, last_updated_by, updated_at",
            [_checked(key, value)],
            lambda text: (
                f"({asset_id},{script.text(key)},{script.text(text)},"
                f"{script.json({'kind': 'task', **writer})},{script.dialect.now})"
            ),
            verb=REPLACE,
        )
        with_retry(lambda: self.connection.run(script))

    def asset_state_delete(self, key: str | None = None, name: str = "", uri: str = "") -> None:
        """Forget a state of an asset, or all."""
        asset_id = self.asset_get(name, uri)["asset_id"]
        script = self.connection.script()
        one = "" if key is None else f" AND `key` = {script.text(key)}"
        script.add(f"DELETE FROM asset_state_store WHERE asset_id = {asset_id}{one}")
        with_retry(lambda: self.connection.run(script))

    # -------------------------------------------------------------- inside

    @staticmethod
    def _state(found: Sequence[Row], key: str) -> str:
        if not found:
            raise NotFound(f"there is no state {key!r}")
        return str(found[0][0])

    def _rows(self, script: Script) -> list[Row]:
        return with_retry(lambda: self.connection.run(script, begin=False, commit=False))[0]


def _named(script: Script, name: str, uri: str) -> str:
    conditions = [f"a.{column} = {script.text(value)}" for column, value in (("name", name), ("uri", uri)) if value]
    if not conditions:
        raise UserError("an asset is asked for by its name or its URI")
    return " AND ".join(conditions)


def _asset(row: Sequence[Any]) -> dict[str, Any]:
    extra = from_json(row[4]) if row[4] else {}
    return {"asset_id": row[0], "name": row[1], "uri": row[2], "group": row[3], "extra": extra}


def _checked(key: str, value: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= 512:
        raise UserError("a state's key is text of 1 to 512 characters", field="key", value=key)
    if len(value.encode()) > MOST_STATE_BYTES:
        raise UserError(f"a stored state may have {MOST_STATE_BYTES:,} bytes", field=key, value=f"{len(value):,}")
    json.loads(value)
    return value


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError("this is no date", value=text) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
