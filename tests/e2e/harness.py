"""A whole cluster of real processes for tests and benchmarks: `ClusterUnderTest`.

Decides how daemons are started and addressed, and that nothing of them outlives the test. Does not judge what they
did (`promises`). Called by the end-to-end tests and by tests/benchmarks.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import psutil
from sqlalchemy.exc import SQLAlchemyError

from dagdeck_client.requests.admin import log_in
from dagdeck_client.transport import Endpoint, HttpTransport
from dagdeck_core.actions import TriggerDagRun
from dagdeck_core.states import DagRunState, TaskInstanceState
from tests.e2e.cluster_database import ClusterDatabase, Run, TaskInstance
from tests.e2e.daemon import MARK, Daemon, WaitedTooLong, kill_marked, marked_processes, wait_until
from tests.e2e.stamps import StampFile

SECRET_KEY = "c2VjcmV0LWtleS1vZi10aGUtZW5kLXRvLWVuZC10ZXM="
ADMIN_PASSWORD = "admin-of-the-tests"
FINISHED = (DagRunState.SUCCESS, DagRunState.FAILED)
QUICK = {
    "scheduler.lease_timeout": "4",
    "scheduler.takeover_timeout": "3",
    "scheduler.action_poll": "0.1",
    "scheduler.reconcile_interval": "1",
    "scheduler.reoffer_after": "2",
    "scheduler.queue_probe_interval": "0.3",
    "database.lock_wait": "1",
    "database.connect_timeout": "2",
    "database.read_timeout": "5",
    "queue.connect_timeout": "1",
    "queue.answer_timeout": "2",
    "dag_processor.scan_interval": "0.3",
    "dag_processor.paused_at_creation": "false",
    "supervisor.max_restart_delay": "0.5",
    "supervisor.stop_timeout": "10",
    "worker.log_ship_interval": "0.5",
}
"""Settings of fault tests: leases short enough that a test can wait for them."""


def as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as variables: "scheduler.lease_timeout" → DAGDECK__SCHEDULER__LEASE_TIMEOUT."""
    return {f"DAGDECK__{name.upper().replace('.', '__')}": value for name, value in settings.items()}


