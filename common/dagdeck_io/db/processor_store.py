"""The DAG processor's store: makes a parsed DAG folder what the scheduler and people see.

Decides when a DAG gets a new version (its spec, or the code that it may read, changed), how DAGs become stale and
come back, and that errors replace errors while DAGs keep their last good version. Does not parse, and does not judge
specs. Made by `Database.processor_store`, used by the DAG processor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dagdeck_core.dag_access import access_levels
from dagdeck_core.scheduling.timetable_answers import WARNING as TIMETABLE_WARNING
from dagdeck_core.spec import DagSpec, encode_spec
from dagdeck_core.timetables import is_partitioned
from dagdeck_io.db.access import DatabaseAccess
from dagdeck_io.db.asset_publishing import CONFLICT, AssetPublisher
from dagdeck_io.db.dialects import with_retry
from dagdeck_io.db.faults import Contention
from dagdeck_io.db.tables import (
    NAME,
    bundle,
    dag,
    dag_access,
    dag_tag,
    dag_version,
    dag_warning,
    import_error,
    lease,
    parse_request,
)
from dagdeck_io.secrets import Vault

HEARTBEAT = "dag_processor"
"""Name of the lease row whose renewed_at shows that the DAG processor lives."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDag:
    """One DAG as parsed now. `code_sha256` is the same as long as all that its code may read is.

    The timetable's words come from `dagdeck_core.timetables`; they are stored for lists and filters.
    """

    spec: DagSpec
    code_sha256: str
    parse_duration: float
    timetable_type: str = ""
    timetable_summary: str = ""
    timetable_description: str = ""
    timetable_periodic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFailure:
    """Why a file of a bundle, or some of its DAGs, cannot be used."""

    filename: str
    message: str
    line: int | None = None
    stack_trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DagWarning:
    """Something about a DAG that people should know; `warning_type` is Airflow's DagWarningType."""

    dag_id: str
    warning_type: str
    message: str


