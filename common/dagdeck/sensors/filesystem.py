"""FileSensor: waits for a file, or for a folder with a file in it.

Decides what a path means with its connection and which finds count. Used in DAG files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from glob import glob
from typing import Any, ClassVar

from dagdeck.async_operator import default_deferrable
from dagdeck.context import Context
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.filesystem import DEFAULT_CONN_ID, FSHook
from dagdeck.sensors.base import BaseSensorOperator


class FileSensor(BaseSensorOperator):
    """Waits until `filepath` exists: a file, or a folder that holds a file at any depth.

    The path may be a pattern (`*`, `?`, and with `recursive` also `**`). It is relative to the folder of the
    connection `fs_conn_id`; the connection `fs_default` need not exist.
    """

    template_fields: ClassVar[Sequence[str]] = ("filepath",)
    ui_color = "#91818a"

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        fs_conn_id: str = DEFAULT_CONN_ID,
        recursive: bool = False,
        deferrable: bool | None = None,
        start_from_trigger: bool = False,
        trigger_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filepath = os.fspath(filepath) if isinstance(filepath, os.PathLike) else filepath
        self.fs_conn_id = fs_conn_id
        self.recursive = recursive
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.start_from_trigger = start_from_trigger
        if self.deferrable and start_from_trigger:
            from dagdeck.triggers.base import StartTriggerArgs

            self.start_trigger_args = StartTriggerArgs(
                trigger_cls="dagdeck.triggers.file.FileTrigger",
                trigger_kwargs=self._trigger_arguments(),
                next_method="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )

    @cached_property
    def path(self) -> str:
        """The whole path. Raises AirflowNotFoundException for an unknown connection."""
        return os.path.join(FSHook(self.fs_conn_id).get_path(), self.filepath)

    def poke(self, context: Context) -> bool:
        """Look at the file system."""
        self.log.info("Poking for file %s", self.path)
        for path in glob(self.path, recursive=self.recursive):
            if os.path.isfile(path):
                changed = datetime.fromtimestamp(os.path.getmtime(path), UTC)
                self.log.info("Found file %s, last modified %s", path, changed.isoformat(timespec="seconds"))
                return True
            if any(files for _, _, files in os.walk(path)):
                return True
        return False

    def execute(self, context: Context) -> Any:
        """Wait, or hand the waiting over; nothing is handed over when the file is there already."""
        if not self.deferrable:
            return super().execute(context)
        if not self.poke(context):
            from dagdeck.triggers.file import FileTrigger

            self.defer(
                trigger=FileTrigger(**self._trigger_arguments()),
                method_name="execute_complete",
                timeout=self.time_left(context),
            )
        return None

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """The trigger has seen the file. Raises AirflowException when it says otherwise."""
        if not event:
            raise AirflowException(f"{self.filepath} was not found")
        self.log.info("%s is there", self.filepath)

    def _trigger_arguments(self) -> dict[str, Any]:
        return {"filepath": self.path, "recursive": self.recursive, "poke_interval": self.poke_interval}