class ClusterUnderTest:
    """Daemons with one DAG folder on one database. A context manager: leaving it kills everything.

    Without URLs the cluster is a standalone one. `settings` are names as in "scheduler.lease_timeout".
    """

    _numbers = itertools.count(1)
    opened: ClassVar[list[ClusterUnderTest]] = []
    """Clusters whose logs belong to the next report of a test; those that are closed leave it after that."""

    def __init__(
        self,
        folder: Path,
        *,
        dags: Sequence[Path] = (),
        database_url: str | None = None,
        queue_url: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.dags_folder = folder / "dags"
        self.logs_folder = folder / "logs"
        for needed in (self.home, self.dags_folder, self.logs_folder):
            needed.mkdir(parents=True, exist_ok=True)
        for path in dags:
            self.add_dag_file(path)
        self.mark = f"{os.getpid()}-{next(self._numbers)}"
        self.stamps = StampFile(folder / "stamps")
        self.api_port = free_port()
        self.settings = {
            "paths.home": str(self.home),
            "paths.dags_folder": str(self.dags_folder),
            "api.port": str(self.api_port),
        }
        if database_url is not None:
            self.settings |= {
                "database.url": database_url,
                "queue.url": queue_url or "off",
                "queue.cluster": f"test-{self.mark}",
                "security.secret_key": SECRET_KEY,
            }
        self.settings |= settings or {}
        self.daemons: dict[str, Daemon] = {}
        self.is_standalone = database_url is None
        self.database = ClusterDatabase(database_url or f"sqlite:///{self.home / 'dagdeck.db'}")
        self._run_numbers = itertools.count(1)
        self.is_closed = False

    def move_home(self, home: Path) -> None:
        """Let a standalone cluster that has not been started keep its state in another folder."""
        self.home = home
        self.settings["paths.home"] = str(home)
        self.database = ClusterDatabase(f"sqlite:///{home / 'dagdeck.db'}")

    def move_database(self, url: str) -> None:
        """Let daemons that are started from now on use another database."""
        self.database.engine.dispose()
        self.settings["database.url"] = url
        self.database = ClusterDatabase(url)

    # ------------------------------------------------------------ its life

    def __enter__(self) -> Self:
        self.opened.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill every process of this cluster, wherever it hides."""
        kill_marked(self.mark)
        for daemon in self.daemons.values():
            if daemon.is_running:
                daemon.kill()
        self.database.engine.dispose()
        self.is_closed = True

    def processes(self) -> list[psutil.Process]:
        """Every living process of this cluster."""
        return marked_processes(self.mark)

    def logs(self) -> str:
        """The end of every daemon's output, for people who look at a failure."""
        return "\n".join(f"===== {daemon.name}\n{daemon.log_tail()}" for daemon in self.daemons.values())

    # ------------------------------------------------------------ daemons

    def daemon(self, name: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Daemon:
        """A daemon of this cluster, not yet started, with settings of its own on top."""
        daemon = Daemon(name, arguments, self.environment(settings), self.logs_folder / f"{name}.log")
        self.daemons[name] = daemon
        return daemon

    def environment(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a daemon's process starts with."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("DAGDECK__")},
            **as_environment({**self.settings, **(settings or {})}),
            MARK: self.mark,
            "STAMP_FILE": str(self.stamps.path),
            "HOME": str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }

    def start_standalone(self, settings: Mapping[str, str] | None = None, **options: Any) -> Daemon:
        """Start `dagdeckd standalone`."""
        daemon = self.daemon("standalone", "standalone", settings=settings)
        daemon.start(**options)
        return daemon

    def start_master(self, name: str = "master", settings: Mapping[str, str] | None = None) -> Daemon:
        """Start `dagdeckd master`; the first one serves the control API at `api_port`."""
        port = self.api_port if name == "master" else free_port()
        daemon = self.daemon(name, "master", settings={"api.port": str(port), **(settings or {})})
        daemon.start()
        return daemon

    def start_worker(self, name: str, settings: Mapping[str, str] | None = None, **options: Any) -> Daemon:
        """Start `dagdeckd worker` under a name, with a state folder of its own."""
        home = self.folder / f"home-{name}"
        home.mkdir(exist_ok=True)
        own = {"worker.name": name, "worker.slots": "8", "paths.home": str(home), **(settings or {})}
        daemon = self.daemon(name, "worker", settings=own)
        daemon.start(**options)
        return daemon

    def command(self, *arguments: str, given: str = "", timeout: float = 60.0) -> str:
        """Run a `dagdeckd` command to its end; what it printed. Raises AssertionError when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "dagdeckd", *arguments],
            env=self.environment(),
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"dagdeckd {' '.join(arguments)} gave {done.returncode}: {done.stderr}"
        return done.stdout

    def client(self) -> HttpTransport:
        """A connection to the control API as admin. Raises WaitedTooLong when it does not answer."""
        url = f"http://127.0.0.1:{self.api_port}"
        token_file = self.home / "token"
        wait_until(self._has_api, 20, "the control API answers")
        if self.is_standalone:
            token = str(json.loads(token_file.read_text())["token"])
        else:
            with HttpTransport(Endpoint(url=url)) as anonymous:
                token = anonymous.send(log_in("admin", ADMIN_PASSWORD)).access_token
        return HttpTransport(Endpoint(url=url, token=token))

    def _has_api(self) -> bool:
        if self.is_standalone and not (self.home / "token").exists():
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.api_port)) == 0

    def start_cluster(self, workers: Sequence[str] = ("worker-1", "worker-2")) -> None:
        """Migrate the database, make an admin, and start a master and workers."""
        self.command("db", "upgrade")
        self.command("users", "add", "admin", "--role", "admin", "--password-stdin", given=ADMIN_PASSWORD + "\n")
        self.start_master()
        for name in workers:
            self.start_worker(name)

    def keeper(self, worker: Daemon) -> psutil.Process:
        """The keeper of a worker."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [child for child in worker.children() if "dagdeck_worker.keeper" in _command_line(child)]
            return bool(found)

        wait_until(look, 15, f"{worker.name} has a keeper")
        return found[0]

    # ------------------------------------------------------------ DAGs and runs

    def add_dag_file(self, path: Path) -> None:
        """Copy a DAG file, or a folder's content, into the DAG folder."""
        if path.is_dir():
            shutil.copytree(path, self.dags_folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, self.dags_folder)

    def wait_ready(self, *dag_ids: str, workers: Sequence[str] = (), timeout: float = 40.0) -> float:
        """Wait for a leader, these workers and these DAGs; the seconds that it took."""

        def ready() -> bool:
            self.check_running()
            try:
                leads = self.database.leader()[0] is not None
                return leads and set(dag_ids) <= self.database.dag_ids() and self._has_workers(workers)
            except SQLAlchemyError:  # before the migration there are no tables
                return False

        return wait_until(ready, timeout, "the cluster is ready", pause=0.05)

    def _has_workers(self, workers: Sequence[str]) -> bool:
        active = self.database.active_workers()
        return set(workers) <= active if workers else bool(active)

    def check_running(self) -> None:
        """Raises AssertionError when a daemon has ended by itself."""
        ended = [d for d in self.daemons.values() if d.exit_code is not None]
        assert not ended, f"ended by themselves: {[(d.name, d.exit_code) for d in ended]}"

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Ask for a run; its run_id, unique in this cluster."""
        run_id = run_id or f"{dag_id}-{next(self._run_numbers)}"
        self.database.act(TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=dict(conf or {})))
        return run_id

    def wait_run(self, run_id: str, timeout: float = 30.0, state: DagRunState | None = DagRunState.SUCCESS) -> Run:
        """Wait for a run's end and give it. Raises WaitedTooLong, or AssertionError for another end than `state`."""
        found: list[Run] = []

        def ended() -> bool:
            run = self._peek(lambda: self.database.run(run_id))
            found[:] = [run] if run is not None else []
            return run is not None and run.state in FINISHED

        try:
            wait_until(ended, timeout, f"the run {run_id} ends")
        except WaitedTooLong as late:
            raise WaitedTooLong(f"{late}; tasks: {self._peek(lambda: self._describe(run_id))}") from None
        if state is not None:
            assert found[0].state == state, f"{run_id} ended {found[0].state}: {self._describe(run_id)}"
        return found[0]

    def wait_tasks(
        self, run_id: str, enough: Callable[[list[TaskInstance]], bool], what: str, timeout: float = 20.0
    ) -> list[TaskInstance]:
        """Wait until the run's task instances look as wanted; they."""
        found: list[TaskInstance] = []

        def look() -> bool:
            found[:] = self._peek(lambda: self.database.task_instances(run_id)) or []
            return enough(found)

        wait_until(look, timeout, f"{run_id}: {what}")
        return found

    def wait_running(self, run_id: str, count: int = 1, timeout: float = 20.0) -> list[TaskInstance]:
        """Wait until so many of the run's tasks have begun to stamp; all its task instances."""

        def enough(tasks: list[TaskInstance]) -> bool:
            begun = {e.dispatch_no for e in self.stamps.executions(run_id) if not e.ended}
            running = [ti for ti in tasks if ti.state == TaskInstanceState.RUNNING and ti.dispatch_no in begun]
            return len(running) >= count

        return self.wait_tasks(run_id, enough, f"{count} tasks run", timeout)

    @staticmethod
    def _peek(read: Callable[[], Any]) -> Any:
        """What `read` gives; None while the database is away."""
        try:
            return read()
        except SQLAlchemyError:
            return None

    def _describe(self, run_id: str) -> str:
        tasks = self.database.task_instances(run_id)
        return ", ".join(f"{ti.task_id}={ti.state.value}" + (f" ({ti.error})" if ti.error else "") for ti in tasks)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


__all__ = ["QUICK", "ClusterUnderTest", "Daemon", "WaitedTooLong", "free_port", "signal", "wait_until"]
