"""What a claimed dispatch needs before it can run: its DAG version, its run's facts, its bundle on this disk.

Decides what is cached and for how long. Ready things are answered at once from the caches; the rest is fetched by a
thread with a database connection of its own, so that a large bundle holds up neither results nor leases.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from dagdeck_core.errors import DagDeckError, EnvironmentFault
from dagdeck_core.ports import BundleFile, BundleManifest, BundleStore, ClaimedTask, ClaimedTrigger, WorkerStore
from dagdeck_core.records import DagVersionRecord
from dagdeck_core.spec import TaskSpec
from dagdeck_core.wire import DagRunContext
from dagdeck_io.bundles.trust import BundleRefused, BundleTrust
from dagdeck_io.bundles.unpack import BundleCache
from dagdeck_worker.worker_thread import WorkerThread

_log = logging.getLogger(__name__)

KEPT_VERSIONS = 64
KEPT_RUNS = 512
RUN_FACTS_SECONDS = 30.0
"""Age at which a run's facts are read again: notes and states change while it runs."""
FETCH_BYTES = 8 * 1024 * 1024
"""How much of a bundle is fetched with one question."""
FETCH_FILES = 200
FIRST_RETRY_DELAY = 0.1
LONGEST_RETRY_DELAY = 5.0
Fetched = TypeVar("Fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedVersion:
    """A DAG version whose bundle lies unpacked in `root`."""

    record: DagVersionRecord
    tasks: dict[str, TaskSpec]
    root: Path
    root_path: str
    """`root` as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a dispatch needs."""

    version: PreparedVersion
    run: DagRunContext


class Preparer(WorkerThread):
    """See the module. `on_prepared` and `on_failed` are called from this thread; after the latter with an
    EnvironmentFault the task is not to blame. `in_use` names the bundle versions that must stay on disk. `trust` says
    whose bundles may run; None runs all. `tell` gets why no bundle can be unpacked here, and None when one could.
    """

    def __init__(
        self,
        store: WorkerStore,
        bundles: BundleStore,
        cache: BundleCache,
        *,
        trust: BundleTrust | None = None,
        tell: Callable[[str | None], None] = lambda message: None,
        in_use: Callable[[], Collection[str]],
        on_prepared: Callable[[ClaimedTask, Prepared], None],
        on_failed: Callable[[ClaimedTask, DagDeckError], None],
        on_trigger_prepared: Callable[[ClaimedTrigger, PreparedVersion], None] | None = None,
        on_trigger_failed: Callable[[ClaimedTrigger, DagDeckError], None] | None = None,
        on_crash: Callable[[str], None],
    ) -> None:
        super().__init__("preparer", on_crash)
        self._store = store
        self._bundles = bundles
        self._cache = cache
        self._trust = trust
        self._tell = tell
        self._in_use = in_use
        self._on_prepared = on_prepared
        self._on_failed = on_failed
        self._on_trigger_prepared = on_trigger_prepared
        self._on_trigger_failed = on_trigger_failed
        self._waiting: queue.SimpleQueue[ClaimedTask | ClaimedTrigger | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._versions: OrderedDict[int, PreparedVersion] = OrderedDict()
        self._runs: OrderedDict[int, tuple[float, DagRunContext]] = OrderedDict()
        self._manifests: dict[str, BundleManifest] = {}

    # ------------------------------------------------------------ from the main loop

    def ready(self, claimed: ClaimedTask) -> Prepared | None:
        """What is cached for this dispatch; None when `submit` is needed."""
        if claimed.run is not None:
            self._keep(claimed.run)
        with self._lock:
            version = self._versions.get(claimed.version_id)
            read_at, run = self._runs.get(claimed.run_key, (0.0, None))
            if claimed.order is not None:
                return self._ready_work(version, claimed)
            if version is None or run is None or time.monotonic() - read_at > RUN_FACTS_SECONDS:
                return None
            self._versions.move_to_end(claimed.version_id)
            self._runs.move_to_end(claimed.run_key)
        return Prepared(version=version, run=run)

    @staticmethod
    def _ready_work(version: PreparedVersion | None, claimed: ClaimedTask) -> Prepared | None:
        """For other work: what is about a run is told that run's facts as they are now, so they are always read."""
        if version is None or claimed.run_key:
            return None
        return Prepared(version=version, run=_no_run(version.record.dag_id))

    def submit(self, claimed: ClaimedTask) -> None:
        """Fetch what this dispatch needs and call back."""
        self._waiting.put(claimed)

    def ready_version(self, version_id: int) -> PreparedVersion | None:
        """The cached DAG version; None when `submit_version` is needed."""
        with self._lock:
            return self._versions.get(version_id)

    def submit_version(self, trigger: ClaimedTrigger) -> None:
        """Fetch the code that this trigger needs and call back."""
        self._waiting.put(trigger)

    def stop(self) -> None:
        """See WorkerThread."""
        super().stop()
        self._waiting.put(None)

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (claimed := self._waiting.get()) is not None and not self.stopping.is_set():
            if isinstance(claimed, ClaimedTrigger):
                self._prepare_trigger(claimed)
                continue
            try:
                prepared = self.ready(claimed) or self._prepare(claimed)
            except DagDeckError as error:
                self._on_failed(claimed, error)
            else:
                self._on_prepared(claimed, prepared)

    def _prepare_trigger(self, trigger: ClaimedTrigger) -> None:
        assert self._on_trigger_prepared is not None
        assert self._on_trigger_failed is not None
        try:
            version = self._patiently(lambda: self._version(trigger.version_id))
        except DagDeckError as error:
            self._on_trigger_failed(trigger, error)
        else:
            self._on_trigger_prepared(trigger, version)

    def _prepare(self, claimed: ClaimedTask) -> Prepared:
        version = self._patiently(lambda: self._version(claimed.version_id))
        if not claimed.run_key:
            return Prepared(version=version, run=_no_run(version.record.dag_id))
        run = claimed.run or self._patiently(lambda: self._store.run_context(claimed.run_key))
        self._keep(run)
        return Prepared(version=version, run=run)

    def _patiently(self, fetch: Callable[[], Fetched]) -> Fetched:
        """Fetch, and wait as long as the database does not answer; other faults are raised."""
        delay = FIRST_RETRY_DELAY
        while True:
            try:
                return fetch()
            except _DiskFault as error:
                raise error.fault from error
            except EnvironmentFault as error:
                if not error.transient or self.stopping.wait(delay):
                    raise
                _log.warning("the database does not say what a task needs; trying again: %s", error.message)
                delay = min(delay * 2, LONGEST_RETRY_DELAY)

    def _keep(self, run: DagRunContext) -> None:
        with self._lock:
            self._runs[run.run_key] = (time.monotonic(), run)
            self._runs.move_to_end(run.run_key)
            while len(self._runs) > KEPT_RUNS:
                self._runs.popitem(last=False)

    def _version(self, version_id: int) -> PreparedVersion:
        with self._lock:
            known = self._versions.get(version_id)
        if known is not None:
            return known
        record = self._store.version(version_id)
        root = self._unpacked(record)
        tasks = {task.task_id: task for task in record.spec.tasks}
        prepared = PreparedVersion(record=record, tasks=tasks, root=root, root_path=str(root))
        with self._lock:
            self._versions[version_id] = prepared
            while len(self._versions) > KEPT_VERSIONS:
                self._versions.popitem(last=False)
        return prepared

    def _unpacked(self, record: DagVersionRecord) -> Path:
        name, version = record.bundle_name, record.bundle_version
        if self._trust is not None:
            self._trust.check(name, version, self._bundles.signatures(name, version), self._bundles.successions)
        manifest = self._bundles.manifest(name, version)
        _check_file(record, manifest)
        previous = self._manifests.get(name)
        fetch = _Fetcher(self._bundles, manifest, previous)
        try:
            root = self._cache.ensure(manifest, fetch.read, previous=previous, in_use=self._in_use())
        except EnvironmentFault as error:
            if fetch.fault is error:
                raise
            self._tell(str(error))
            raise _DiskFault(error) from error
        self._tell(None)
        self._manifests[name] = manifest
        self._forget_evicted()
        return root

    def _forget_evicted(self) -> None:
        with self._lock:
            for version_id, prepared in list(self._versions.items()):
                if not prepared.root.is_dir():
                    del self._versions[version_id]


def _check_file(record: DagVersionRecord, manifest: BundleManifest) -> None:
    """The signature covers the bundle, not what says which of its files to load: that must not lead out of it."""
    if all(file.path != record.spec.fileloc for file in manifest.files):
        raise BundleRefused(
            f"the bundle {manifest.name} {manifest.version[:16]} has no file {record.spec.fileloc!r}, which "
            f"version {record.version_number} of the DAG {record.dag_id} names",
            remedy="Somebody other than the master wrote to the database: find out who",
        )


def _no_run(dag_id: str) -> DagRunContext:
    """What stands for the run in a question about a DAG as a whole."""
    return DagRunContext(
        run_key=0,
        dag_id=dag_id,
        run_id="",
        run_type="",
        state="",
        logical_date=None,
        data_interval_start=None,
        data_interval_end=None,
        run_after=datetime.now(UTC),
        start_date=None,
        end_date=None,
        conf={},
    )


class _DiskFault(EnvironmentFault):
    """The local disk failed. Waiting here would hold up all other tasks, so this one goes back at once."""

    def __init__(self, fault: EnvironmentFault) -> None:
        super().__init__(fault.message, transient=False)
        self.fault = fault


class _Fetcher:
    """Reads a bundle's files in the manifest's order, several with one question."""

    def __init__(self, store: BundleStore, manifest: BundleManifest, previous: BundleManifest | None) -> None:
        self._store = store
        linked = {file.sha256 for file in previous.files} if previous is not None else set()
        self._ahead = [file for file in manifest.files if file.sha256 not in linked]
        self._fetched: dict[str, bytes] = {}
        self.fault: EnvironmentFault | None = None

    def read(self, file: BundleFile) -> bytes:
        """The bytes of `file`. Raises EnvironmentFault when the database does not answer."""
        if file.sha256 not in self._fetched:
            try:
                self._fetched = self._store.contents(self._next_sizes(file))
            except EnvironmentFault as error:
                self.fault = error
                raise
        return self._fetched.get(file.sha256, b"")

    def _next_sizes(self, file: BundleFile) -> dict[str, int]:
        sizes, size = {file.sha256: file.size}, file.size
        while self._ahead and size < FETCH_BYTES and len(sizes) < FETCH_FILES:
            following = self._ahead.pop(0)
            sizes[following.sha256] = following.size
            size += following.size
        return sizes
