"""Which rows of history are old, and in which order they go.

Decides what is old, given how long each kind of row is kept, and that nothing goes that somebody still needs: rows of
unfinished runs, the last run of a DAG, what is not settled. Does not decide how long that is (settings) nor how much
goes at a time (purge.py); DAG code is code_sweeps.py's. Called by retention.py, for deleting and for counting.

Ids begin with their time, so "older than" is a range of the primary key and needs no index. Every sweep is a
generator that yields after each transaction; what it reads are a few hundred keys at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dagdeck_core.ids import first_id_of
from dagdeck_io.db.audit_chain import AuditChain
from dagdeck_io.db.dialects import HotConnection, Row, id_list, with_retry
from dagdeck_io.db.purge import Purge
from dagdeck_io.db.removal import among, delete_dag, expire_runs, of_runs, of_task_instances, of_works
from dagdeck_io.db.run_tables import RemovalKind
from dagdeck_io.db.slices import Condition, Rows, plain

RUNS_AT_ONCE = 50
IDS_AT_ONCE = 500
WINDOW = 2000
"""Rows that are looked through at once where no key says which are old."""
_UNFINISHED = "run_key NOT IN (SELECT run_key FROM dag_run WHERE state IN ('queued', 'running'))"
_LOG_KEYS = ("ti_id", "dispatch_no", "offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPeriods:
    """How long each kind of row is kept, and how much goes in one transaction (rows, seconds)."""

    dag_runs: timedelta
    transitions: timedelta
    rendered_fields: timedelta
    xcoms: timedelta
    logs: timedelta
    audit: timedelta
    actions: timedelta
    callbacks: timedelta
    asset_events: timedelta
    workers: timedelta
    tokens: timedelta
    code: timedelta
    stale_dags: timedelta
    rows_per_step: int = 1000
    longest_step: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Old rows that go without a thought to others. `name` is for people."""

    name: str
    rows: Rows
    archived: bool = True


