"""`dagdeckd secrets`: a new key for everything that is stored encrypted, while the cluster runs.

Decides the order that leaves no moment in which somebody reads what they have no key for: first every process knows the
new key behind the old one, then it stands in front, then all values are encrypted anew, then the old one goes. Every
step can be taken twice, so a rotation that was interrupted is begun again and goes on. Does not decide how values are
changed (`dagdeck_io.db.rekeying`). Called by `secrets_command`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.composition import database_of, secret_key_of
from dagdeck_io.db import rekeying
from dagdeck_io.db.engine import Database
from dagdeck_io.secrets import FIELD, key_id, load_or_make_key_file, split_keys
from dagdeck_io.settings import ReferenceForm, Settings
from dagdeckd.recording import record_in

MOST_PASSES = 8
SETTLE_SECONDS = 2.0
"""Pause before the last look for values that were under way when the new key took its place."""
POLL_SECONDS = 0.3
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file with keys that this command may write.

    `pending` beside it holds a key that is to become the newest.
    """

    path: Path

    @property
    def pending(self) -> Path:
        """It is there from a rotation's first step to its last."""
        return self.path.with_name(self.path.name + ".next")

    def read(self) -> list[str]:
        """Newest first. Raises EnvironmentFault when the file cannot be read."""
        try:
            return split_keys(self.path.read_text("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentFault(f"the key file {self.path} cannot be read: {error}", transient=False) from error

    def write(self, keys: list[str]) -> None:
        """Put these keys in place at once, readable by those who could read the file before.

        Raises EnvironmentFault; then the file is as it was.
        """
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            mode = self.path.stat()
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                if os.name == "posix":  # elsewhere it has the folder's permissions
                    os.fchmod(stream.fileno(), mode.st_mode & 0o777)
                    if os.geteuid() == 0:
                        os.fchown(stream.fileno(), mode.st_uid, mode.st_gid)
                stream.write(",".join(keys) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise EnvironmentFault(
                f"the key file {self.path} cannot be changed: {error.strerror}",
                transient=False,
                remedy="Run this as a user who may write its folder",
            ) from error


def key_file_of(settings: Settings) -> KeyFile | None:
    """The file that holds the keys alone; None when they come from elsewhere."""
    reference = settings.references.get(FIELD)
    if reference is not None:
        return KeyFile(Path(reference.target)) if reference.form is ReferenceForm.FILE else None
    return None if settings.security.secret_key else KeyFile(settings.paths.secret_key_file)


def rotate_key(settings: Settings, *, force: bool, wait: float, tell: Tell) -> None:
    """Let a new key take the old one's place; see the module.

    `wait` is how many seconds workers have to learn of the new key; `force` does not ask them. Raises UserError when
    there is no new key and none can be made here, EnvironmentFault for workers that do not know it and for values that
    no key opens.
    """
    file = key_file_of(settings)
    made = _make(file) if file is not None and (file.pending.exists() or len(file.read()) == 1) else None
    keys = split_keys(secret_key_of(settings))
    newest = made or keys[0]
    if made is None and len(keys) == 1:
        raise UserError(
            "there is one key only, and this command cannot write it where it comes from",
            field=FIELD,
            remedy="Put a new one (`dagdeckd config key`) behind it on every machine, then in front, then run this "
            "again",
        )
    tell(f"the new key is {key_id(newest)}")
    database = database_of(settings)
    try:
        if file is not None and made is not None:
            _put_behind(file, made)
        if not force:
            _wait_for_workers(database, key_id(newest), wait, file, tell)
        if file is not None and made is not None:
            file.write([made, *(key for key in file.read() if key != made)])
        rotated = _encrypt_anew(database, tell)
        with database.writing() as connection:
            record_in(database, connection, "rotate_key", {"key_id": key_id(newest), "values": rotated})
    finally:
        database.close()
    if file is not None and made is not None:
        file.write([made])
        file.pending.unlink()
        tell(f"the old key is out of {file.path}")
    else:
        tell(f"take the old key out of {FIELD} on every machine now")


def _make(file: KeyFile) -> str:
    """The key on its way; made when there is none yet."""
    return load_or_make_key_file(file.pending)


def _put_behind(file: KeyFile, made: str) -> None:
    keys = file.read()
    if made not in keys:
        file.write([*keys, made])


def _wait_for_workers(database: Database, wanted: str, wait: float, file: KeyFile | None, tell: Tell) -> None:
    deadline = time.monotonic() + wait
    told = False
    while missing := rekeying.workers_without(database, wanted):
        if time.monotonic() >= deadline:
            where = "" if file is None else f" Here it is in {file.pending}."
            raise EnvironmentFault(
                f"these workers do not know the key {wanted}: {', '.join(missing)}",
                transient=False,
                remedy=f"Add it behind the keys of {FIELD} on their machines, and restart those that have it from the "
                f"environment; then run this again, and it goes on.{where}",
            )
        if not told:
            tell(f"waiting until the workers know it: {', '.join(missing)}")
            told = True
        time.sleep(POLL_SECONDS)


def _encrypt_anew(database: Database, tell: Tell) -> int:
    """How many values were changed. Raises EnvironmentFault when not everything is under the newest key in the end."""
    rotated = 0
    settled = False
    for _ in range(MOST_PASSES):
        found = rekeying.rotate_all(database, database.vault, lambda table, count: tell(f"{table}: {count}"))
        rotated += found.rotated
        if found.is_clean and (settled or not rotated):
            break
        if found.is_clean:
            settled = True
            time.sleep(SETTLE_SECONDS)
    else:
        raise EnvironmentFault(
            "values are still written with an earlier key",
            remedy="Restart the daemons whose key comes from the environment, and run this again",
        )
    tell(f"{rotated} values are encrypted anew")
    if found.unreadable:
        raise EnvironmentFault(
            f"{found.unreadable} values cannot be read with any key: {'; '.join(found.named)}",
            transient=False,
            remedy=f"Add the key that they were written with to {FIELD} and run this again, or set them anew",
        )
    return rotated


def status(settings: Settings, tell: Tell) -> None:
    """Tell which keys there are, what is under which, and which workers lack the newest."""
    keys = split_keys(secret_key_of(settings))
    for number, key in enumerate(keys):
        tell(f"key {key_id(key)}{', the newest: it encrypts' if number == 0 else ', an earlier one: it opens'}")
    database = database_of(settings)
    try:
        for table, counts in rekeying.count_by_key(database, database.vault).items():
            tell(f"{table}: {counts[True]} values under the newest key, {counts[False]} under others")
        missing = rekeying.workers_without(database, key_id(keys[0]))
        tell(f"workers without the newest key: {', '.join(missing) if missing else 'none'}")
    finally:
        database.close()
