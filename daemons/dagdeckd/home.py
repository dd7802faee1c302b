"""The state folder of a standalone cluster: made private, locked for one process, with its secret key.

Decides file modes and what "already running" means. Does not decide where the folder is (the setting
paths.home). Called by `standalone`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = "standalone.lock"
_LOCKED_BYTE = 1024


def prepare_home(home: Path) -> None:
    """Make the state folder, readable for this user only. Raises EnvironmentFault naming the setting."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(home, 0o700)
    except OSError as error:
        raise EnvironmentFault(
            f"the state folder {home} cannot be used: {error.strerror}",
            transient=False,
            remedy="Choose another one with paths.home or --home",
        ) from error


@contextlib.contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises EnvironmentFault naming the process that holds it already.

    The lock is the system's, so it is gone when the process is, however it ended.
    """
    path = home / LOCK_FILE
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _lock(fd)
        except OSError as error:
            if not isinstance(error, BlockingIOError | PermissionError):
                raise
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            raise EnvironmentFault(
                f"DagDeck is already running from {home}, as process {holder or 'unknown'}",
                transient=False,
                remedy=f"Stop it first (kill {holder}), or start another cluster with another --home and --port",
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    if sys.platform == "win32":
        # Beyond what is written: a locked byte can be read by nobody else there.
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def ensure_secret_key(path: Path) -> None:
    """Make the key that encrypts connections and variables, unless it is there. Raises EnvironmentFault."""
    # 32 random bytes in URL-safe base64: the key format of Fernet.
    key = base64.urlsafe_b64encode(secrets.token_bytes(32))
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise EnvironmentFault(f"the key file {path} cannot be made: {error.strerror}", transient=False) from error
    with os.fdopen(fd, "wb") as stream:
        stream.write(key + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
