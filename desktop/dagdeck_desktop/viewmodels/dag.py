"""What the DAG page knows of its DAG: details, last runs, source, and which run is looked at.

Decides which run is selected (the newest, unless a person chose another) and the figures of the cards. Does not know
tasks (`shape`) or their states (`run`). Used by `views.dag_page`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from dagdeck_client.models import DagDetails, DagRun, DagRunPage, DagSource
from dagdeck_client.requests.dags import get_dag, get_source, set_paused
from dagdeck_client.requests.runs import delete_run, list_runs, set_run_state, trigger_run
from dagdeck_core.errors import DagDeckError
from dagdeck_core.states import DagRunState
from dagdeck_desktop.live import Feed, dag_topic
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import Phase, RunKey, ViewModel, key_of, keys_of, newest_first, runs_of

SHOWN_RUNS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What the last finished runs were like. Lengths in seconds; None without any."""

    succeeded: int
    failed: int
    median: float | None
    p95: float | None

    @property
    def finished(self) -> int:
        """How many runs this is about."""
        return self.succeeded + self.failed

    @property
    def success_share(self) -> float | None:
        """The share that succeeded."""
        return self.succeeded / self.finished if self.finished else None


def figures_of(runs: list[DagRun]) -> RunFigures:
    """The figures of the finished ones among some runs."""
    ended = [run for run in runs if run.state in (DagRunState.SUCCESS, DagRunState.FAILED)]
    succeeded = sum(run.state == DagRunState.SUCCESS for run in ended)
    lengths = sorted(run.duration for run in ended if run.duration is not None)
    # The nearest rank: with few runs, one of them and no value that never was.
    p95 = lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))] if lengths else None
    median = statistics.median(lengths) if lengths else None
    return RunFigures(succeeded=succeeded, failed=len(ended) - succeeded, median=median, p95=p95)


