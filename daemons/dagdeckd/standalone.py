"""`dagdeckd standalone`: a whole cluster on one machine, with nothing to install or configure.

Decides the order of a first start: state folder, lock, key, queue, DAG folder, then all processes at once, of which
those that need the database wait until it is prepared. Does not supervise (`supervisor`). Called by `cli`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.settings import Settings, dump_settings, with_values
from dagdeckd.home import ensure_secret_key, locked_home, prepare_home
from dagdeckd.locations import local_url, token_file
from dagdeckd.master import daemon, make_output, preload, restart_limits
from dagdeckd.ports import usable_port
from dagdeckd.processes import API, DAG_PROCESSOR, PREPARATION, SCHEDULER, WORKER
from dagdeckd.runner_env import ensure_runner_environment
from dagdeckd.sample_dags import copy_sample_dags, is_empty
from dagdeckd.shielding import close_to_tasks
from dagdeckd.supervisor import Supervisor
from dagdeckd.watching import take_service_manager

_STOP_MARGIN = 3.0
"""Seconds that a worker needs after its last task has ended."""


def run_standalone(settings: Settings, *, started: float) -> int:
    """Run a standalone cluster until it is told to stop; the exit code. `started`: monotonic seconds, for the banner.

    Raises UserError and EnvironmentFault for what keeps it from starting.
    """
    close_to_tasks()
    manager = take_service_manager(os.environ)
    home = settings.paths.home
    prepare_home(home)
    with locked_home(home):
        settings = with_values(
            settings,
            {
                "api.port": usable_port(settings.api.host, settings.api.port),
                "worker.drain_timeout": _drain_timeout(settings),
                "worker.portable_processes": settings.worker.portable_processes or settings.supervisor.is_portable,
            },
        )
        if not settings.security.secret_key:
            ensure_secret_key(settings.paths.secret_key_file)
        _prepare_dags_folder(settings)
        ensure_runner_environment(settings, tell=lambda text: print(text, file=sys.stderr, flush=True))
        with contextlib.ExitStack() as serving:
            supervisor = Supervisor(
                [
                    daemon(PREPARATION, 0, one_shot=True),
                    daemon(API, 1),
                    daemon(WORKER, 0),
                    daemon(SCHEDULER, 1),
                    daemon(DAG_PROCESSOR, 0),
                ],
                settings=lambda: _settings_with_queue(settings, serving),
                output=make_output(settings),
                limits=restart_limits(settings),
                stop_timeout=settings.supervisor.stop_timeout,
                on_ready=lambda: _print_banner(settings, time.monotonic() - started),
                prepare=lambda: preload(settings),
                manager=manager,
                portable=settings.supervisor.is_portable,
            )
            return supervisor.run()


def _drain_timeout(settings: Settings) -> float:
    """How long running tasks may go on at a stop: the worker must be done before the supervisor loses patience."""
    patience = settings.supervisor.stop_timeout - settings.worker.term_grace - _STOP_MARGIN
    return max(min(settings.worker.drain_timeout, patience), 0.0)


def _settings_with_queue(settings: Settings, serving: contextlib.ExitStack) -> bytes:
    """Settings for the children; the embedded queue is served from now on until `serving` is closed."""
    return dump_settings(with_values(settings, {"queue.url": serving.enter_context(_queue(settings))}))


@contextlib.contextmanager
def _queue(settings: Settings) -> Iterator[str]:
    """The queue's URL: that of the settings, or of the embedded one, served by this process within the block."""
    if settings.queue.url != "embedded":
        yield settings.queue.url
        return
    from dagdeck_io.broker import EmbeddedQueueServer, limits_of

    folder = settings.paths.home / "queue"
    with EmbeddedQueueServer(
        folder, transport=settings.queue.embedded_transport, limits=limits_of(settings.queue)
    ) as server:
        yield server.url


def _prepare_dags_folder(settings: Settings) -> None:
    folder = settings.paths.dags_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"the DAG folder {folder} cannot be made: {error.strerror}",
            transient=False,
            remedy="Choose another one with paths.dags_folder or --dags-folder",
        ) from error
    if settings.standalone.samples and is_empty(folder):
        copy_sample_dags(folder)


def _print_banner(settings: Settings, seconds: float) -> None:
    home, folder = settings.paths.home, settings.paths.dags_folder
    lines = [
        f"DagDeck is ready after {seconds:.1f} s",
        f"  control API   {local_url(settings)}",
        f"  token file    {token_file(home)}",
        f"  DAG folder    {folder}" + ("  (empty; --samples puts samples there)" if is_empty(folder) else ""),
        f"  command line  dagdeck {'' if _is_default(settings) else f'--url {local_url(settings)} '}dags list",
        f"  stop          Ctrl+C, or kill {os.getpid()}",
    ]
    with contextlib.suppress(OSError):
        print("\n".join(lines), file=sys.stdout, flush=True)


def _is_default(settings: Settings) -> bool:
    return settings.origins["paths.home"].place == ""
