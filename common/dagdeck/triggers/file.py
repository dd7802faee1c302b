"""Triggers that wait for files.

Decides when a file counts as there. Everything that touches the file system runs in a thread, because a network
folder may answer late and the event loop serves all triggers. Used by FileSensor, by assets' watchers and in DAG files.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Hashable
from glob import glob
from pathlib import Path
from typing import Any

from dagdeck.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

_log = logging.getLogger(__name__)


class FileTrigger(BaseTrigger):
    """Fires with True when a file matches `filepath` (a path or glob), or a folder that matches holds a file.

    `recursive` lets `**` in the glob go through folders. Looks every `poke_interval` seconds.
    """

    def __init__(self, filepath: str, recursive: bool = False, poke_interval: float = 5.0, **kwargs: Any) -> None:
        super().__init__()
        self.filepath = filepath
        self.recursive = recursive
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        return (
            "dagdeck.triggers.file.FileTrigger",
            {"filepath": self.filepath, "recursive": self.recursive, "poke_interval": self.poke_interval},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until something is there."""
        while (found := await asyncio.to_thread(first_file, self.filepath, recursive=self.recursive)) is None:
            await asyncio.sleep(self.poke_interval)
        self.log.info("Found file %s", found)
        yield TriggerEvent(True)


class FileDeleteTrigger(BaseEventTrigger):
    """Fires with True when the file `filepath` is there, and deletes it. Looks every `poke_interval` seconds."""

    def __init__(self, filepath: str, poke_interval: float = 5.0, **kwargs: Any) -> None:
        super().__init__()
        self.filepath = filepath
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        return (
            "dagdeck.triggers.file.FileDeleteTrigger",
            {"filepath": self.filepath, "poke_interval": self.poke_interval},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the file is there."""
        while not await asyncio.to_thread(_delete, Path(self.filepath)):
            await asyncio.sleep(self.poke_interval)
        self.log.info("File %s was found and has been deleted", self.filepath)
        yield TriggerEvent(True)


class DirectoryFileDeleteTrigger(BaseEventTrigger):
    """Fires when the file `filename` appears in `directory`, and deletes it.

    Triggers of the same directory and `poke_interval` (seconds) look into it together, once for all.
    """

    def __init__(self, *, directory: str, filename: str, poke_interval: float = 5.0) -> None:
        super().__init__()
        self.directory = directory
        self.filename = filename
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        return (
            "dagdeck.triggers.file.DirectoryFileDeleteTrigger",
            {"directory": self.directory, "filename": self.filename, "poke_interval": self.poke_interval},
        )

    def shared_stream_key(self) -> Hashable | None:
        """See BaseEventTrigger."""
        return ("directory", os.path.realpath(self.directory), self.poke_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """Yield the directory and the set of names in it, again and again.

        A directory that is not there yet has no names. Raises OSError for what waiting does not mend: no permission,
        not a directory.
        """
        directory = kwargs["directory"]
        while True:
            try:
                names = set(await asyncio.to_thread(os.listdir, directory))
            except FileNotFoundError:
                names = set()
            except (PermissionError, NotADirectoryError):
                raise
            except OSError as error:
                _log.warning("%s cannot be listed now: %s", directory, error)
                names = None
            if names is not None:
                yield {"directory": directory, "names": names}
            await asyncio.sleep(kwargs["poke_interval"])

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """See BaseEventTrigger."""
        async for listing in shared_stream:
            path = Path(listing["directory"], self.filename)
            # It may be gone by now: somebody else was faster.
            if self.filename in listing["names"] and await asyncio.to_thread(_delete, path):
                self.log.info("File %s was found and has been deleted", path)
                yield TriggerEvent({"filepath": str(path)})
                return

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look by itself, where nobody drives a shared stream."""
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event


def first_file(pattern: str, *, recursive: bool = False) -> str | None:
    """The first file that matches a path or glob, or lies in a folder that does; None while there is none."""
    for path in sorted(glob(pattern, recursive=recursive)):
        if Path(path).is_file():
            return path
        for folder, _, files in os.walk(path):
            if files:
                return str(Path(folder, files[0]))
    return None


def _delete(path: Path) -> bool:
    """Whether `path` was a file; it is gone now."""
    if not path.is_file():
        return False
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
