"""Runs every DAG of a corpus on a cluster of real processes and compares the ends with what is expected.

Decides the order in which DAGs are started, how many run at a time, how long each may take and which run of a DAG is
judged. Does not judge (`expectations`) nor start daemons (the harness). Called by `__main__` and by the tests.

Everything is started as people start it: DAGs are unpaused and triggered through the control API, asset-triggered ones
by their producers' events, and what waits for a person is answered.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatch
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from dagdeck_client.errors import ApiRefusal
from dagdeck_client.requests import dags as dag_requests
from dagdeck_client.requests.base import API, Request
from dagdeck_client.transport import HttpTransport
from dagdeck_core.states import DISPATCHED, DagRunState, DagRunType, TaskInstanceState
from dagdeck_io.db import tables as t
from tests.compat.corpus import Corpus
from tests.compat.expectations import BEYOND, COMPARABLE, Kind, RunEnd, TaskEnd
from tests.e2e.harness import ClusterUnderTest

Say = Callable[[str], None]
LOOK_SECONDS = 0.25
QUIET_SECONDS = 12.0
"""Parsing is over when nothing new was stored for so long."""
TRIGGERED = (*(kind for kind in COMPARABLE if kind is not Kind.ON_ASSET), Kind.FAILS, Kind.NEEDS_HUMAN)
FINISHED = (DagRunState.SUCCESS, DagRunState.FAILED)
RUN_PREFIX = "compat__"


class Outcome(StrEnum):
    """What became of one DAG."""

    MATCHED = "matched"
    DIFFERS = "differs"
    NOT_PARSED = "not parsed"
    LATE = "late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One DAG's outcome; `text` says what differs."""

    dag_id: str
    kind: Kind
    outcome: Outcome
    seconds: float = 0.0
    text: str = ""


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A DAG whose run is awaited. `run_id` is empty until an event has made the run."""

    dag_id: str
    began: float
    run_id: str = ""
    answered: set[str] = field(default_factory=set)


class Campaign:
    """One pass over a corpus."""

    def __init__(
        self,
        cluster: ClusterUnderTest,
        corpus: Corpus,
        *,
        client: HttpTransport,
        say: Say,
        only: str = "*",
        limit: float = 300.0,
        at_once: int = 12,
    ) -> None:
        self.cluster = cluster
        self.corpus = corpus
        self.client = client
        self.say = say
        self.limit = limit
        self.at_once = at_once
        kinds = (*COMPARABLE, *BEYOND)
        self.wanted = {
            dag_id: each.expectation
            for dag_id, each in sorted(corpus.expectations.dags.items())
            if each.expectation in kinds and fnmatch(dag_id, only)
        }
        self.verdicts: dict[str, Verdict] = {}
        self.parsed = 0
        self.import_errors: dict[str, str] = {}

    def run(self) -> list[Verdict]:
        """Go through all of it; one verdict for each DAG wanted, by dag_id."""
        self._wait_parsed()
        runnable = {dag_id: kind for dag_id, kind in self.wanted.items() if dag_id not in self.verdicts}
        for dag_id in self._to_unpause(runnable):
            self.client.send(dag_requests.set_paused(dag_id, is_paused=False))
        self._refused(runnable)
        consumers = [dag_id for dag_id, kind in runnable.items() if kind is Kind.ON_ASSET]
        self._follow([dag_id for dag_id, kind in runnable.items() if kind in TRIGGERED], consumers)
        self._never(runnable)
        return [self.verdicts[dag_id] for dag_id in sorted(self.verdicts)]

    # ------------------------------------------------------------ before

    def _wait_parsed(self) -> None:
        """Wait until every DAG is stored, or nothing more is coming; say of each that is missing why."""
        expected = set(self.corpus.expectations.dags)
        seen: tuple[int, int] = (0, 0)
        changed = time.monotonic()
        while True:
            known = self.cluster.database.dag_ids()
            self.import_errors = self._read_import_errors()
            state = (len(known), len(self.import_errors))
            if state != seen:
                seen, changed = state, time.monotonic()
            quiet = time.monotonic() - changed
            if expected <= known or (quiet > QUIET_SECONDS and any(state)) or quiet > self.limit:
                break
            time.sleep(LOOK_SECONDS)
        self.parsed = len(expected & known)
        self.say(f"{self.parsed} of {len(expected)} DAGs parsed, {len(self.import_errors)} files did not")
        for dag_id in sorted(set(self.wanted) - known):
            file = self.corpus.expectations.dags[dag_id].file
            why = next((text for name, text in self.import_errors.items() if file and name.endswith(file)), "")
            self._judge(dag_id, Outcome.NOT_PARSED, text=why or "it is in no DAG file that was parsed")

    def _read_import_errors(self) -> dict[str, str]:
        rows = self.cluster.database.rows(sa.select(t.import_error.c.filename, t.import_error.c.message))
        return {row["filename"]: str(row["message"] or "") for row in rows}

    def _to_unpause(self, runnable: Mapping[str, Kind]) -> list[str]:
        """Those wanted, and all with an expected success: they trigger and feed one another."""
        known = self.cluster.database.dag_ids()
        others = {d for d, each in self.corpus.expectations.dags.items() if each.expectation in COMPARABLE}
        return sorted(({*runnable, *others}) & known)

    def _refused(self, runnable: Mapping[str, Kind]) -> None:
        for dag_id, kind in runnable.items():
            if kind is Kind.NEEDS_PARAMS:
                try:
                    self._trigger(dag_id)
                except ApiRefusal:
                    self._judge(dag_id, Outcome.MATCHED)
                else:
                    self._judge(dag_id, Outcome.DIFFERS, text="it was triggered without a param that it requires")

    # ------------------------------------------------------------ the runs

    def _follow(self, to_trigger: list[str], consumers: list[str]) -> None:
        """Trigger, a few at a time, and look until each has ended or is late."""
        # What makes virtual environments takes longest.
        to_trigger.sort(key=lambda dag_id: (self.wanted[dag_id] is not Kind.NEEDS_VENV, dag_id))
        waiting, active = deque(to_trigger), dict[str, _Watched]()
        fed = [_Watched(dag_id=dag_id, began=time.monotonic()) for dag_id in consumers]
        waiting.extend(dag_id for dag_id in self._producers(consumers) if dag_id not in to_trigger)
        events_posted = not consumers
        while waiting or active or fed:
            while waiting and len(active) < self.at_once:
                self._begin(waiting.popleft(), active)
            if not waiting and not events_posted:
                self._post_asset_events()
                events_posted = True
                for each in fed:
                    each.began = time.monotonic()
            for each in list(active.values()):
                if self._look(each):
                    del active[each.dag_id]
            fed = [each for each in fed if not self._look(each, expects_event=True)]
            time.sleep(LOOK_SECONDS)

    def _producers(self, consumers: list[str]) -> list[str]:
        """The DAGs triggered by hand that stand in a file with one of `consumers`: they may feed it."""
        dags, known = self.corpus.expectations.dags, self.cluster.database.dag_ids()
        files = {dags[dag_id].file for dag_id in consumers}
        manual = [dag_id for dag_id, each in sorted(dags.items()) if each.expectation is Kind.MANUAL]
        return [dag_id for dag_id in manual if dags[dag_id].file in files and dag_id in known]

    def _begin(self, dag_id: str, active: dict[str, _Watched]) -> None:
        try:
            run_id = self._trigger(dag_id)
        except ApiRefusal as refusal:
            self._judge(dag_id, Outcome.DIFFERS, text=f"triggering it was refused: {refusal}")
        else:
            active[dag_id] = _Watched(dag_id=dag_id, began=time.monotonic(), run_id=run_id)

    def _trigger(self, dag_id: str) -> str:
        start = self.corpus.expectations.start_of(dag_id)
        run_id = RUN_PREFIX + dag_id
        body: dict[str, Any] = {
            "dag_run_id": run_id,
            "logical_date": start.logical_date or datetime.now(UTC).isoformat(),
        }
        if start.conf is not None:
            body["conf"] = start.conf
        if start.partition_key is not None:
            body["partition_key"] = start.partition_key
        self._post(f"/dags/{quote(dag_id)}/dagRuns", body)
        return run_id

    def _look(self, each: _Watched, *, expects_event: bool = False) -> bool:
        """Judge a DAG if it has ended or is late; whether that was done."""
        if expects_event and not each.run_id:
            each.run_id = self._asset_run(each.dag_id)
        run = self.cluster.database.run(each.run_id) if each.run_id else None
        seconds = time.monotonic() - each.began
        if run is not None and run.state in FINISHED and (seconds > self.limit or not self._is_live(each.run_id)):
            self._compare(each.dag_id, self._end_of(each.run_id, run.state), seconds)
            return True
        if each.dag_id in self.corpus.expectations.starts.answers and run is not None:
            self._answer(each)
        if seconds > self.limit:
            text = self._unfinished(each.run_id) if run is not None else "no run was made of it"
            self._judge(each.dag_id, Outcome.LATE, seconds, f"not ended within {self.limit:g} s: {text}")
            return True
        return False

    def _is_live(self, run_id: str) -> bool:
        """Whether a process of an ended run still has to be ended: its time-out came first."""
        return any(ti.state in DISPATCHED for ti in self.cluster.database.task_instances(run_id))

    def _asset_run(self, dag_id: str) -> str:
        """The DAG's first run that an asset made; "" when there is none."""
        run = t.dag_run.c
        rows = self.cluster.database.rows(
            sa.select(run.run_id)
            .where(run.dag_id == dag_id, run.run_type == DagRunType.ASSET_TRIGGERED)
            .order_by(run.run_key)
            .limit(1)
        )
        return str(rows[0]["run_id"]) if rows else ""

    def _end_of(self, run_id: str, state: DagRunState) -> RunEnd:
        tasks = self.cluster.database.task_instances(run_id)
        return RunEnd(
            run_state=state.value,
            tasks=tuple(
                TaskEnd(
                    task_id=ti.task_id,
                    map_index=ti.map_index,
                    state=None if ti.state is TaskInstanceState.NONE else ti.state.value,
                )
                for ti in tasks
                if ti.state is not TaskInstanceState.REMOVED
            ),
        )

    def _unfinished(self, run_id: str) -> str:
        left = [ti for ti in self.cluster.database.task_instances(run_id) if ti.end_date is None]
        return ", ".join(f"{ti.task_id}[{ti.map_index}]={ti.state.value}" for ti in left)

    def _errors(self, run_id: str) -> str:
        failed = [ti for ti in self.cluster.database.task_instances(run_id) if ti.error]
        return "; ".join(f"{ti.task_id}: {ti.error}" for ti in failed)

    def _answer(self, each: _Watched) -> None:
        """Answer what the run's task instances ask, each once."""
        answers = self.corpus.expectations.starts.answers[each.dag_id]
        for ti in self.cluster.database.task_instances(each.run_id):
            if ti.state is TaskInstanceState.AWAITING_INPUT and ti.task_id in answers.keys() - each.answered:
                place = f"/dags/{quote(each.dag_id)}/dagRuns/{quote(each.run_id)}/taskInstances"
                path = f"{place}/{quote(ti.task_id)}/{ti.map_index}/hitlDetails"
                self._send("PATCH", path, answers[ti.task_id])
                each.answered.add(ti.task_id)

    # ------------------------------------------------------------ assets

    def _post_asset_events(self) -> None:
        """Post the events that come from outside, through the control API."""
        if not self.corpus.expectations.starts.asset_events:
            return
        try:
            known = self._send("GET", "/assets?limit=1000", None)["assets"]
        except ApiRefusal as refusal:
            self.say(f"the assets cannot be read, so no events are posted: {refusal}")
            return
        ids = {asset["name"]: asset["id"] for asset in known}
        for events in self.corpus.expectations.starts.asset_events:
            if events.asset not in ids:
                self.say(f"there is no asset {events.asset!r} to post events of")
                continue
            for key in events.partition_keys():
                self._post("/assets/events", {"asset_id": ids[events.asset], "partition_key": key, "extra": {}})

    def _never(self, runnable: Mapping[str, Kind]) -> None:
        for dag_id, kind in runnable.items():
            if kind is Kind.NEVER:
                run_id = self._asset_run(dag_id)
                text = f"events made a run of it: {run_id}" if run_id else ""
                self._judge(dag_id, Outcome.DIFFERS if run_id else Outcome.MATCHED, text=text)

    # ------------------------------------------------------------ small things

    def _compare(self, dag_id: str, end: RunEnd, seconds: float) -> None:
        found = self.corpus.expectations.differences(dag_id, end)
        text = "; ".join(found)
        if found:
            run_id = RUN_PREFIX + dag_id if self.wanted.get(dag_id) in TRIGGERED else self._asset_run(dag_id)
            errors = self._errors(run_id)
            text += f" ({errors})" if errors else ""
        self._judge(dag_id, Outcome.DIFFERS if found else Outcome.MATCHED, seconds, text)

    def _judge(self, dag_id: str, outcome: Outcome, seconds: float = 0.0, text: str = "") -> None:
        if dag_id not in self.wanted:
            return
        kind = self.wanted[dag_id]
        self.verdicts[dag_id] = Verdict(dag_id=dag_id, kind=kind, outcome=outcome, seconds=seconds, text=text)
        self.say(f"{dag_id}: {outcome}{f' ({text})' if text else ''}")

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        plain, _, query = path.partition("?")
        pairs = tuple(tuple(each.split("=", 1)) for each in query.split("&")) if query else ()
        request: Request[Any] = Request(
            method=method,
            path=API + plain,
            query=pairs,  # type: ignore[arg-type]
            body=body,
            answer=dict[str, Any],
            is_action=method != "GET",
        )
        return self.client.send(request)