@dataclass(slots=True, kw_only=True)
class SqlProcessorStore:
    """See the module. Repeating a call is harmless; every method may raise EnvironmentFault."""

    database: DatabaseAccess
    paused_at_creation: bool = True
    """What a new DAG is that does not say is_paused_upon_creation."""
    vault: Vault | None = None
    """Encrypts the arguments of triggers that watch assets."""

    def owners(self, bundle_name: str) -> dict[str, str]:
        """dag_id → file that defines it, of this bundle's DAGs that are not stale."""
        query = sa.select(dag.c.dag_id, dag.c.fileloc).where(dag.c.bundle_name == bundle_name, ~dag.c.is_stale)
        with self.database.reading() as connection:
            return {row.dag_id: row.fileloc for row in connection.execute(query.order_by(dag.c.dag_id))}

    def publish(
        self,
        bundle_name: str,
        bundle_version: str,
        dags: Sequence[PublishedDag],
        failures: Sequence[ImportFailure],
        *,
        warnings: Sequence[DagWarning] = (),
        complete: bool = True,
        kept_files: Collection[str] = (),
    ) -> list[str]:
        """Store all of it in one transaction; the dag_ids that changed for the scheduler, sorted.

        `complete`: DAGs that are not named become stale, unless their file is in `kept_files` (it has errors), and
        errors that are not named go. Otherwise both stay as they are.
        """
        return with_retry(
            lambda: self._publish(bundle_name, bundle_version, dags, failures, warnings, complete, kept_files)
        )

    def folder_failed(self, bundle_name: str, failure: ImportFailure) -> None:
        """Show that the folder as a whole cannot be used now; DAGs stay as they are."""
        with self.database.writing() as connection:
            self._write_failures(connection, bundle_name, None, [failure], drop_others=False)

    def take_parse_requests(self, bundle_name: str) -> list[str]:
        """Files that somebody asked to be parsed again; the requests are gone afterwards."""
        columns = (parse_request.c.parse_request_id, parse_request.c.filename)
        with self.database.reading() as connection:
            query = sa.select(*columns).where(parse_request.c.bundle_name == bundle_name)
            found = connection.execute(query.order_by(parse_request.c.parse_request_id)).all()
        if found:
            with self.database.writing() as connection:
                for some in _chunks([row.parse_request_id for row in found]):
                    connection.execute(parse_request.delete().where(parse_request.c.parse_request_id.in_(some)))
        return list(dict.fromkeys(row.filename for row in found))

    def last_heartbeat(self) -> tuple[str, int] | None:
        """Who showed last that it lives, and a number that each heartbeat raises; None before the first."""
        query = sa.select(lease.c.owner, lease.c.counter).where(lease.c.name == HEARTBEAT, lease.c.shard == 0)
        with self.database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (str(row.owner), int(row.counter))

    def heartbeat(self, owner: str) -> None:
        """Show that the DAG processor lives (the API's health)."""
        # The database's own clock: people compare it with the database's other times.
        clock = sa.text(self.database.clock)
        values = {"owner": owner, "counter": lease.c.counter + 1, "renewed_at": clock}
        key = (lease.c.name == HEARTBEAT, lease.c.shard == 0)
        with self.database.writing() as connection:
            if connection.execute(lease.update().where(*key).values(values)).rowcount == 0:
                connection.execute(
                    lease.insert().values(name=HEARTBEAT, shard=0, owner=owner, epoch=0, counter=1, renewed_at=clock)
                )

    # -------------------------------------------------------------- inside one transaction

    def _publish(
        self,
        bundle_name: str,
        bundle_version: str,
        dags: Sequence[PublishedDag],
        failures: Sequence[ImportFailure],
        warnings: Sequence[DagWarning],
        complete: bool,
        kept_files: Collection[str],
    ) -> list[str]:
        now = datetime.now(UTC)
        changed: list[str] = []
        failed_files = {failure.filename for failure in failures}
        with self.database.writing() as connection:
            known = self._known(connection)
            unchanged: list[str] = []
            for each in dags:
                if self._publish_dag(connection, bundle_name, bundle_version, each, known, now):
                    changed.append(each.spec.dag_id)
                else:
                    unchanged.append(each.spec.dag_id)
            self._touch(connection, unchanged, bundle_version, now)
            assets = AssetPublisher(connection, self.database.new_id, now, self.vault)
            if changed:
                assets.publish([each.spec for each in dags if each.spec.dag_id in set(changed)])
            if complete:
                named = {each.spec.dag_id for each in dags}
                gone = [
                    dag_id
                    for dag_id, row in known.items()
                    if row["bundle_name"] == bundle_name
                    and not row["is_stale"]
                    and dag_id not in named
                    and row["fileloc"] not in kept_files
                ]
                self._make_stale(connection, gone, now)
                assets.retire(gone)
                changed += gone
            if changed:
                assets.activate()
            warnings = [*warnings, *_conflicts(assets)]
            self._write_failures(connection, bundle_name, bundle_version, failures, drop_others=complete)
            self._mark_errors(connection, bundle_name, failed_files, complete)
            self._write_warnings(connection, [each.spec.dag_id for each in dags], warnings, now)
            connection.execute(
                bundle.update()
                .where(bundle.c.name == bundle_name, bundle.c.version == bundle_version)
                .values(published_at=now)
            )
        return sorted(changed)

    @staticmethod
    def _known(connection: sa.Connection) -> dict[str, dict[str, Any]]:
        columns = (
            dag.c.dag_id,
            dag.c.bundle_name,
            dag.c.fileloc,
            dag.c.is_stale,
            dag.c.version_number,
            dag_version.c.spec_sha256,
            dag_version.c.code_sha256,
        )
        source = dag.outerjoin(dag_version, dag_version.c.version_id == dag.c.version_id)
        rows = connection.execute(sa.select(*columns).select_from(source).order_by(dag.c.dag_id))
        return {row.dag_id: dict(row._mapping) for row in rows}

    def _publish_dag(
        self,
        connection: sa.Connection,
        bundle_name: str,
        bundle_version: str,
        each: PublishedDag,
        known: Mapping[str, Mapping[str, Any]],
        now: datetime,
    ) -> bool:
        """Store one DAG when something of it changed; whether it did."""
        dag_id = each.spec.dag_id
        row = known.get(dag_id)
        spec_sha256 = hashlib.sha256(encode_spec(each.spec)).hexdigest()
        same_code = row is not None and (row["spec_sha256"], row["code_sha256"]) == (spec_sha256, each.code_sha256)
        if row is not None and same_code and not row["is_stale"] and row["bundle_name"] == bundle_name:
            return False
        values = _dag_values(each, bundle_name, bundle_version, now)
        if not same_code:
            number = 1 if row is None else row["version_number"] + 1
            values |= {"version_id": self.database.new_id(), "version_number": number}
            connection.execute(
                dag_version.insert().values(
                    version_id=values["version_id"],
                    dag_id=dag_id,
                    version_number=number,
                    bundle_name=bundle_name,
                    bundle_version=bundle_version,
                    spec_sha256=spec_sha256,
                    code_sha256=each.code_sha256,
                    spec=each.spec,
                    created_at=now,
                )
            )
        if row is None:
            asked = each.spec.is_paused_upon_creation
            values["is_paused"] = self.paused_at_creation if asked is None else asked
            connection.execute(dag.insert().values(dag_id=dag_id, created_at=now, revision=1, **values))
        else:
            values["revision"] = dag.c.revision + 1
            if not connection.execute(dag.update().where(dag.c.dag_id == dag_id).values(**values)).rowcount:
                raise Contention(f"the DAG {dag_id} was removed at this very moment")
        connection.execute(dag_tag.delete().where(dag_tag.c.dag_id == dag_id))
        tags = sorted({tag[:100] for tag in each.spec.tags})
        if tags:
            connection.execute(dag_tag.insert(), [{"dag_id": dag_id, "name": tag} for tag in tags])
        connection.execute(dag_access.delete().where(dag_access.c.dag_id == dag_id))
        levels = access_levels(each.spec.access_control)
        if levels:
            said = [{"dag_id": dag_id, "role": role[:NAME], "level": level.value} for role, level in levels.items()]
            connection.execute(dag_access.insert(), said)
        return True

    @staticmethod
    def _touch(connection: sa.Connection, dag_ids: Sequence[str], bundle_version: str, now: datetime) -> None:
        for some in _chunks(dag_ids):
            connection.execute(
                dag.update().where(dag.c.dag_id.in_(some)).values(bundle_version=bundle_version, last_parsed_time=now)
            )

    @staticmethod
    def _make_stale(connection: sa.Connection, dag_ids: Sequence[str], now: datetime) -> None:
        for some in _chunks(dag_ids):
            connection.execute(
                dag.update()
                .where(dag.c.dag_id.in_(some))
                .values(is_stale=True, has_import_errors=False, last_expired=now, revision=dag.c.revision + 1)
            )

    def _write_failures(
        self,
        connection: sa.Connection,
        bundle_name: str,
        bundle_version: str | None,
        failures: Sequence[ImportFailure],
        *,
        drop_others: bool,
    ) -> None:
        """Replace errors file by file; one that says the same keeps its id and time."""
        of_bundle = import_error.c.bundle_name == bundle_name
        before = {row.filename: row for row in connection.execute(sa.select(import_error).where(of_bundle))}
        named = {failure.filename for failure in failures}
        gone = [row.import_error_id for filename, row in before.items() if drop_others and filename not in named]
        for failure in failures:
            row = before.get(failure.filename)
            told = (failure.message, failure.line, failure.stack_trace)
            if row is not None and (row.message, row.line, row.stack_trace) == told:
                continue
            if row is not None:
                gone.append(row.import_error_id)
        for some in _chunks(gone):
            connection.execute(import_error.delete().where(import_error.c.import_error_id.in_(some)))
        kept = {filename for filename, row in before.items() if row.import_error_id not in set(gone)}
        fresh = [self._error_row(f, bundle_name, bundle_version) for f in failures if f.filename not in kept]
        if fresh:
            connection.execute(import_error.insert(), fresh)

    def _error_row(self, failure: ImportFailure, bundle_name: str, bundle_version: str | None) -> dict[str, Any]:
        return {
            "import_error_id": self.database.new_id(),
            "bundle_name": bundle_name,
            "bundle_version": bundle_version,
            "filename": failure.filename,
            "line": failure.line,
            "message": failure.message,
            "stack_trace": failure.stack_trace,
            "timestamp": datetime.now(UTC),
        }

    @staticmethod
    def _mark_errors(connection: sa.Connection, bundle_name: str, files: Collection[str], complete: bool) -> None:
        of_bundle = (dag.c.bundle_name == bundle_name, ~dag.c.is_stale)
        columns = (dag.c.dag_id, dag.c.fileloc, dag.c.has_import_errors)
        rows = connection.execute(sa.select(*columns).where(*of_bundle)).all()
        for wrong in (True, False):
            if not wrong and not complete:
                continue
            some = [
                row.dag_id for row in rows if (row.fileloc in files) is wrong and row.has_import_errors is not wrong
            ]
            for part in _chunks(some):
                connection.execute(dag.update().where(dag.c.dag_id.in_(part)).values(has_import_errors=wrong))

    @staticmethod
    def _write_warnings(
        connection: sa.Connection, dag_ids: Sequence[str], warnings: Sequence[DagWarning], now: datetime
    ) -> None:
        for some in _chunks(dag_ids):
            # A timetable's failure is the scheduler's to tell, and to take away.
            others = dag_warning.c.warning_type != TIMETABLE_WARNING
            connection.execute(dag_warning.delete().where(dag_warning.c.dag_id.in_(some), others))
        rows = {
            (each.dag_id, each.warning_type): {
                "dag_id": each.dag_id,
                "warning_type": each.warning_type,
                "message": each.message,
                "timestamp": now,
            }
            for each in warnings
            if each.dag_id in set(dag_ids)
        }
        if rows:
            connection.execute(dag_warning.insert(), list(rows.values()))


