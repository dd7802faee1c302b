"""What Home shows: the cluster's health, what fails, runs and waits, and the last runs.

Decides which runs are in which list. Does not draw. Used by `views.home`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from PySide6.QtCore import QObject

from dagdeck_client.models import DagPage, DagRun, DagRunPage, ImportError_, ImportErrorPage, Worker, WorkerPage
from dagdeck_client.requests.admin import get_health, list_workers
from dagdeck_client.requests.dags import list_dags, list_import_errors
from dagdeck_client.requests.runs import list_runs
from dagdeck_core.errors import DagDeckError
from dagdeck_core.states import DagRunState
from dagdeck_desktop.live import Feed
from dagdeck_desktop.live.topics import HOME
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import RunKey, ViewModel, key_of, keys_of, newest_first, runs_of, time_of
from dagdeck_desktop.viewmodels.wording import distance_text

SHOWN_RUNS = 50
_NAMES = {
    "metadatabase": "Database",
    "scheduler": "Scheduler",
    "dag_processor": "DAG processor",
    "triggerer": "Triggerer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of the cluster; `is_healthy` is None for one that is not in use."""

    name: str
    is_healthy: bool | None
    detail: str


class HomeModel(ViewModel):
    """The cluster at a glance."""

    WHAT = "The overview could not be loaded"

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.runs: dict[RunKey, DagRun] = {}
        self.dag_counts: dict[str, int] = {}
        self.run_counts: dict[str, int] = {}
        self.worker_counts: dict[str, int] = {}
        self.import_error_count = 0
        self.import_errors: tuple[ImportError_, ...] = ()
        self._health: dict[str, dict[str, Any]] = {}

    @property
    def topic(self) -> str | None:
        return HOME

    # ------------------------------------------------------------ state

    def components(self, now: datetime | None = None) -> list[Component]:
        """The cluster's parts, the worst first being left to the view; workers last."""
        # A newer server may tell of parts that we do not know.
        found = [self._component(key, self._health[key], now) for key in _NAMES if key in self._health]
        active = self.worker_counts.get("active", 0)
        slots = self.worker_counts.get("slots", 0)
        detail = f"{active} active, {slots} slots" if active else "none active"
        found.append(Component(name="Workers", is_healthy=active > 0 if self.worker_counts else None, detail=detail))
        return found

    def _component(self, key: str, part: dict[str, Any], now: datetime | None) -> Component:
        status = part.get("status")
        beat = time_of(part, f"latest_{key}_heartbeat")
        if status is None:
            return Component(name=_NAMES[key], is_healthy=None, detail="not in use")
        healthy = status == "healthy"
        if beat is not None:
            said = f"heartbeat {distance_text(beat, now)}"
        else:
            said = "answers" if healthy else "does not answer"
        return Component(name=_NAMES[key], is_healthy=healthy, detail=said)

    @property
    def recent(self) -> list[DagRun]:
        """The last runs, newest first."""
        return newest_first(self.runs)[:SHOWN_RUNS]

    @property
    def failing(self) -> list[DagRun]:
        """Of each DAG whose newest finished run failed, that run."""
        seen: set[str] = set()
        found = []
        for run in newest_first(self.runs):
            if run.state in (DagRunState.SUCCESS, DagRunState.FAILED) and run.dag_id not in seen:
                seen.add(run.dag_id)
                if run.state == DagRunState.FAILED:
                    found.append(run)
        return found

    def in_state(self, state: DagRunState) -> list[DagRun]:
        """Runs in a state, newest first."""
        return [run for run in newest_first(self.runs) if run.state == state]

    @property
    def is_new(self) -> bool:
        """True for a cluster without any DAG and without a file that could not be loaded."""
        return not self.dag_counts.get("total") and not self.import_error_count

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        self.ask(get_health(), self._health_came, self.not_loaded)
        self.ask(list_runs(limit=SHOWN_RUNS, order_by=["-run_after"]), self._runs_came, self.not_loaded)
        self.ask(list_dags(limit=1), self._dags_came, self._part_missing)
        self.ask(list_dags(limit=1, paused=True), self._paused_came, self._part_missing)
        self.ask(list_workers(), self._workers_came, self._part_missing)
        self._load_import_errors()
        for state in DagRunState:
            self.ask(list_runs(limit=1, state=[state.value]), partial(self._count_came, state), self._part_missing)

    def _load_import_errors(self) -> None:
        self.ask(list_import_errors(limit=20), self._import_errors_came, self._part_missing)

    def _part_missing(self, error: DagDeckError) -> None:
        """A person may lack the right to one part; the others are shown nevertheless."""

    def _health_came(self, health: dict[str, dict[str, Any]]) -> None:
        self._health = health
        self.changed.emit()

    def _runs_came(self, page: DagRunPage) -> None:
        if not self.follows_stream:
            self.runs = {key_of(run): run for run in page.dag_runs}
        self.ready()

    def _dags_came(self, page: DagPage) -> None:
        self.dag_counts = {**self.dag_counts, "total": page.total_entries}
        self.changed.emit()

    def _paused_came(self, page: DagPage) -> None:
        self.dag_counts = {**self.dag_counts, "paused": page.total_entries}
        self.changed.emit()

    def _workers_came(self, page: WorkerPage) -> None:
        active: list[Worker] = [worker for worker in page.workers if worker.state == "active"]
        self.worker_counts = {
            "active": len(active),
            "draining": len(page.workers) - len(active),
            "slots": sum(worker.slots for worker in active),
        }
        self.changed.emit()

    def _import_errors_came(self, page: ImportErrorPage) -> None:
        self.import_errors = page.import_errors
        self.import_error_count = page.total_entries
        self.changed.emit()

    def _count_came(self, state: DagRunState, page: DagRunPage) -> None:
        if page.total_entries is not None and not self.follows_stream:
            self.run_counts[state.value] = page.total_entries
            self.changed.emit()

    # ------------------------------------------------------------ the feed

    def take_snapshot(self, data: Any) -> None:
        if isinstance(data, dict):
            self.runs = {}
            self._take(data)
            self.ready()

    def take_diff(self, data: dict[str, Any]) -> None:
        for key in keys_of(data, "removed_runs"):
            self.runs.pop(key, None)
        self._take(data)
        self.changed.emit()

    def _take(self, data: dict[str, Any]) -> None:
        for run in runs_of(data.get("runs")):
            self.runs[key_of(run)] = run
        if isinstance(data.get("health"), dict):
            self._health = {key: part for key, part in data["health"].items() if isinstance(part, dict)}
        self.dag_counts = counts_of(data, "dags", self.dag_counts)
        self.run_counts = counts_of(data, "run_counts", self.run_counts)
        self.worker_counts = counts_of(data, "workers", self.worker_counts)
        errors = data.get("import_errors")
        if isinstance(errors, int) and errors != self.import_error_count:
            self.import_error_count = errors
            self._load_import_errors()


def counts_of(data: dict[str, Any], name: str, before: dict[str, int]) -> dict[str, int]:
    """Numbers by their names; what was known before where they are not told."""
    told = data.get(name)
    if not isinstance(told, dict):
        return before
    return {key: number for key, number in told.items() if isinstance(number, int) and not isinstance(number, bool)}


def age_of(run: DagRun, now: datetime | None = None) -> float | None:
    """Seconds that a run took, or has been running or waiting."""
    begin = run.start_date or run.queued_at or run.run_after
    end = run.end_date or (now or datetime.now(UTC))
    return max(0.0, (end - begin).total_seconds())
