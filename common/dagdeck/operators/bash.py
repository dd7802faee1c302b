"""BashOperator: runs a bash command in a process group of its own.

Decides the command's environment and folder, and what its exit code and last line mean; `dagdeck.hooks.subprocess`
runs it. Used in DAG files and as the base of `@task.bash`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import AirflowException, AirflowSkipException, InvalidArguments, invalid
from dagdeck.hooks.subprocess import SubprocessHook, bash_path
from dagdeck.operator import BaseOperator


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
        self.subprocess_hook = SubprocessHook(logger_name=f"dagdeck.task.{type(self).__name__.lstrip('_')}")
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
        if self.cwd is not None and not os.path.isdir(self.cwd):
            raise AirflowException(f"cwd {self.cwd!r} is no folder on this worker")
        result = self.subprocess_hook.run_command(
            [bash_path(), "-c", self.bash_command],
            env=self.get_env(context),
            output_encoding=self.output_encoding,
            cwd=self.cwd,
        )
        return self._finish(result.exit_code, result.output)

    def get_env(self, context: Context) -> dict[str, str]:
        """The command's environment: the worker's, or `env`, or both; and the names of what is running."""
        base = os.environ if self.env is None or self.append_env else {}
        own = {key: str(value) for key, value in (self.env or {}).items()}
        return {**base, **context["ti"].environment(), **own}

    def on_kill(self) -> None:
        """End the command's whole process group."""
        self.subprocess_hook.send_sigterm()

    def _finish(self, code: int, last: str) -> Any:
        if code in self.skip_on_exit_code:
            raise AirflowSkipException(f"Bash command returned exit code {code}. Skipping.")
        if code != 0:
            died = f" (killed by signal {-code})" if code < 0 else ""
            raise AirflowException(f"Bash command failed. The command returned a non-zero exit code {code}{died}.")
        return self.output_processor(last)
