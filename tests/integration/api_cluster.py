"""A cluster for tests of the control API: real database, real scheduler loop, real HTTP, and a stand-in worker.

Decides what the sample DAGs look like and how the stand-in worker ends their tasks (by the task's name). It does not
run user code: what tasks leave behind (logs, XComs, rendered fields) is written as a worker would write it. Used by
test_api*.py and test_cli*.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import airflow_client.client as airflow
import httpx
from fastapi import FastAPI

from dagdeck_core.human_input import Question
from dagdeck_core.outcome import decide
from dagdeck_core.ports import (
    CHANGES,
    REPORTS,
    BundleFile,
    BundleManifest,
    ClaimedTask,
    FinishWrite,
    LogChunk,
    XComWrite,
)
from dagdeck_core.spec import DagSpec, ParamSpec, TaskGroupSpec, TaskSpec
from dagdeck_core.timetables import CronTriggerSpec, compile_timetable
from dagdeck_core.wire import Changed, FinishedDispatch, Nudge, Report
from dagdeck_io.broker import MemoryBroker, MemoryQueues
from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.measurements import SCHEDULER
from dagdeck_io.db.processor_store import ImportFailure, PublishedDag
from dagdeck_io.secrets import generate_key
from dagdeck_io.settings import Settings, load_settings
from dagdeck_io.zones import load_zone
from dagdeck_master.api.app import bind, create_app, make_server, url_of
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.users import TokenScope, create_user, issue_token
from dagdeck_master.scheduler.app import loop_settings
from dagdeck_master.scheduler.loop import SchedulerLoop

BUNDLE = "test_dags"
SOURCE = b"# the file of all sample DAGs\nfrom dagdeck import DAG\n"
FILE = "samples.py"
PASSWORDS = {"alice": "correct horse", "olga": "battery staple", "victor": "viewers only"}
ROLES = {"alice": Role.ADMIN, "olga": Role.OPERATOR, "victor": Role.VIEWER}
SAMPLE_SETTINGS = {"scheduler.action_poll": 0.05, "api.token_hours": 1.0, "api.action_wait": 5.0}


def sample_specs() -> list[DagSpec]:
    """The DAGs that every test cluster has."""
    pipeline = DagSpec(
        dag_id="pipeline",
        fileloc=FILE,
        description="Four steps",
        doc_md="# Pipeline",
        tags=("etl", "daily"),
        params={
            "year": ParamSpec(value=2024, schema={"type": "integer", "minimum": 1900}, description="Which year"),
            "region": ParamSpec(value=None, has_value=True),
        },
        is_paused_upon_creation=False,
        tasks=(
            TaskSpec(task_id="extract", task_type="PythonOperator", module="dagdeck.operators", owner="ann"),
            TaskSpec(task_id="work.left", task_type="PythonOperator", upstream=("extract",), group_id="work"),
            TaskSpec(
                task_id="work.right",
                task_type="PythonOperator",
                upstream=("extract",),
                group_id="work",
                executor_config={"cpu": 2},
            ),
            TaskSpec(
                task_id="load",
                task_type="BashOperator",
                upstream=("work.left", "work.right"),
                owner="bob",
                execution_timeout=90.5,
                retry_delay=61.0,
            ),
        ),
        groups=(TaskGroupSpec(group_id="work", label="work"),),
    )
    failing = DagSpec(
        dag_id="failing",
        fileloc=FILE,
        tags=("etl",),
        is_paused_upon_creation=False,
        tasks=(
            TaskSpec(
                task_id="first",
                task_type="PythonOperator",
                extra_links=("Job", "Wiki", "Odd"),
                extra_link_keys=("_link_Job", "_link_Wiki", "return_value"),
            ),
            TaskSpec(task_id="fail_here", task_type="PythonOperator", upstream=("first",), retries=1, retry_delay=0.0),
            TaskSpec(task_id="after", task_type="PythonOperator", upstream=("fail_here",)),
        ),
    )
    holding = DagSpec(
        dag_id="holding",
        fileloc=FILE,
        is_paused_upon_creation=False,
        tasks=(TaskSpec(task_id="hold", task_type="PythonOperator"),),
    )
    scheduled = DagSpec(
        dag_id="scheduled",
        fileloc=FILE,
        timetable=CronTriggerSpec(cron="0 3 * * *"),
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        is_paused_upon_creation=True,
        tasks=(TaskSpec(task_id="only", task_type="PythonOperator"),),
    )
    return [pipeline, failing, holding, scheduled]


def published(spec: DagSpec) -> PublishedDag:
    """A spec as the DAG processor publishes it."""
    timetable = compile_timetable(spec.timetable, load_zone)
    return PublishedDag(
        spec=spec,
        code_sha256=hashlib.sha256(SOURCE).hexdigest(),
        parse_duration=0.01,
        timetable_type=type(spec.timetable).__name__.replace("Spec", "Timetable"),
        timetable_summary=timetable.summary,
        timetable_description=timetable.description,
        timetable_periodic=timetable.periodic,
    )


@dataclass(slots=True)
class StandInWorker:
    """Claims dispatches and ends them at once: "fail…" fails, "hold…" waits until released; `questions` are asked."""

    database: Database
    broker: MemoryBroker
    versions: dict[int, Any] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    worker_id: int = 0
    _held: list[ClaimedTask] = field(default_factory=list)

    def run(self) -> None:
        """The worker's thread."""
        store = self.database.worker_store()
        self.worker_id = store.register(
            name="stand-in", hostname="test", slots=4, queues=["default"], version="test", pid=1
        )
        renewed = 0.0
        while not self.stopping.is_set():
            if time.monotonic() - renewed > 1.0:
                self._revoke(store, store.renew(self.worker_id))
                renewed = time.monotonic()
            if self.released.is_set() and self._held:
                held, self._held = self._held, []
                self._finish(store, held)
            room = 4 - len(self._held)
            deliveries = self.broker.take(["default"], "stand-in", limit=room, timeout=0.05) if room > 0 else []
            wanted = [pair for delivery in deliveries for pair in delivery.hint.dispatches]
            if not wanted:
                continue
            _, claimed = store.transact(self.worker_id, [], wanted)
            self.broker.acknowledge(deliveries)
            self._report(claimed=tuple((c.run_key, c.ti_id, c.dispatch_no) for c in claimed))
            self._held += [each for each in claimed if each.task_id.startswith("hold")]
            self._finish(store, [each for each in claimed if not each.task_id.startswith("hold")])
        store.stop(self.worker_id)

    def _revoke(self, store: Any, revoked: list[tuple[int, int]]) -> None:
        numbers = {dispatch_no for _, dispatch_no in revoked}
        ended = [each for each in self._held if each.dispatch_no in numbers]
        self._held = [each for each in self._held if each.dispatch_no not in numbers]
        self._finish(store, ended, revoked=True)

    def _finish(self, store: Any, tasks: list[ClaimedTask], revoked: bool = False) -> None:
        if not tasks:
            return
        writes = [self._end_of(store, task, revoked) for task in tasks]
        results, _ = store.transact(self.worker_id, writes, [])
        states = dict(results)
        self._report(
            finished=tuple(
                FinishedDispatch(w.run_key, w.ti_id, w.dispatch_no, states[w.dispatch_no], w.duration, w.next_at)
                for w in writes
                if states[w.dispatch_no] is not None
            )
        )

    def _report(self, **content: Any) -> None:
        report = Report(worker_id=self.worker_id, free_slots=4 - len(self._held), **content)
        self.broker.append(REPORTS, [report, Nudge("asset")])
        changes = [(run_key, ti_id, "running") for run_key, ti_id, _ in content.get("claimed", ())]
        changes += [(each.run_key, each.ti_id, each.state.value) for each in content.get("finished", ())]
        self.broker.append(CHANGES, [Changed(tuple(changes))])

    def _end_of(self, store: Any, task: ClaimedTask, revoked: bool) -> FinishWrite:
        version = self.versions.get(task.version_id) or store.version(task.version_id)
        self.versions[task.version_id] = version
        spec = next(each for each in version.spec.tasks if each.task_id == task.task_id)
        now = datetime.now(UTC)
        question = None if task.next_method else self.questions.get(task.task_id)
        result = "success" if question is None else "awaiting_input"
        verdict = decide(
            "failed" if task.task_id.startswith("fail") else result,
            task=spec,
            ti_id=task.ti_id,
            try_number=task.try_number,
            max_tries=task.max_tries,
            now=now,
        )
        return FinishWrite(
            run_key=task.run_key,
            ti_id=task.ti_id,
            dispatch_no=task.dispatch_no,
            state=verdict.state,
            start_date=now,
            end_date=now,
            duration=0.25,
            next_at=verdict.next_at,
            error="boom" if task.task_id.startswith("fail") else None,
            xcoms=(XComWrite(key="return_value", value='{"rows":3}'),),
            rendered_fields={"op_args": [task.task_id]},
            log=LogChunk(
                ti_id=task.ti_id,
                dispatch_no=task.dispatch_no,
                try_number=task.try_number,
                offset=0,
                data=log_of(task.task_id, task.try_number).encode(),
            ),
            outlet_events=tuple({"name": each.name, "uri": each.uri} for each in spec.outlets),
            pid=4711,
            revoked=revoked,
            question=question,
        )


