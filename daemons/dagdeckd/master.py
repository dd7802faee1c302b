"""`dagdeckd master`: the scheduler, the DAG processor and the control API, each a process of its own.

Decides which processes make up a master. Does not run them (`supervisor`, `processes`). Called by `cli`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence

from dagdeck_core.errors import UserError
from dagdeck_io.settings import LogFormat, Settings, dump_settings
from dagdeck_io.user_python import outside_environment
from dagdeckd.output import OutputRelay, wants_colour
from dagdeckd.own_command import command_of
from dagdeckd.ports import usable_port
from dagdeckd.processes import API, DAG_PROCESSOR, SCHEDULER, ProcessEntry, release_free_memory
from dagdeckd.restart_policy import RestartLimits
from dagdeckd.shielding import close_to_tasks
from dagdeckd.supervised import ChildSpec
from dagdeckd.supervisor import Supervisor
from dagdeckd.watching import take_service_manager


def run_master(settings: Settings) -> int:
    """Run a master until it is told to stop; the exit code.

    Raises UserError for settings that cannot work, EnvironmentFault when the port is taken.
    """
    close_to_tasks()
    manager = take_service_manager(os.environ)
    if settings.queue.url == "embedded":
        raise UserError(
            "the embedded queue serves `dagdeckd standalone` only",
            file=str(settings.origins["queue.url"]),
            field="queue.url",
            value=settings.queue.url,
            remedy="Name a Redis server, as in redis://host:6379/0, or write off to let workers poll the database",
        )
    if settings.api.port:
        usable_port(settings.api.host, settings.api.port)
    output = make_output(settings)
    supervisor = Supervisor(
        [daemon(DAG_PROCESSOR, 0), daemon(SCHEDULER, 1), daemon(API, 1)],
        settings=lambda: dump_settings(settings),
        output=output,
        limits=restart_limits(settings),
        stop_timeout=settings.supervisor.stop_timeout,
        on_ready=lambda: output.note("scheduler, dag-processor and api are ready"),
        prepare=lambda: preload(settings),
        manager=manager,
        portable=settings.supervisor.is_portable,
    )
    return supervisor.run()


def daemon(entry: ProcessEntry, stop_phase: int, *, one_shot: bool = False) -> ChildSpec:
    """The child that runs `entry`."""
    return ChildSpec(
        name=entry.name,
        command=(*command_of("dagdeckd"), entry.name),
        stop_phase=stop_phase,
        one_shot=one_shot,
        environ=_child_environment(),
        run=lambda options: run_command([entry.name, *options]),
    )


def run_command(arguments: Sequence[str]) -> int:
    """The command line within a forked child."""
    from dagdeckd.cli import run

    return run(arguments)


def preload(settings: Settings) -> None:
    """Import what all daemons need, before they are forked from this process: held once, not by each of them."""
    import dagdeck_io.log_setup  # noqa: F401 - kept in memory for the children
    from dagdeck_io.composition import import_adapters

    with contextlib.suppress(UserError):  # which the daemons tell
        import_adapters(settings)
    gc.collect()
    gc.freeze()
    release_free_memory()


def restart_limits(settings: Settings) -> RestartLimits:
    """The supervisor's limits as the settings have them."""
    return RestartLimits(
        crashes=settings.supervisor.restart_limit,
        window=settings.supervisor.restart_window,
        max_delay=settings.supervisor.max_restart_delay,
    )


def make_output(settings: Settings) -> OutputRelay:
    """All children's output on this process's standard error."""
    fd = sys.stderr.fileno()
    return OutputRelay(fd, prefixed=settings.logging.format is LogFormat.TEXT, coloured=wants_colour(fd, os.environ))


def _child_environment() -> dict[str, str]:
    # Settings, and the secrets among them, go by a pipe: a child's environment is inherited by user code.
    environ = {name: value for name, value in outside_environment().items() if not name.startswith("DAGDECK__")}
    return environ | {"PYTHONUNBUFFERED": "1"}
