"""Tasks that run as users whom the run's conf does not choose: who they are, and what they may read."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagdeck import DAG, get_current_context, task


def _report(folder: str, home: str) -> dict[str, Any]:
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    made = Path(folder, get_current_context()["ti"].task_id)
    made.write_text(me)
    print(f"this is {me}, and in a child:", flush=True)
    subprocess.run(["sh", "-c", "echo $HOME $USER; whoami"], check=True)
    readable = [str(path) for path in Path(home).rglob("*") if os.access(path, os.R_OK)] if os.access(home, 5) else []
    return {"user": me, "owner": made.stat().st_uid, "readable": readable, "code": os.access(__file__, os.R_OK)}


with DAG("as_somebody", start_date=datetime(2025, 1, 1, tzinfo=UTC), is_paused_upon_creation=False):

    @task(run_as_user="nobody")
    def nobody(dag_run: Any = None) -> dict[str, Any]:
        """As an ordinary user."""
        return _report(dag_run.conf["folder"], dag_run.conf["home"])

    @task
    def plain(dag_run: Any = None) -> dict[str, Any]:
        """As the worker itself."""
        return _report(dag_run.conf["folder"], dag_run.conf["home"])

    @task(run_as_user="root")
    def root() -> None:
        """As nobody may."""

    @task(run_as_user="no-such-user")
    def unknown() -> None:
        """As somebody who is not there."""

    @task(executor_config={"memory_limit": "150 MB"})
    def big() -> int:
        """Uses more than it says."""
        return len(b"x" * (600 << 20))

    @task(executor_config={"cpu_time_limit": 0.5})
    def busy() -> None:
        """Works longer than it says."""
        while True:
            pass

    for each in (nobody, plain, root, unknown, big, busy):
        each()
