"""Where the keys of the vault are looked up again while a process runs: their file, their command, the config file.

Decides when: a file when it has changed, a command when its answer is old or a key is missing. So a running cluster
takes new keys without a restart. Keys from the environment or the command line stay. Does not decide what keys are
for (`secrets`). Made by composition roots.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_io.secrets import FIELD, FixedKeys, Keys
from dagdeck_io.settings import Reference, ReferenceForm, Settings, read_again

_log = logging.getLogger(__name__)
COMMAND_AGE = 60.0
"""Seconds after which a command is asked again."""
COMMAND_PAUSE = 5.0
"""Least seconds between two runs of a command while a key is missing."""
_Signature = tuple[int, int, int]


class FileKeys:
    """Keys in a file, read again when it has changed. `read` gives what it says."""

    def __init__(self, path: Path, read: Callable[[], str], known: str | None = None) -> None:
        """`known` serves while the file cannot be read. Raises what `read` raises when there is nothing known."""
        self._path = path
        self._read = read
        self._lock = threading.Lock()
        self._seen: _Signature | None = None
        self._text = known if known is not None else read()

    def current(self) -> str:
        """See Keys. Asks the file system for the file's age each time, and reads it only when it has changed."""
        with self._lock:
            found = self._signature()
            if found is not None and found != self._seen:
                self._text = self._read()
                self._seen = found
            return self._text

    def again(self) -> str:
        """See Keys."""
        return self.current()

    def _signature(self) -> _Signature | None:
        """None while the file is away, as between two of its versions."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


class CommandKeys:
    """Keys that a command prints."""

    def __init__(self, read: Callable[[], str], known: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`known` is what it printed a moment ago; `monotonic` counts seconds."""
        self._read = read
        self._text = known
        self._monotonic = monotonic
        self._asked = monotonic()
        self._lock = threading.Lock()

    def current(self) -> str:
        """See Keys. Never waits for the command: an answer that is old is replaced by a thread meanwhile."""
        if self._is_older_than(COMMAND_AGE) and self._lock.acquire(blocking=False):
            threading.Thread(target=self._ask_beside, name="key-command", daemon=True).start()
        return self._text

    def again(self) -> str:
        """See Keys. Waits for the command, unless it has answered a moment ago."""
        with self._lock:
            if self._is_older_than(COMMAND_PAUSE):
                self._ask()
            return self._text

    def _is_older_than(self, seconds: float) -> bool:
        return self._monotonic() - self._asked >= seconds

    def _ask(self) -> None:
        self._asked = self._monotonic()  # before: a command that fails is not asked in a row either
        self._text = self._read()

    def _ask_beside(self) -> None:
        try:
            self._ask()
        except DagDeckError as error:
            _log.warning("the command for %s does not answer: %s", FIELD, error)
        finally:
            self._lock.release()


def keys_of(settings: Settings) -> Keys:
    """The keys that the settings name: themselves, or the file beside the state.

    Raises UserError when there is neither.
    """
    known = settings.security.secret_key
    reference = settings.references.get(FIELD)
    if known and reference is None:
        return FixedKeys(known)
    if reference is not None:
        return _referred(reference, known)
    path = settings.paths.secret_key_file
    return FileKeys(path, lambda: _own_file(path))


def _referred(reference: Reference, known: str) -> Keys:
    def read() -> str:
        return read_again(FIELD, reference)

    if reference.form is ReferenceForm.COMMAND:
        return CommandKeys(read, known)
    return FileKeys(Path(reference.target), read, known)


def _own_file(path: Path) -> str:
    try:
        if os.name == "posix" and path.stat().st_mode & stat.S_IRWXO:
            raise UserError("the key file can be read by other users", file=str(path), remedy=f"Run chmod 600 {path}")
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "there is no key to encrypt variables and connections with",
            field=FIELD,
            remedy=f"Set it to the same key on every machine, or put the key into {path}; `dagdeckd config key` makes "
            "one",
        ) from error