def log_of(task_id: str, try_number: int) -> str:
    """The log that the stand-in worker writes."""
    return (
        f"2026-11-24T05:37:21.123456Z INFO  dagdeck.task  {task_id} begins try {try_number}\n"
        "plain print with ünïcode\n"
        f"2026-11-24T05:37:22.000000Z ERROR my.logger  {task_id} ends\n"
    )


@dataclass(slots=True, kw_only=True)
class ApiCluster:
    """A running cluster; see the module."""

    url: str
    app: FastAPI
    database: Database
    settings: Settings
    worker: StandInWorker
    queues: MemoryQueues
    tokens: dict[str, str]
    http: httpx.Client

    def call(self, method: str, path: str, user: str | None = "alice", **arguments: Any) -> httpx.Response:
        """A plain HTTP request, with the token of `user`."""
        headers = dict(arguments.pop("headers", {}))
        if user is not None:
            headers["Authorization"] = f"Bearer {self.tokens[user]}"
        return self.http.request(method, path, headers=headers, **arguments)

    def client(self, user: str = "alice") -> airflow.ApiClient:
        """Airflow's own client, signed in as `user`."""
        return airflow.ApiClient(airflow.Configuration(host=self.url, access_token=self.tokens[user]))

    def publish(self, specs: list[DagSpec], failures: list[ImportFailure] | None = None, content: str = "1") -> None:
        """Store DAGs as the DAG processor would."""
        publish(self.database, specs, failures or [], content)

    def until(self, condition: Callable[[], Any], what: str, timeout: float = 10.0) -> Any:
        """The first true value of `condition`."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            time.sleep(0.01)


def publish(database: Database, specs: list[DagSpec], failures: list[ImportFailure], content: str) -> None:
    """Store a bundle and its DAGs."""
    data = SOURCE + content.encode()
    version = hashlib.sha256(data).hexdigest()
    file = BundleFile(path=FILE, sha256=version, size=len(data))
    database.bundle_store().put(BundleManifest(name=BUNDLE, version=version, files=(file,)), lambda path: data)
    database.processor_store().publish(BUNDLE, version, [published(spec) for spec in specs], failures)


@contextlib.contextmanager
def api_cluster(home: Path, database_url: str | None = None, **overrides: Any) -> Iterator[ApiCluster]:
    """A cluster on SQLite in `home`, or on `database_url`."""
    url = database_url or f"sqlite:///{home / 'dagdeck.db'}"
    settings = load_settings(
        environ={},
        config_files=[],
        overrides={**SAMPLE_SETTINGS, "paths.home": str(home), "database.url": url, **overrides},
    )
    migrations.upgrade(url)
    database = open_database(url, key=generate_key())
    publish(database, sample_specs(), [], "1")
    tokens = {name: _user(database, name) for name in PASSWORDS}
    queues = MemoryQueues()
    reader = MemoryBroker(queues)
    loop = SchedulerLoop(
        store=database.scheduler_store(),
        reader=reader,
        sender=MemoryBroker(queues),
        owner="test",
        ids=database.id_source,
        zones=load_zone,
        settings=loop_settings(settings),
        publish=database.measurements(SCHEDULER, "test").publish,
    )
    worker = StandInWorker(database, MemoryBroker(queues))
    app = create_app(database, MemoryBroker(queues), settings, connect_live=lambda: MemoryBroker(queues))
    with contextlib.ExitStack() as stack:
        stack.callback(database.close)
        stack.enter_context(_thread(loop.run, loop.stop))
        stack.enter_context(_thread(worker.run, worker.stopping.set))
        api_url = stack.enter_context(serving(app, settings))
        yield ApiCluster(
            url=api_url,
            app=app,
            database=database,
            settings=settings,
            worker=worker,
            queues=queues,
            tokens=tokens,
            # Without certificates: reading the system's would take most of a test's time.
            http=stack.enter_context(httpx.Client(base_url=api_url, verify=False)),
        )


@contextlib.contextmanager
def serving(app: FastAPI, settings: Settings) -> Iterator[str]:
    """The app behind real HTTP on a free port of loopback."""
    listener = bind("127.0.0.1", 0)
    is_ready = threading.Event()
    server = make_server(app, settings, is_ready.set)

    def stop() -> None:
        server.should_exit = True

    with listener, _thread(lambda: server.run(sockets=[listener]), stop):
        assert is_ready.wait(10.0)
        yield url_of(listener, settings)


@contextlib.contextmanager
def _thread(run: Callable[[], Any], stop: Callable[[], Any]) -> Iterator[None]:
    problems: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            logging.getLogger(__name__).exception("a thread of the test cluster failed")
            problems.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(10.0)
        assert not thread.is_alive(), "a thread of the test cluster did not end"
    if problems:
        raise problems[0]


def _user(database: Database, name: str) -> str:
    now = datetime.now(UTC)
    user_id = database.new_id()
    with database.writing() as connection:
        create_user(connection, user_id=user_id, username=name, password=PASSWORDS[name], role=ROLES[name], now=now)
    return issue_token(database, user_id=user_id, scope=TokenScope(origin="api"), now=now, lifetime=None)


def unused_port() -> int:
    """A TCP port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