def _conflicts(assets: AssetPublisher) -> list[DagWarning]:
    return [
        DagWarning(dag_id=dag_id, warning_type=CONFLICT, message=message)
        for dag_id, message in assets.conflicts().items()
    ]


def _dag_values(each: PublishedDag, bundle_name: str, bundle_version: str, now: datetime) -> dict[str, Any]:
    """The columns of `dag` that follow from the spec."""
    spec = each.spec
    limited = any(
        task.max_active_tis_per_dag is not None or task.max_active_tis_per_dagrun is not None for task in spec.tasks
    )
    return {
        "dag_display_name": spec.display_name,
        "description": spec.description,
        "fileloc": spec.fileloc,
        "bundle_name": bundle_name,
        "bundle_version": bundle_version,
        "is_stale": False,
        "has_import_errors": False,
        "has_task_concurrency_limits": limited,
        "has_asset_schedule": spec.asset_expression is not None,
        "owners": sorted({task.owner for task in spec.tasks}),
        "timetable_type": each.timetable_type,
        "timetable_summary": each.timetable_summary[:1000],
        "timetable_description": each.timetable_description[:1000],
        "timetable_periodic": each.timetable_periodic,
        "timetable_partitioned": is_partitioned(spec.timetable),
        "max_active_runs": spec.max_active_runs,
        "max_active_tasks": spec.max_active_tasks,
        "max_consecutive_failed_dag_runs": spec.max_consecutive_failed_dag_runs,
        "last_parsed_time": now,
        "last_parse_duration": each.parse_duration,
    }


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
