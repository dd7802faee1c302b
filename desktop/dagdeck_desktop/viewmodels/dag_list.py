"""What the DAG list shows: every DAG with its last runs, and a filter.

Decides how DAGs and runs are put together, which DAGs pass the filter, and pausing. Does not draw or sort. Used by
`views.dag_list`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal

from dagdeck_client.models import Dag, DagPage, DagRun, DagRunPage
from dagdeck_client.requests.dags import get_dag, list_dags, set_paused
from dagdeck_client.requests.runs import list_runs, trigger_run
from dagdeck_core.errors import DagDeckError
from dagdeck_core.states import DagRunState
from dagdeck_desktop.live import Feed
from dagdeck_desktop.live.topics import DAGS
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import RunKey, ViewModel, items_of, key_of, keys_of, newest_first, runs_of

PAGE = 500
KEPT_RUNS = 14
"""So many last runs of a DAG are shown."""
RUNS_ASKED = 1_000
MOST_SINGLE_READS = 20
"""More changed DAGs than this are read as a whole list."""
_UNFINISHED = frozenset({DagRunState.RUNNING, DagRunState.QUEUED})


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRow:
    """A DAG with its last runs, oldest first."""

    dag: Dag
    runs: tuple[DagRun, ...] = ()
    haystack: str = ""
    """What a search looks into, made once: filters are asked of ten thousand rows at each change."""

    @property
    def last_run(self) -> DagRun | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of its tags."""
        return tuple(tag.name for tag in self.dag.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class DagFilter:
    """Which DAGs to show. `state` is "", "failed", "running", "queued", "success"; `paused` None means both."""

    text: str = ""
    state: str = ""
    paused: bool | None = None
    tag: str = ""

    def passes(self, row: DagRow) -> bool:
        """True when the DAG is to be shown: every word of the text is in its id, name, owner or a tag."""
        if self.paused is not None and row.dag.is_paused is not self.paused:
            return False
        if self.tag and self.tag not in row.tags:
            return False
        if self.state and self.state not in states_of(row):
            return False
        return not self.text or all(word in row.haystack for word in self.text.casefold().split())


def states_of(row: DagRow) -> set[str]:
    """The states by which a DAG is found: those of its unfinished runs, and that of its last finished one."""
    found = {run.state for run in row.runs if run.state in _UNFINISHED}
    last = next((run.state for run in reversed(row.runs) if run.state not in _UNFINISHED), None)
    return found | {last} if last is not None else found


class DagListModel(ViewModel):
    """All DAGs of the cluster."""

    params_came = Signal(object)
    run_started = Signal(object)

    WHAT = "DAGs could not be loaded"

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.rows: dict[str, DagRow] = {}
        self.switching: set[str] = set()
        self._loading: dict[str, Dag] = {}
        self._runs: dict[str, dict[RunKey, DagRun]] = {}
        self._revisions: dict[str, int] = {}
        self._load_number = 0

    @property
    def topic(self) -> str | None:
        return DAGS

    @property
    def tags(self) -> list[str]:
        """Every tag, sorted."""
        return sorted({tag for row in self.rows.values() for tag in row.tags}, key=str.casefold)

    def filtered(self, wanted: DagFilter) -> list[DagRow]:
        """Rows that pass, by dag_id."""
        return [row for _key, row in sorted(self.rows.items()) if wanted.passes(row)]

    def state_counts(self) -> Counter[str]:
        """How many DAGs are found by each state."""
        return Counter(state for row in self.rows.values() if row.runs for state in states_of(row))

    # ------------------------------------------------------------ intents

    def set_paused(self, dag_id: str, is_paused: bool) -> None:
        """Pause a DAG or let it run; shown at once, and taken back if the server refuses."""
        row = self.rows.get(dag_id)
        if row is None or dag_id in self.switching:
            return
        was = row.dag
        self.switching.add(dag_id)
        self._put(msgspec.structs.replace(was, is_paused=is_paused))
        self.changed.emit()

        def done(_answer: Dag) -> None:
            self.switching.discard(dag_id)
            self.changed.emit()

        def refused(_error: DagDeckError) -> None:
            self.switching.discard(dag_id)
            self._put(was)
            self.changed.emit()

        word = "paused" if is_paused else "unpaused"
        self.act(set_paused(dag_id, is_paused), f"{dag_id} could not be {word}", f"{dag_id} is {word}", done, refused)

    def ask_params(self, dag_id: str) -> None:
        """Ask for a DAG's params; `params_came(DagDetails)` follows."""
        self.act(get_dag(dag_id), f"The parameters of {dag_id} could not be loaded", "", self.params_came.emit)

    def trigger(self, dag_id: str, conf: Mapping[str, Any], *, run_id: str = "", note: str = "") -> None:
        """Start a run; `run_started(DagRun)` follows."""
        request = trigger_run(dag_id, run_id=run_id or None, conf=dict(conf), note=note or None)
        said = f"A run of {dag_id} has started"
        self.act(request, f"No run of {dag_id} could be started", said, self.run_started.emit)

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        self._load_number += 1
        self._loading = {}
        self._ask_page(self._load_number, 0)
        if not self.follows_stream:
            self.ask(list_runs(limit=RUNS_ASKED, order_by=["-run_after"]), self._runs_came, self._runs_missing)

    def _ask_page(self, number: int, offset: int) -> None:
        self.ask(
            list_dags(limit=PAGE, offset=offset, order_by=["dag_id"]),
            lambda page: self._page_came(number, offset, page),
            self.not_loaded,
        )

    def _page_came(self, number: int, offset: int, page: DagPage) -> None:
        if number != self._load_number:
            return
        self._loading.update({dag.dag_id: dag for dag in page.dags})
        come = offset + len(page.dags)
        if page.dags and come < page.total_entries:
            self._ask_page(number, come)
            return
        self.rows = {}
        for dag in self._loading.values():
            self._put(dag)
        self.ready()

    def _runs_came(self, page: DagRunPage) -> None:
        for run in page.dag_runs:
            self._keep(run)
        self._refresh_rows({run.dag_id for run in page.dag_runs})

    def _runs_missing(self, error: DagDeckError) -> None:
        self.failed.emit(error, "The last runs could not be loaded")

    # ------------------------------------------------------------ the feed

    def take_snapshot(self, data: Any) -> None:
        if isinstance(data, dict):
            listed = [each for each in items_of(data, "dags") if isinstance(each, dict)]
            there = {str(each.get("dag_id")) for each in listed}
            for dag_id in [key for key in self.rows if key not in there]:
                del self.rows[dag_id]
            self._take_dags(listed)

    def take_diff(self, data: dict[str, Any]) -> None:
        removed_dags = [dag_id for dag_id in items_of(data, "removed_dags") if isinstance(dag_id, str)]
        for dag_id in removed_dags:
            self.rows.pop(dag_id, None)
            self._runs.pop(dag_id, None)
        removed_runs = keys_of(data, "removed_runs")
        for dag_id, run_id in removed_runs:
            self._runs.get(dag_id, {}).pop((dag_id, run_id), None)
        runs = runs_of(data.get("runs"))
        for run in runs:
            self._keep(run)
        removed = {dag_id for dag_id, _run in removed_runs}
        told = [each for each in items_of(data, "dags") if isinstance(each, dict)]
        if told or removed_dags:
            self._take_dags(told)
        self._refresh_rows({run.dag_id for run in runs} | removed)

    def _take_dags(self, told: list[dict[str, Any]]) -> None:
        """What the stream says of DAGs: switches at once, the rest by REST where the definition has changed."""
        outdated = []
        for each in told:
            dag_id, revision = str(each.get("dag_id")), each.get("revision")
            row = self.rows.get(dag_id)
            is_known = row is not None and self._revisions.get(dag_id) in (None, revision)
            if isinstance(revision, int):
                self._revisions[dag_id] = revision
            if row is not None:
                self._put(_switched(row.dag, each))
            if not is_known:
                outdated.append(dag_id)
        self.changed.emit()
        if len(outdated) > MOST_SINGLE_READS:
            self.load()
            return
        for dag_id in outdated:
            self.ask(get_dag(dag_id), self._dag_came, lambda _error: None)

    def _dag_came(self, dag: Dag) -> None:
        self._put(dag)
        self.changed.emit()

    # ------------------------------------------------------------ rows

    def _put(self, dag: Dag) -> None:
        words = (dag.dag_id, dag.dag_display_name, *dag.owners, *(tag.name for tag in dag.tags))
        self.rows[dag.dag_id] = DagRow(dag=dag, runs=self._last(dag.dag_id), haystack="\n".join(words).casefold())

    def _keep(self, run: DagRun) -> None:
        self._runs.setdefault(run.dag_id, {})[key_of(run)] = run

    def _last(self, dag_id: str) -> tuple[DagRun, ...]:
        kept = newest_first(self._runs.get(dag_id, {}))[:KEPT_RUNS]
        self._runs[dag_id] = {key_of(run): run for run in kept}
        return tuple(reversed(kept))

    def _refresh_rows(self, dag_ids: set[str]) -> None:
        for dag_id in dag_ids:
            row = self.rows.get(dag_id)
            if row is not None:
                self.rows[dag_id] = replace(row, runs=self._last(dag_id))
        self.changed.emit()


def _switched(dag: Dag, told: dict[str, Any]) -> Dag:
    """A DAG with what the stream says of its switches."""
    try:
        after = msgspec.convert(told.get("next_dagrun_run_after"), datetime | None)
    except msgspec.ValidationError:
        after = dag.next_dagrun_run_after
    return msgspec.structs.replace(
        dag,
        is_paused=bool(told.get("is_paused", dag.is_paused)),
        has_import_errors=bool(told.get("has_import_errors", dag.has_import_errors)),
        next_dagrun_run_after=after,
    )
