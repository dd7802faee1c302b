"""SubprocessHook: runs a command in a process group of its own and logs what it writes.

Decides how a command is started, how its output reaches the task's log, and that nothing of it outlives the
task. Does not decide what an exit code means. Used by bash operators and sensors and by those that call other
Python interpreters.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dagdeck.exceptions import AirflowException
from dagdeck.hook import BaseHook

LONGEST_LINE = 256 * 1024
"""Bytes after which an output line without end is logged in pieces."""

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL when the task itself is being ended."""


class SubprocessResult(NamedTuple):
    """How a command ended: its exit code (negative: killed by that signal) and its last output line."""

    exit_code: int
    output: str


class SubprocessHook(BaseHook):
    """Runs one command at a time."""

    def __init__(self, **kwargs: str | None) -> None:
        super().__init__(**kwargs)
        self.sub_process: subprocess.Popen[bytes] | None = None

    def run_command(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        output_encoding: str = "utf-8",
        cwd: str | None = None,
    ) -> SubprocessResult:
        """Run `command` to its end, each output line logged; without `cwd` in a folder that is then deleted.

        `env` is the whole environment, None this process's. Raises AirflowException when it cannot be started.
        """
        self.log.info("Running command: %s", list(command))
        with contextlib.ExitStack() as stack:
            folder = cwd or stack.enter_context(tempfile.TemporaryDirectory(prefix="dagdeck-command-"))
            try:
                process = stack.enter_context(
                    subprocess.Popen(
                        list(command),
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        cwd=folder,
                        env=None if env is None else dict(env),
                        start_new_session=True,
                        restore_signals=True,
                    )
                )
            except OSError as error:
                raise AirflowException(f"{command[0]} cannot be started: {error}") from error
            return self._follow(process, output_encoding)

    def send_sigterm(self) -> None:
        """Send SIGTERM to the command's whole process group, if one runs."""
        process = self.sub_process
        if process is not None and process.poll() is None:
            self.log.info("Sending SIGTERM to process group %s", process.pid)
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGTERM)
                else:
                    process.terminate()

    def _follow(self, process: subprocess.Popen[bytes], encoding: str) -> SubprocessResult:
        self.sub_process = process
        assert process.stdout is not None
        stdout = process.stdout
        last = ""
        self.log.info("Output:")
        try:
            for raw in iter(lambda: stdout.readline(LONGEST_LINE), b""):
                last = raw.decode(encoding, errors="backslashreplace").rstrip()
                self.log.info("%s", last)
            code = process.wait()
        except BaseException:
            # A timeout or a kill must not leave the command behind, not even one that ignores SIGTERM.
            self.send_sigterm()
            _end_group(process)
            raise
        finally:
            self.sub_process = None
        self.log.info("Command exited with return code %s", code)
        return SubprocessResult(exit_code=code, output=last)


def bash_path() -> str:
    """Where bash is on this machine. Raises AirflowException when it has none."""
    found = shutil.which("bash")
    if found is None:
        raise AirflowException("this machine has no bash; install it or add it to PATH")
    return found


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Wait until every process of the command's group has ended; after GRACE seconds, kill those that have not."""
    if not hasattr(os, "killpg"):
        process.wait()
        return
    deadline = time.monotonic() + GRACE
    try:
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
