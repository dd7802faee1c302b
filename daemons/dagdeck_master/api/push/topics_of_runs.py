"""The topics that show runs: one run with its task instances, one DAG, all DAGs, Home.

Decides what each shows and what of it is new. Does not decide when it is looked at (`reader`) or who hears it
(`streams`). Made by `topics.live_topic`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from dagdeck_master.api.models.runs import DAGRunResponse
from dagdeck_master.api.push import rows
from dagdeck_master.api.push.news import News, RunState, Update, changed
from dagdeck_master.api.push.rows import DagState, Task
from dagdeck_master.api.queries.cluster import health

MOST_RUNS = 300
"""Runs that a listing remembers to have told; those that ended longest ago are forgotten first."""
POLL_SECONDS = 1.0


class RunTopic:
    """One run and all its task instances."""

    can_resume = True

    def __init__(self, dag_id: str, dag_run_id: str) -> None:
        self._dag_id = dag_id
        self._dag_run_id = dag_run_id
        self._key: int | None = None
        self._run: RunState | None = None
        self._tasks: dict[int, Task] = {}
        self.poll_interval: float | None = None

    @property
    def run_key(self) -> int | None:
        """The run's key; None while there is no such run."""
        return self._key

    def load(self, connection: sa.Connection) -> None:
        """See LiveTopic."""
        found = rows.run_by_name(connection, self._dag_id, self._dag_run_id)
        tasks = {} if found is None else rows.tasks_of_run(connection, found[0])
        self._key, self._run = (None, None) if found is None else found
        self._tasks = tasks
        # A run that is not there may come to be; without a queue's hint nobody says so.
        self.poll_interval = POLL_SECONDS if self._key is None else None

    def snapshot(self) -> Any:
        """See LiveTopic."""
        return None if self._run is None else {"run": self._run.shown, "tasks": list(self._tasks.values())}

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """See LiveTopic."""
        if self._key is None:
            return self.poll(connection) if news.runs else None
        run = news.runs.get(self._key)
        if self._key in news.runs and (run is None or run.created_tasks != self._created):
            return self.compare(connection)
        tasks = self._read_tasks(connection, self._key, news.tasks.get(self._key, set()))
        diff: dict[str, Any] = {}
        if run is not None:
            self._note_run(run, diff)
        self._note_tasks(tasks, diff)
        return Update(diff=diff) if diff else None

    def _read_tasks(self, connection: sa.Connection, run_key: int, ids: set[int]) -> Mapping[int, Task]:
        # Many at once: reading the run as a whole costs less than asking for each by its key.
        if len(ids) > max(rows.BATCH, len(self._tasks) // 2):
            return rows.tasks_of_run(connection, run_key)
        return rows.tasks_by_id(connection, run_key, ids)

    def poll(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        if self._key is None:
            self.load(connection)
            return None if self._key is None else Update(is_reset=True)
        return None

    def compare(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        if self._key is None:
            return self.poll(connection)
        found = rows.run_by_name(connection, self._dag_id, self._dag_run_id)
        if found is None or found[0] != self._key:
            self.load(connection)
            return Update(is_reset=True)
        tasks = rows.tasks_of_run(connection, self._key)
        diff: dict[str, Any] = {}
        self._note_run(found[1], diff)
        removed = [self._tasks.pop(ti_id)[0] for ti_id in self._tasks.keys() - tasks.keys()]
        self._note_tasks(tasks, diff)
        if removed:
            diff["removed_tasks"] = removed
        return Update(diff=diff) if diff else None

    @property
    def _created(self) -> int:
        return 0 if self._run is None else self._run.created_tasks

    def _note_run(self, run: RunState, diff: dict[str, Any]) -> None:
        if self._run is None or self._run.shown != run.shown:
            diff["run"] = run.shown
        self._run = run

    def _note_tasks(self, found: Mapping[int, Task], diff: dict[str, Any]) -> None:
        news = changed(self._tasks, found)
        if news:
            diff["tasks"] = news
        self._tasks.update(found)


class RunListing:
    """The runs that a listing has told; shared by the topics below."""

    def __init__(self) -> None:
        self._told: dict[int, DAGRunResponse] = {}

    def reset(self, runs: Mapping[int, RunState]) -> None:
        """Forget what was told before."""
        self._told = {key: run.shown for key, run in runs.items()}

    def shown(self) -> list[DAGRunResponse]:
        """What was told, newest first."""
        return sorted(self._told.values(), key=lambda run: (run.run_after, run.dag_run_id), reverse=True)

    def keys(self) -> Collection[int]:
        """Keys of the runs told."""
        return self._told.keys()

    def note(self, runs: Mapping[int, RunState | None], diff: dict[str, Any]) -> None:
        """Put into `diff` what of `runs` is new or gone."""
        here = {key: run.shown for key, run in runs.items() if run is not None}
        news = changed(self._told, here)
        gone = [self._told.pop(key) for key, run in runs.items() if run is None and key in self._told]
        for key, shown in here.items():
            self._told.pop(key, None)
            self._told[key] = shown
        while len(self._told) > MOST_RUNS:
            ended = (key for key, run in self._told.items() if run.end_date is not None)
            self._told.pop(next(ended, next(iter(self._told))))
        if news:
            diff["runs"] = news
        if gone:
            diff["removed_runs"] = [[run.dag_id, run.dag_run_id] for run in gone]


class DagTopic:
    """One DAG with its last runs."""

    can_resume = True

    def __init__(self, dag_id: str) -> None:
        self._dag_id = dag_id
        self._dag: DagState | None = None
        self._runs = RunListing()
        self.poll_interval: float | None = POLL_SECONDS

    def load(self, connection: sa.Connection) -> None:
        """See LiveTopic."""
        self._dag = rows.one_dag(connection, self._dag_id)
        self._runs.reset(rows.recent_runs(connection, self._dag_id))

    def snapshot(self) -> Any:
        """See LiveTopic."""
        return None if self._dag is None else {"dag": self._dag, "runs": self._runs.shown()}

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """See LiveTopic."""
        known = self._runs.keys()
        mine = {
            key: run
            for key, run in news.runs.items()
            if (key in known if run is None else run.shown.dag_id == self._dag_id)
        }
        diff: dict[str, Any] = {}
        self._runs.note(mine, diff)
        return Update(diff=diff) if diff and self._dag is not None else None

    def poll(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        found = rows.one_dag(connection, self._dag_id)
        if found == self._dag:
            return None
        if found is None or self._dag is None:
            self.load(connection)
            return Update(is_reset=True)
        self._dag = found
        return Update(diff={"dag": found})

    def compare(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        update = self.poll(connection)
        if self._dag is None or (update is not None and update.is_reset):
            return update
        diff = {} if update is None or update.diff is None else update.diff
        self._runs.note(_compared(connection, self._runs, rows.recent_runs(connection, self._dag_id)), diff)
        return Update(diff=diff) if diff else None


class DagsTopic:
    """Every DAG in the DAG folder, and whatever run changes."""

    can_resume = True

    def __init__(self, scope: rows.Scope = None) -> None:
        self._scope = scope
        self._dags: dict[str, DagState] = {}
        self._runs = RunListing()
        self.poll_interval: float | None = POLL_SECONDS

    def load(self, connection: sa.Connection) -> None:
        """See LiveTopic."""
        self._dags = rows.all_dags(connection, self._scope)
        self._runs.reset(rows.recent_runs(connection, scope=self._scope))

    def snapshot(self) -> Any:
        """See LiveTopic."""
        return {"dags": list(self._dags.values())}

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """See LiveTopic."""
        diff: dict[str, Any] = {}
        self._runs.note(_seen(news.runs, self._scope), diff)
        return Update(diff=diff) if diff else None

    def poll(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        found = rows.all_dags(connection, self._scope)
        diff: dict[str, Any] = {}
        news, gone = changed(self._dags, found), sorted(self._dags.keys() - found.keys())
        if news:
            diff["dags"] = news
        if gone:
            diff["removed_dags"] = gone
        self._dags = found
        return Update(diff=diff) if diff else None

    def compare(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        update = self.poll(connection)
        diff = {} if update is None or update.diff is None else update.diff
        self._runs.note(_compared(connection, self._runs, rows.recent_runs(connection, scope=self._scope)), diff)
        return Update(diff=diff) if diff else None


class HomeTopic:
    """Health, counts, and the runs that are unfinished or recent."""

    can_resume = True

    def __init__(self, scope: rows.Scope = None) -> None:
        self._scope = scope
        self._facts: dict[str, Any] = {}
        self._runs = RunListing()
        self.poll_interval: float | None = POLL_SECONDS

    def load(self, connection: sa.Connection) -> None:
        """See LiveTopic."""
        self._facts = _facts(connection, self._scope)
        self._runs.reset(_home_runs(connection, self._scope))

    def snapshot(self) -> Any:
        """See LiveTopic."""
        return {**self._facts, "runs": self._runs.shown()}

    def take(self, connection: sa.Connection, news: News) -> Update | None:
        """See LiveTopic."""
        diff: dict[str, Any] = {}
        self._runs.note(_seen(news.runs, self._scope), diff)
        return Update(diff=diff) if diff else None

    def poll(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        found = _facts(connection, self._scope)
        diff = {name: value for name, value in found.items() if self._facts.get(name) != value}
        self._facts = found
        return Update(diff=diff) if diff else None

    def compare(self, connection: sa.Connection) -> Update | None:
        """See LiveTopic."""
        update = self.poll(connection)
        diff = {} if update is None or update.diff is None else update.diff
        self._runs.note(_compared(connection, self._runs, _home_runs(connection, self._scope)), diff)
        return Update(diff=diff) if diff else None


def _facts(connection: sa.Connection, scope: rows.Scope) -> dict[str, Any]:
    return {"health": msgspec.to_builtins(health(connection)), **rows.counts(connection, scope)}


def _home_runs(connection: sa.Connection, scope: rows.Scope) -> dict[int, RunState]:
    return rows.unfinished_runs(connection, scope) | rows.recent_runs(connection, scope=scope)


def _seen(runs: Mapping[int, RunState | None], scope: rows.Scope) -> Mapping[int, RunState | None]:
    """The runs that may be told of; of one that is gone a listing tells only when it told of it before."""
    if scope is None:
        return runs
    return {key: run for key, run in runs.items() if run is None or run.shown.dag_id in scope}


def _compared(connection: sa.Connection, told: RunListing, found: Mapping[int, RunState]) -> dict[int, RunState | None]:
    """`found`, and the runs told before as they are now."""
    return {**rows.runs_by_key(connection, told.keys() - found.keys()), **found}
