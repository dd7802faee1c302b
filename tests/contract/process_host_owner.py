"""A process that owns a process host, for tests that kill or freeze the owner.

Decides nothing. Started by test_process_host.py as `python -m tests.contract.process_host_owner HOST PIDS [DEADLINE]`:
starts a runner whose task makes a family of processes, prints the pids of the runner's helper and waits. With a
deadline (seconds from now) it sets that and prints every event.
"""

from __future__ import annotations

import sys
import time

from dagdeck_core.process_port import ProcessHost, RunnerMessage
from dagdeck_core.wire import to_runner_codec
from dagdeck_worker.hosts.linux import LinuxHost
from dagdeck_worker.hosts.portable import PortableHost
from tests.contract.process_host_tasks import run_task

ENTRY = "tests.contract.process_host_tasks:execute"


def main(kind: str, pids: str, deadline: str = "") -> None:
    """Own a host of `kind` until killed or 60 s have passed."""
    host: ProcessHost
    if kind == "linux":
        host = linux = LinuxHost(entry=ENTRY, sole_parent=True)
        print("helper", linux.keeper_pid, flush=True)
    else:
        host = portable = PortableHost(entry=ENTRY)
        print("helper", portable.watchdog_pid, flush=True)
    runner = host.spawn()
    host.send(runner, to_runner_codec.encode(run_task("family", pids=pids)))
    if deadline:
        host.set_deadline(host.boot_clock() + float(deadline))
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        for event in host.poll(1):
            if not isinstance(event, RunnerMessage):
                print(event, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
