"""BashSensor: waits until a bash command ends well.

Decides what its exit code means. How it is run is decided by `dagdeck.hooks.subprocess`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import AirflowFailException
from dagdeck.hooks.subprocess import SubprocessHook, bash_path
from dagdeck.sensors.base import BaseSensorOperator


class BashSensor(BaseSensorOperator):
    """Runs `bash_command` again and again until its exit code is 0.

    Every other code means "not yet"; with `retry_exit_code` only that one does, and others fail the task for good.
    `env` replaces the environment. A command that ends with .sh or .bash is the name of a template file.
    """

    template_fields: ClassVar[Sequence[str]] = ("bash_command", "env")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"bash_command": "bash", "env": "json"}
    template_ext: Sequence[str] = (".sh", ".bash")

    def __init__(
        self,
        *,
        bash_command: str,
        env: dict[str, str] | None = None,
        output_encoding: str = "utf-8",
        retry_exit_code: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bash_command = bash_command
        self.env = env
        self.output_encoding = output_encoding
        self.retry_exit_code = retry_exit_code
        self.subprocess_hook = SubprocessHook()

    def poke(self, context: Context) -> bool:
        """Run the command once. Raises AirflowFailException for a code that is neither 0 nor `retry_exit_code`."""
        result = self.subprocess_hook.run_command(
            [bash_path(), "-c", self.bash_command], env=self.env, output_encoding=self.output_encoding
        )
        if result.exit_code == 0:
            return True
        if self.retry_exit_code is None or result.exit_code == self.retry_exit_code:
            return False
        raise AirflowFailException(f"the command ended with exit code {result.exit_code}, not 0 or retry_exit_code")

    def on_kill(self) -> None:
        """End the command's whole process group."""
        self.subprocess_hook.send_sigterm()