class Sweeps:
    """The sweeps of one pass at the time `now`, on one connection."""

    def __init__(
        self,
        connection: HotConnection,
        periods: RetentionPeriods,
        purge: Purge,
        now: datetime,
        audit: AuditChain | None = None,
    ) -> None:
        """`audit` cuts the audit log; without it that is kept."""
        self._audit_chain = audit
        self._connection = connection
        self._periods = periods
        self._purge = purge
        self._now = now

    def all(self) -> Iterator[None]:
        """Delete everything that is old."""
        yield from self.remains()
        yield from self.expired_runs()
        for sweep in self.plain():
            yield from self._purge.take_all(sweep.rows, archived=sweep.archived)
        yield from self._audit()
        yield from self._settled_work()
        yield from self._asset_events()
        yield from self._expired_states()
        yield from self._stale_dags()

    # -------------------------------------------------------------- what goes by time alone

    def plain(self) -> Iterator[Sweep]:
        """Rows of which nothing else depends."""
        periods = self._periods
        yield Sweep(name="task logs", rows=self._of_tasks("log_chunk", _LOG_KEYS, periods.logs, "created_at", "size"))
        rendered = self._of_tasks("rendered_fields", ("ti_id",), periods.rendered_fields, None, "LENGTH(fields)")
        yield Sweep(name="rendered fields", rows=rendered)
        xcoms = self._of_tasks("xcom", ("ti_id", "key"), periods.xcoms, "timestamp", "LENGTH(value)")
        yield Sweep(name="XComs of ended runs", rows=xcoms)
        yield Sweep(name="transitions", rows=self._by_id("transition", "transition_id", periods.transitions))
        yield Sweep(name="earlier tries", rows=self._by_id("task_instance_history", "dispatch_no", periods.transitions))
        actions = self._by_id("action", "action_id", periods.actions, "state <> 'pending'")
        yield Sweep(name="ended actions", rows=actions)
        ended = f"state IN ('lost', 'stopped') AND COALESCE(ended_at, last_seen_at) < {self._before(periods.workers)}"
        yield Sweep(name="ended workers", rows=self._by_id("worker", "worker_id", periods.workers, ended))
        over = f"(expires_at < {self._before(periods.tokens)} OR revoked_at < {self._before(periods.tokens)})"
        tokens = Rows(table="token", keys=("token_id",), where=plain(over))
        yield Sweep(name="tokens that are over", rows=tokens, archived=False)
        completed = f"completed_at < {self._before(periods.dag_runs)}"
        yield Sweep(name="backfills", rows=self._by_id("backfill", "backfill_id", periods.dag_runs, completed))
        told = plain(f"told_at < {self._before(timedelta(days=1))}")
        problems = Rows(table="problem", keys=("name", "owner"), where=told)
        yield Sweep(name="problems that nobody tells of any more", rows=problems, archived=False)
        asked = self._by_id("parse_request", "parse_request_id", timedelta(days=1))
        yield Sweep(name="requests to parse", rows=asked, archived=False)

    def _by_id(self, table: str, key: str, age: timedelta, condition: str = "1 = 1") -> Rows:
        text = f"{key} < {first_id_of(self._now - age)} AND {condition}"
        return Rows(table=table, keys=(key,), where=plain(text))

    def _of_tasks(self, table: str, keys: tuple[str, ...], age: timedelta, time: str | None, size: str) -> Rows:
        """Rows of task instances and dispatches that are both old, whose run has ended where they are needed."""
        first = first_id_of(self._now - age)
        text = f"ti_id > 0 AND ti_id < {first} AND dispatch_no < {first}"
        if time is not None:
            text += f" AND `{time}` < {self._before(age)}"
        if table != "log_chunk":
            text += f" AND {_UNFINISHED}"
        return Rows(table=table, keys=keys, where=plain(text), size=size)

    # -------------------------------------------------------------- runs

    def expired_where(self, state: str) -> Condition:
        """The condition of dag_run rows (alias r) that are old; the last run of a DAG in use stays."""
        at = self._before(self._periods.dag_runs)
        text = (
            f"r.state = '{state}' AND r.run_after < {at} AND r.end_date < {at} AND (EXISTS (SELECT 1 FROM dag_run n "
            "WHERE n.dag_id = r.dag_id AND n.run_after > r.run_after) OR NOT EXISTS "
            "(SELECT 1 FROM dag d WHERE d.dag_id = r.dag_id AND d.is_stale = 0))"
        )
        return plain(text)

    def expired_runs(self) -> Iterator[None]:
        """Runs that ended long ago, a few at a time, each time with all that is theirs."""
        for state in ("success", "failed"):
            while True:
                script = self._connection.script()
                where = self.expired_where(state)(script)
                found = self._read(
                    f"SELECT r.run_key, r.dag_id FROM dag_run r WHERE {where} ORDER BY r.run_after LIMIT {RUNS_AT_ONCE}"
                )
                if not found:
                    break
                self._purge.keep("dag_run", among("run_key", [row[0] for row in found]))
                for dag_id in dict.fromkeys(row[1] for row in found):
                    keys = [row[0] for row in found if row[1] == dag_id]
                    self._expire(dag_id, state, keys)
                self._purge.commit()
                yield
                yield from self.remains()

    def _expire(self, dag_id: str, state: str, run_keys: Sequence[int]) -> None:
        expire_runs(self._purge.script, dag_id, state, run_keys)
        self._purge.note("dag_run", len(run_keys))

    def remains(self) -> Iterator[None]:
        """What is left of runs and bundles that are gone already."""
        while True:
            found = self._read(f"SELECT kind, subject_id FROM removal ORDER BY kind, subject_id LIMIT {RUNS_AT_ONCE}")
            if not found:
                return
            for kind in (RemovalKind.EXPIRED_RUN, RemovalKind.DELETED_RUN, RemovalKind.BUNDLE):
                ids = [row[1] for row in found if row[0] == kind]
                if not ids:
                    continue
                if kind is RemovalKind.BUNDLE:
                    files = Rows(table="bundle_file", keys=("bundle_id", "path"), where=among("bundle_id", ids))
                    yield from self._purge.take_all(files, archived=False)
                else:
                    yield from self._remains_of_runs(ids, archived=kind is RemovalKind.EXPIRED_RUN)
                done = f"DELETE FROM removal WHERE kind = '{kind}' AND subject_id IN ({id_list(ids)})"
                self._purge.script.add(done)
                self._purge.commit()
                yield

    def _remains_of_runs(self, run_keys: Sequence[int], *, archived: bool) -> Iterator[None]:
        keys = id_list(run_keys)
        for key, table in (("work_id", "work"), ("ti_id", "task_instance")):
            whole = False
            while not whole:
                # Without an order: sorting a large run again and again would cost more than deleting it.
                found = self._read(f"SELECT {key} FROM {table} WHERE run_key IN ({keys}) LIMIT {IDS_AT_ONCE}")
                ids, whole = [row[0] for row in found], len(found) < IDS_AT_ONCE
                for rows in () if not ids else of_works(ids) if table == "work" else of_task_instances(ids):
                    yield from self._purge.take_all(rows, archived=archived)
                if not whole:
                    self._purge.commit()
                    yield
        for rows in of_runs(run_keys):
            yield from self._purge.take_all(rows, archived=archived)

    # -------------------------------------------------------------- the audit log

    def audit_where(self) -> str:
        """The condition of audit records that are old."""
        return f"event_log_id < {first_id_of(self._now - self._periods.audit)}"

    def _audit(self) -> Iterator[None]:
        """Old records, in the order of their chain and with its links; a signed checkpoint says that they were old."""
        while self._audit_chain is not None:
            self._purge.commit()
            links = self._audit_chain.old_links(self._now - self._periods.audit, max(self._purge.room, 1))
            if not links:
                return
            self._purge.keep("audit_log", among("event_log_id", [row[1] for row in links]))
            if not self._audit_chain.cut(self._purge.script, links, self._now):
                self._purge.drop()
                return
            self._purge.note("audit_log", len(links))
            self._purge.commit()
            yield

    # -------------------------------------------------------------- what others may depend on

    def settled_where(self) -> str:
        """The condition of work that is done with and old."""
        return f"settled = 1 AND work_id < {first_id_of(self._now - self._periods.callbacks)}"

    def _settled_work(self) -> Iterator[None]:
        while True:
            where = self.settled_where()
            found = self._read(f"SELECT work_id FROM work WHERE {where} ORDER BY work_id LIMIT {IDS_AT_ONCE}")
            if not found:
                return
            for rows in of_works([row[0] for row in found]):
                yield from self._purge.take_all(rows)
            self._purge.commit()
            yield

    def asset_events_where(self) -> str:
        """The condition of events (alias e) that no run consumed, or whose runs are gone, and no DAG waits with."""
        return (
            f"e.asset_event_id < {first_id_of(self._now - self._periods.asset_events)} "
            "AND NOT EXISTS (SELECT 1 FROM dag_run_asset_event x WHERE x.asset_event_id = e.asset_event_id) "
            "AND e.asset_event_id NOT IN (SELECT asset_event_id FROM queued_asset_event)"
        )

    def _asset_events(self) -> Iterator[None]:
        while True:
            found = self._read(
                f"SELECT e.asset_event_id FROM asset_event e WHERE {self.asset_events_where()} "
                f"ORDER BY e.asset_event_id LIMIT {IDS_AT_ONCE}"
            )
            if not found:
                return
            where = among("asset_event_id", [row[0] for row in found])
            keys = ("asset_event_id", "alias_id")
            yield from self._purge.take_all(Rows(table="asset_event_alias", keys=keys, where=where), archived=False)
            yield from self._purge.take_all(Rows(table="asset_event", keys=("asset_event_id",), where=where))
            self._purge.commit()
            yield

    def _expired_states(self) -> Iterator[None]:
        """Values of tasks' state stores whose time is over. No key says which, so all are looked through in windows."""
        now, last = self._connection.script().instant(self._now), 0
        while True:
            found = self._read(f"SELECT ti_id FROM task_state_store WHERE ti_id > {last} ORDER BY ti_id LIMIT {WINDOW}")
            if not found:
                return
            text = f"ti_id > {last} AND ti_id <= {found[-1][0]} AND expires_at < {now}"
            rows = Rows(table="task_state_store", keys=("ti_id", "key"), where=plain(text))
            yield from self._purge.take_all(rows, archived=False)
            last = found[-1][0]

    def stale_dags(self) -> list[str]:
        """DAGs that left the DAG folder long ago and have no runs any more."""
        found = self._read(
            f"SELECT d.dag_id FROM dag d WHERE d.is_stale = 1 AND d.last_expired < "
            f"{self._before(self._periods.stale_dags)} AND NOT EXISTS "
            "(SELECT 1 FROM dag_run r WHERE r.dag_id = d.dag_id) ORDER BY d.dag_id"
        )
        return [row[0] for row in found]

    def _stale_dags(self) -> Iterator[None]:
        for dag_id in self.stale_dags():
            self._purge.commit()
            script = self._purge.script
            script.add(
                f"DELETE FROM dag WHERE dag_id = {script.text(dag_id)} AND is_stale = 1 "
                f"AND last_expired < {self._before(self._periods.stale_dags)}",
                expect=1,
                what="removing a DAG that is gone",
            )
            delete_dag(script, dag_id)
            self._purge.note("dag", 1)
            self._purge.commit()
            yield

    # -------------------------------------------------------------- inside

    def _before(self, age: timedelta) -> str:
        return self._connection.script().instant(self._now - age)

    def _read(self, sql: str) -> Sequence[Row]:
        script = self._connection.script()
        script.read(sql)
        return with_retry(lambda: self._connection.run(script, begin=False, commit=False))[0]
