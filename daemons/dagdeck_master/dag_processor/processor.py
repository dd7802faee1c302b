"""The DAG processor's loop: look at the folder, take a snapshot, parse what changed, publish.

Decides the order of these and what happens when one of them fails: whatever was good before stays. Does not know
files (`dagdeck_io.bundles`), processes (`pool`) or tables (`publisher`). Composed and run by `app`, in one
thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_core.ports import BundleManifest
from dagdeck_io.bundles.scan import FolderChanging, FolderScanner, FolderSnapshot
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_master.dag_processor.candidates import CandidateFilter
from dagdeck_master.dag_processor.catalog import Catalog, FileError, build_catalog
from dagdeck_master.dag_processor.incremental import ParseMemory, SnapshotIndex
from dagdeck_master.dag_processor.meter import Meter
from dagdeck_master.dag_processor.pool import ParsingPool
from dagdeck_master.dag_processor.protocol import ParsedFile, ParseFile

logger = logging.getLogger(__name__)

_SETTLE = 0.05
"""Seconds between the two looks that must agree."""
_CHANGING_AGAIN = 0.25
"""Seconds until the next look at a folder that is being written to."""
_SIGN_OF_LIFE = 5.0
"""Seconds between signs of life while nothing is to be done."""
_PUBLISH_EVERY = 1.0
"""Seconds after which results are published although files still wait, so that a large folder shows up early."""


class Publisher(Protocol):
    """Where the catalog goes. Every method may raise EnvironmentFault; repeating a call is harmless."""

    def owners(self) -> dict[str, str]:
        """dag_id → file that owns it, of all DAGs that are not stale."""

    def store(self, manifest: BundleManifest, read: Callable[[str], bytes]) -> None:
        """Keep the bundle for the workers."""

    def publish(self, manifest: BundleManifest, catalog: Catalog, *, complete: bool) -> Collection[str]:
        """Make the catalog what the scheduler sees; the dag_ids that changed.

        Not `complete`: DAGs and errors that the catalog lacks stay as they are.
        """

    def folder_failed(self, error: FileError) -> None:
        """Show people that the folder as a whole cannot be used now. All DAGs stay as they are."""

    def requested(self) -> Collection[str]:
        """Files that somebody asked to be parsed again, since the last call."""

    def leads(self) -> bool:
        """Whether this DAG processor publishes, and not one on another machine. Called every round."""


class RoundResult(Enum):
    """What one round of the loop came to."""

    QUIET = "nothing to do"
    PUBLISHED = "something was published"
    STANDING_BY = "another machine's DAG processor is in charge"
    CHANGING = "the folder is being written to"
    FAILED = "the folder or the database could not be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseDefaults:
    """Settings that change what a DAG file means."""

    cron_data_intervals: bool = False
    delta_data_intervals: bool = False
    catchup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Current:
    snapshot: FolderSnapshot
    index: SnapshotIndex
    folder: Path
    dag_files: tuple[str, ...]


class DagProcessor:
    """One DAG folder. `run` until told to stop, or `round` by hand."""

    def __init__(
        self,
        *,
        scanner: FolderScanner,
        cache: BundleCache,
        pool: ParsingPool,
        publisher: Publisher,
        refresh_interval: float,
        defaults: ParseDefaults | None = None,
        meter: Meter | None = None,
        lifeline: Lifeline = UNWATCHED,
    ) -> None:
        """`refresh_interval`: seconds after which failed files, and those that asked for Variables, come again."""
        self._scanner = scanner
        self._cache = cache
        self._pool = pool
        self._publisher = publisher
        self._defaults = defaults or ParseDefaults()
        self._lifeline = lifeline
        self._meter = meter or Meter()
        self._memory = ParseMemory(refresh_interval=refresh_interval)
        self._candidates = CandidateFilter()
        self._current: _Current | None = None
        self._unpublished = False
        self._folder_error = ""
        self._logged_errors: frozenset[FileError] = frozenset()
        self._told_outdated: dict[str, tuple[str, ...]] = {}

    def run(self, stop: threading.Event, *, scan_interval: float, first_round_done: Callable[[], None]) -> None:
        """Rounds every `scan_interval` seconds until `stop` is set."""
        try:
            while not stop.is_set():
                started = time.monotonic()
                result = self.round()
                self._meter.round_done(result.name.lower(), leads=result is not RoundResult.STANDING_BY)
                if result is not RoundResult.CHANGING:
                    first_round_done()
                    first_round_done = _nothing
                pause = _CHANGING_AGAIN if result is RoundResult.CHANGING else scan_interval
                self._await(stop, started + min(pause, scan_interval))
        finally:
            self._pool.close()

    def _await(self, stop: threading.Event, until: float) -> None:
        """Wait for the next look, saying now and then that this loop waits and does not hang."""
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, _SIGN_OF_LIFE)):
            self._lifeline.alive()
        self._lifeline.alive()

    def round(self) -> RoundResult:
        """Look once, and do what there is to do. Raises only bugs: faults are logged and tried again next time."""
        try:
            return self._round()
        except FolderChanging as error:
            logger.debug("waiting for the DAG folder to come to rest: %s", error)
            return RoundResult.CHANGING
        except EnvironmentFault as error:
            logger.error("the DAG folder could not be processed: %s", error)
            return RoundResult.FAILED
        finally:
            self._pool.close()

    def _round(self) -> RoundResult:
        if not self._publisher.leads():
            return RoundResult.STANDING_BY
        try:
            changed = self._scanner.look()
            if changed:
                self._take_snapshot()
        except UserError as error:
            return self._refuse_folder(error)
        current = self._current
        if current is None:
            return RoundResult.QUIET
        if changed or self._unpublished:
            jobs = self._memory.plan(current.index, current.dag_files)
        else:
            wanted = {*self._publisher.requested(), *self._memory.due(time.monotonic())}
            jobs = [path for path in current.dag_files if path in wanted]
            if not jobs:
                return RoundResult.QUIET
        self._unpublished = True
        self._parse_and_publish(current, jobs)
        self._unpublished = False
        return RoundResult.PUBLISHED

    def _take_snapshot(self) -> None:
        # A child takes a moment to start, which passes while the folder comes to rest and is unpacked.
        self._pool.warm_up()
        time.sleep(_SETTLE)
        snapshot = self._scanner.take()
        previous = self._current.snapshot.manifest if self._current is not None else None
        try:
            folder = self._cache.ensure(
                snapshot.manifest,
                lambda file: snapshot.read(file.path),
                previous=previous,
                in_use=() if previous is None else (previous.version,),
            )
        except (UserError, EnvironmentFault):
            self._scanner.forget()
            raise
        self._current = _Current(
            snapshot=snapshot,
            index=SnapshotIndex(snapshot.manifest),
            folder=folder,
            dag_files=tuple(self._candidates.dag_files(snapshot, folder)),
        )
        self._folder_error = ""

    def _refuse_folder(self, error: UserError) -> RoundResult:
        if str(error) != self._folder_error:
            logger.error("the DAG folder cannot be used, all DAGs stay as they were: %s", error)
            self._publisher.folder_failed(FileError(path=".", message=str(error)))
            self._folder_error = str(error)
        return RoundResult.FAILED

    def _parse_and_publish(self, current: _Current, paths: list[str]) -> None:
        manifest = current.snapshot.manifest
        self._publisher.store(manifest, lambda path: (current.folder / path).read_bytes())
        owners = self._publisher.owners()
        pending = set(paths)
        jobs = [self._job(current, path) for path in paths]
        publish_at = time.monotonic() + _PUBLISH_EVERY
        for result in self._pool.parse(jobs):
            self._memory.record(current.index, result, time.monotonic())
            self._meter.parsed(result.duration, failed=bool(result.errors))
            pending.discard(result.path)
            self._tell_outdated(result)
            if pending and time.monotonic() > publish_at:
                started = time.monotonic()
                self._publish(current, owners, pending)
                # Publishing what is there already takes longer the more there is.
                publish_at = time.monotonic() + max(_PUBLISH_EVERY, 5 * (time.monotonic() - started))
        self._publish(current, owners, pending)

    def _tell_outdated(self, result: ParsedFile) -> None:
        """Log what a file uses of earlier Airflow versions, once as long as that stays the same."""
        if self._told_outdated.get(result.path, ()) == result.outdated:
            return
        self._told_outdated[result.path] = result.outdated
        for each in result.outdated:
            logger.info("%s, %s", result.path, each)

    def _publish(self, current: _Current, owners: dict[str, str], pending: Collection[str]) -> None:
        begun = time.monotonic()
        catalog = build_catalog(
            self._memory,
            current.index,
            current.dag_files,
            owners=owners,
            problems=current.snapshot.problems,
            pending=pending,
        )
        changed = self._publisher.publish(current.snapshot.manifest, catalog, complete=not pending)
        for error in catalog.errors:
            if error not in self._logged_errors:
                logger.warning("%s%s: %s", error.path, f":{error.line}" if error.line else "", error.message)
        self._logged_errors = frozenset(catalog.errors)
        seconds = time.monotonic() - begun
        self._meter.published(seconds, files=len(current.dag_files), files_with_errors=len(catalog.errors))
        logger.info(
            "published %d DAGs of %d files (%d changed, %d files with errors)%s",
            len(catalog.dags),
            len(current.dag_files),
            len(changed),
            len(catalog.errors),
            f", {len(pending)} files wait" if pending else "",
        )

    def _job(self, current: _Current, path: str) -> ParseFile:
        known = self._memory.known
        return ParseFile(
            root=str(current.folder),
            path=path,
            cron_data_intervals=self._defaults.cron_data_intervals,
            delta_data_intervals=self._defaults.delta_data_intervals,
            catchup=self._defaults.catchup,
            was_broken=path in known and known[path].failed,
        )


def _nothing() -> None:
    return None
