"""BashOperator: runs a bash command in a process group of its own.

Decides the command's environment and folder, and what its exit code and last line mean. Used in DAG files and
as the base of `@task.bash`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import AirflowException, AirflowSkipException, InvalidArguments, invalid
from dagdeck.operator import BaseOperator

LONGEST_LINE = 256 * 1024
"""Bytes after which an output line without end is logged in pieces."""

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL when the task itself is being ended."""


class BashOperator(BaseOperator):
    """Runs `bash_command` and returns its last output line, passed through `output_processor`.

    `env` replaces the environment, or adds to it with `append_env`; `cwd` is the folder (default: a temporary
    one). An exit code among `skip_on_exit_code` (default 99) skips the task, any other but 0 fails it. A
    command that ends with .sh or .bash is the name of a template file; a space at its end prevents that.
    """

    template_fields: ClassVar[Sequence[str]] = ("bash_command", "env", "cwd")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"bash_command": "bash", "env": "json"}
    template_ext: Sequence[str] = (".sh", ".bash")
    ui_color = "#f0ede4"

    def __init__(
        self,
        *,
        bash_command: Any,
        env: dict[str, str] | None = None,
        append_env: bool = False,
        output_encoding: str = "utf-8",
        skip_on_exit_code: int | Container[int] | None = 99,
        cwd: str | None = None,
        output_processor: Callable[[str], Any] = lambda line: line,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bash_command = bash_command
        self.env = env
        self.append_env = append_env
        self.output_encoding = output_encoding
        self.skip_on_exit_code: Container[int] = (
            (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else (skip_on_exit_code or ())
        )
        self.cwd = cwd
        self.output_processor = output_processor
        self._process: subprocess.Popen[bytes] | None = None
        if bash_command is None:
            raise invalid(
                "bash_command must be text",
                subject=f"task {self.task_id!r}",
                field="bash_command",
                error=InvalidArguments,
            )

    def execute(self, context: Context) -> Any:
        """Run the command. Raises AirflowSkipException or AirflowException by its exit code."""
        if not isinstance(self.bash_command, str) or not self.bash_command.strip():
            raise AirflowException(f"bash_command must be text and not empty, it is {self.bash_command!r}")
        bash = shutil.which("bash")
        if bash is None:
            raise AirflowException("this machine has no bash; install it or add it to PATH")
        environment = self.get_env(context)
        if self.cwd is not None:
            if not os.path.isdir(self.cwd):
                raise AirflowException(f"cwd {self.cwd!r} is no folder on this worker")
            return self._finish(*self._run([bash, "-c", self.bash_command], environment, self.cwd))
        with tempfile.TemporaryDirectory(prefix="dagdeck-bash-") as folder:
            return self._finish(*self._run([bash, "-c", self.bash_command], environment, folder))

    def get_env(self, context: Context) -> dict[str, str]:
        """The command's environment: the worker's, or `env`, or both; and the names of what is running."""
        base = os.environ if self.env is None or self.append_env else {}
        own = {key: str(value) for key, value in (self.env or {}).items()}
        return {**base, **context["ti"].environment(), **own}

    def on_kill(self) -> None:
        """End the command's whole process group."""
        process = self._process
        if process is not None and process.poll() is None:
            self.log.info("Sending SIGTERM to process group %s", process.pid)
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def _run(self, command: list[str], environment: dict[str, str], folder: str) -> tuple[int, str]:
        """The exit code and the last output line."""
        self.log.info("Running command: %s", command)
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
            restore_signals=True,
        ) as process:
            self._process = process
            assert process.stdout is not None
            last = ""
            self.log.info("Output:")
            try:
                for raw in iter(lambda: process.stdout.readline(LONGEST_LINE), b""):  # type: ignore[union-attr]
                    last = raw.decode(self.output_encoding, errors="backslashreplace").rstrip()
                    self.log.info("%s", last)
                code = process.wait()
            except BaseException:
                # A timeout or a kill must not leave the command behind, not even one that ignores SIGTERM.
                self.on_kill()
                _end_group(process)
                raise
        self.log.info("Command exited with return code %s", code)
        return code, last

    def _finish(self, code: int, last: str) -> Any:
        if code in self.skip_on_exit_code:
            raise AirflowSkipException(f"Bash command returned exit code {code}. Skipping.")
        if code != 0:
            died = f" (killed by signal {-code})" if code < 0 else ""
            raise AirflowException(f"Bash command failed. The command returned a non-zero exit code {code}{died}.")
        return self.output_processor(last)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Wait until every process of the command's group has ended; after GRACE seconds, kill those that have not."""
    deadline = time.monotonic() + GRACE
    try:
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
