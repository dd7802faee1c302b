"""Publishes a catalog into the metadata database and tells the scheduler.

Decides how a catalog becomes rows of the processor's store, and that messages leave after the commit. Does not decide
what is published (`catalog`) nor what a new version is (the store). Called by `processor`.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import REPORTS, Broker, BundleManifest, BundleStore
from dagdeck_core.spec import DagSpec, decode_spec
from dagdeck_core.timetables import ZoneLoader, compile_timetable, type_name
from dagdeck_core.wire import Nudge
from dagdeck_io.bundles.signing import SigningKey
from dagdeck_io.db.processor_store import DagWarning, ImportFailure, PublishedDag, SqlProcessorStore
from dagdeck_master.dag_processor.catalog import Catalog, CatalogDag, FileError

logger = logging.getLogger(__name__)

_NUDGES = 50
"""More changed DAGs than this are announced as one change of all."""
_DAGS_AT_ONCE = 200
"""Most DAGs that one transaction adds or changes."""
_HEARTBEAT = 5.0
"""Seconds between heartbeats."""
_TAKEOVER = 15.0
"""Seconds of silence after which a DAG processor on another machine counts as gone."""
DUPLICATE = "duplicate dag_id"


@dataclass(slots=True, kw_only=True)
class DatabasePublisher:
    """Implements `processor.Publisher` for one bundle name."""

    bundle_name: str
    host: str
    pid: int
    store_of_dags: SqlProcessorStore
    bundles: BundleStore
    broker: Broker
    zones: ZoneLoader
    signing_key: Callable[[], SigningKey] | None = None
    """Asked each time, so that a new key is used without a restart; None leaves bundles unsigned."""
    clock: Callable[[], float] = time.monotonic
    _prepared: dict[str, PublishedDag] = field(default_factory=dict)
    _leads_until: float = 0.0
    _other: tuple[str, int] | None = None
    _other_since: float = 0.0

    def owners(self) -> dict[str, str]:
        """dag_id → file that owns it, of all DAGs that are not stale."""
        return self.store_of_dags.owners(self.bundle_name)

    def store(self, manifest: BundleManifest, read: Callable[[str], bytes]) -> None:
        """Keep the bundle for the workers, signed. Nothing names it before this has returned."""
        self.bundles.put(manifest, read)
        if self.signing_key is not None:
            self.bundles.sign(manifest.name, manifest.version, self.signing_key().sign(manifest.name, manifest.version))

    def publish(self, manifest: BundleManifest, catalog: Catalog, *, complete: bool) -> Collection[str]:
        """Store the catalog, then tell the scheduler; the dag_ids that changed.

        One transaction makes it complete. When many DAGs are new or changed, most of them go before in short
        ones, because the scheduler writes to the same rows.
        """
        before = self._prepared
        rows, failures = self._prepare(catalog)
        fresh = [row for key, row in rows.items() if key not in before]
        changed: set[str] = set()
        if len(fresh) > _DAGS_AT_ONCE:
            for start in range(0, len(fresh), _DAGS_AT_ONCE):
                some = fresh[start : start + _DAGS_AT_ONCE]
                stored = self.store_of_dags.publish(self.bundle_name, manifest.version, some, [], complete=False)
                self._announce(stored)
                changed.update(stored)
        stored = self.store_of_dags.publish(
            self.bundle_name,
            manifest.version,
            list(rows.values()),
            failures,
            warnings=[
                DagWarning(dag_id=each.dag_id, warning_type=DUPLICATE, message=each.message)
                for each in catalog.duplicates
            ],
            complete=complete,
            kept_files=catalog.kept_files,
        )
        self._announce(stored)
        self._prepared = rows
        return sorted(changed.union(stored))

    def folder_failed(self, error: FileError) -> None:
        """Show people that the folder as a whole cannot be used now."""
        self.store_of_dags.folder_failed(self.bundle_name, _failure(error))

    def requested(self) -> Collection[str]:
        """Files that somebody asked to be parsed again."""
        return self.store_of_dags.take_parse_requests(self.bundle_name)

    def leads(self) -> bool:
        """Whether this process is the one to publish, and a heartbeat when one is due.

        A process of the same machine is a predecessor that its supervisor has ended; one of another machine is left
        in charge as long as its heartbeat is seen to go on.
        """
        now = self.clock()
        if now < self._leads_until:
            return True
        seen = self.store_of_dags.last_heartbeat()
        if seen is not None and seen[0].rpartition(":")[0] != self.host and not self._is_silent(seen, now):
            return False
        self.store_of_dags.heartbeat(f"{self.host}:{self.pid}")
        self._leads_until = now + _HEARTBEAT
        return True

    def _is_silent(self, seen: tuple[str, int], now: float) -> bool:
        if seen != self._other:
            if self._other is None or self._other[0] != seen[0]:
                logger.info("the DAG processor of %s is in charge; standing by", seen[0].rpartition(":")[0])
            self._other, self._other_since = seen, now
        return now - self._other_since >= _TAKEOVER

    def _prepare(self, catalog: Catalog) -> tuple[dict[str, PublishedDag], list[ImportFailure]]:
        """Rows of the catalog by a key of their content. What was published last is not worked out again."""
        prepared: dict[str, PublishedDag] = {}
        failures = [_failure(error) for error in catalog.errors]
        for each in catalog.dags:
            key = hashlib.sha256(each.spec).hexdigest() + each.code
            row = self._prepared.get(key)
            if row is None:
                try:
                    row = self._published(each)
                except UserError as error:
                    failures.append(ImportFailure(filename=each.path, message=f"DAG {each.dag_id}: {error}"))
                    continue
            prepared[key] = row
        return prepared, failures

    def _published(self, each: CatalogDag) -> PublishedDag:
        spec: DagSpec = decode_spec(each.spec)
        timetable = compile_timetable(spec.timetable, self.zones)
        return PublishedDag(
            spec=spec,
            code_sha256=each.code,
            parse_duration=each.parse_duration,
            timetable_type=type_name(spec.timetable),
            timetable_summary=timetable.summary,
            timetable_description=timetable.description,
            timetable_periodic=timetable.periodic,
        )

    def _announce(self, changed: Collection[str]) -> None:
        nudges = [Nudge(what="dag", subject=dag_id) for dag_id in changed]
        if len(nudges) > _NUDGES:
            nudges = [Nudge(what="dag")]
        if not nudges:
            return
        try:
            self.broker.append(REPORTS, nudges)
        except EnvironmentFault as error:
            # The scheduler finds the new revisions in its next round anyway.
            logger.debug("the scheduler could not be told: %s", error)


def _failure(error: FileError) -> ImportFailure:
    return ImportFailure(filename=error.path, message=error.message, line=error.line, stack_trace=error.stack_trace)