class DagModel(ViewModel):
    """One DAG. `definition_changed` follows a change of it, `run_selected(run_id or "")` another run."""

    WHAT = "The DAG could not be loaded"
    definition_changed = Signal()
    run_selected = Signal(str)
    source_came = Signal()

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.dag_id = ""
        self.details: DagDetails | None = None
        self.runs: dict[RunKey, DagRun] = {}
        self.source: DagSource | None = None
        self.source_error: DagDeckError | None = None
        self.selected_run_id = ""
        self.is_missing = False
        self._is_chosen = False
        self._revision: int | None = None

    def open(self, dag_id: str, run_id: str = "") -> None:
        """Show another DAG, or another run of it ("" for the newest)."""
        if dag_id != self.dag_id:
            self.dag_id = dag_id
            self.details, self.runs, self.source = None, {}, None
            self.selected_run_id, self._revision, self.is_missing = "", None, False
            self._restart()
        if run_id:
            self.select_run(run_id)
        elif not self._is_chosen:
            self._select_newest()

    def _restart(self) -> None:
        self.phase, self.error, self._is_chosen = Phase.LOADING, None, False
        self.changed.emit()
        self.run_selected.emit("")
        self.follow_anew()
        if self.is_active:
            self.load()

    @property
    def topic(self) -> str | None:
        return dag_topic(self.dag_id) if self.dag_id else None

    # ------------------------------------------------------------ state

    @property
    def recent(self) -> list[DagRun]:
        """The last runs, newest first."""
        return newest_first(self.runs)[:SHOWN_RUNS]

    @property
    def selected_run(self) -> DagRun | None:
        """The run that is looked at, once it is known."""
        return self.runs.get((self.dag_id, self.selected_run_id))

    @property
    def display_name(self) -> str:
        """The DAG's name for people."""
        return self.details.dag_display_name if self.details is not None else self.dag_id

    @property
    def is_paused(self) -> bool:
        """True while it gets no runs by its schedule."""
        return self.details is not None and self.details.is_paused

    @property
    def params(self) -> Mapping[str, Any]:
        """Its params as the API describes them."""
        return (self.details.params if self.details is not None else None) or {}

    def select_run(self, run_id: str) -> None:
        """Look at a run from now on, whatever newer ones come."""
        self._is_chosen = True
        self._select(run_id)

    def follow_newest(self) -> None:
        """Look at the newest run, also when a newer one comes."""
        self._is_chosen = False
        self._select_newest()

    # ------------------------------------------------------------ intents

    def set_paused(self, is_paused: bool) -> None:
        """Pause the DAG, or let its schedule go on."""
        if self.details is None:
            return
        was = self.details
        self.details = msgspec.structs.replace(was, is_paused=is_paused)
        self.changed.emit()
        word = "paused" if is_paused else "unpaused"

        def refused(_error: DagDeckError) -> None:
            self.details = was
            self.changed.emit()

        name = self.dag_id
        self.act(set_paused(name, is_paused), f"{name} could not be {word}", f"{name} is {word}", on_error=refused)

    def trigger(
        self, conf: Mapping[str, Any], *, run_id: str = "", logical_date: datetime | None = None, note: str = ""
    ) -> None:
        """Start a run and look at it."""
        request = trigger_run(
            self.dag_id, run_id=run_id or None, logical_date=logical_date, conf=dict(conf), note=note or None
        )

        def started(run: DagRun) -> None:
            if run.dag_id == self.dag_id:
                self.runs.setdefault(key_of(run), run)
                self.select_run(run.dag_run_id)
                self.changed.emit()

        self.act(request, f"No run of {self.dag_id} could be started", f"A run of {self.dag_id} has started", started)

    def mark_run(self, run_id: str, state: DagRunState) -> None:
        """Mark a run success or failed, or queue it again."""
        self.act(
            set_run_state(self.dag_id, run_id, state.value),
            f"Run {run_id} could not be marked {state.value}",
            f"Run {run_id} is marked {state.value}",
            lambda run: self._put_runs([run]),
        )

    def delete_run(self, run_id: str) -> None:
        """Delete a run with everything stored of it."""

        def gone(_answer: None) -> None:
            self._remove([(self.dag_id, run_id)])
            self.changed.emit()

        self.act(
            delete_run(self.dag_id, run_id), f"Run {run_id} could not be deleted", f"Run {run_id} is deleted", gone
        )

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        if not self.dag_id:
            return
        dag_id = self.dag_id
        self.ask(get_dag(dag_id), self._details_came, self._details_missing)
        if not self.follows_stream:
            request = list_runs(dag_id, limit=SHOWN_RUNS, order_by=["-run_after"])
            self.ask(request, lambda page: self._runs_came(dag_id, page), self.not_loaded)

    def load_source(self) -> None:
        """Ask for the file that defines the DAG; `source_came` follows."""
        dag_id = self.dag_id
        self.ask(get_source(dag_id), lambda source: self._source_came(dag_id, source), self._source_missing)

    def _details_came(self, details: DagDetails) -> None:
        if details.dag_id == self.dag_id:
            self.details = details
            self._ready_when_whole()

    def _details_missing(self, error: DagDeckError) -> None:
        self.is_missing = getattr(error, "status", None) == 404
        self.not_loaded(error)

    def _runs_came(self, dag_id: str, page: DagRunPage) -> None:
        if dag_id == self.dag_id:
            self._put_runs(list(page.dag_runs))
            self._ready_when_whole()

    def _source_came(self, dag_id: str, source: DagSource) -> None:
        if dag_id == self.dag_id:
            self.source, self.source_error = source, None
            self.source_came.emit()

    def _source_missing(self, error: DagDeckError) -> None:
        self.source, self.source_error = None, error
        self.source_came.emit()

    def _ready_when_whole(self) -> None:
        if self.details is not None:
            self.ready()

    # ------------------------------------------------------------ the feed

    def take_snapshot(self, data: Any) -> None:
        if isinstance(data, dict):
            self.runs = {}
            self._take(data)

    def take_diff(self, data: dict[str, Any]) -> None:
        self._remove(keys_of(data, "removed_runs"))
        self._take(data)

    def _take(self, data: dict[str, Any]) -> None:
        told = data.get("dag")
        if isinstance(told, dict):
            self._take_dag(told)
        self._put_runs(runs_of(data.get("runs")))
        self._ready_when_whole()

    def _take_dag(self, told: dict[str, Any]) -> None:
        revision = told.get("revision")
        if self.details is not None and isinstance(told.get("is_paused"), bool):
            self.details = msgspec.structs.replace(self.details, is_paused=told["is_paused"])
        if self._revision is not None and revision != self._revision:
            self.source = None
            self.load()
            self.definition_changed.emit()
        self._revision = revision

    def _put_runs(self, runs: list[DagRun]) -> None:
        for run in runs:
            self.runs[key_of(run)] = run
        if not self._is_chosen:
            self._select_newest()
        self.changed.emit()

    def _remove(self, keys: list[RunKey]) -> None:
        for key in keys:
            self.runs.pop(key, None)
            if key == (self.dag_id, self.selected_run_id):
                self.follow_newest()

    def _select_newest(self) -> None:
        newest = next(iter(self.recent), None)
        self._select(newest.dag_run_id if newest is not None else "")

    def _select(self, run_id: str) -> None:
        if run_id != self.selected_run_id:
            self.selected_run_id = run_id
            self.run_selected.emit(run_id)
            self.changed.emit()
