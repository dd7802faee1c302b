"""The vault: encrypts what must not be readable in the database alone (variables, connections, trigger arguments).

Decides the form of keys and of stored texts (Fernet: authenticated, with the newest of several keys), and that new keys
are looked for when one is missing. Does not decide where keys come from (`key_source`) nor which columns are encrypted.
Called by the stores, by the control API, and by `standalone`, which makes a key file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError

_log = logging.getLogger(__name__)

FIELD = "security.secret_key"
_REMEDY = "Make one with `python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'`"


def generate_key() -> str:
    """A new key, as text."""
    return Fernet.generate_key().decode()


def load_or_make_key_file(path: Path) -> str:
    """The key in `path`; the file is made, readable by its owner only, when it is missing.

    Raises EnvironmentFault when it cannot be read or made, UserError when others may read it.
    """
    try:
        with suppress(FileExistsError):
            _make_key_file(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise UserError("other users may read the key file", file=str(path), remedy=f"Run chmod 600 {path}")
        return path.read_text("ascii").strip()
    except UnicodeDecodeError:
        raise UserError("this is no key file", file=str(path), remedy=_REMEDY) from None
    except OSError as error:
        raise EnvironmentFault(
            f"the key file {path} cannot be used: {error.strerror}", transient=False, remedy="Make it readable"
        ) from error


def _make_key_file(path: Path) -> None:
    """Whole or not at all, and never over an existing one: what it encrypted would be lost."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner only
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(generate_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        os.unlink(fresh)


class Keys(Protocol):
    """Where a vault has its keys from. Thread-safe."""

    def current(self) -> str:
        """One key, or several with commas between them, newest first. Takes no time.

        Raises DagDeckError when there is none.
        """

    def again(self) -> str:
        """The same, looked up anew if that can bring others, since a key is missing. May take seconds."""


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys that stay what they are."""

    text: str

    def current(self) -> str:
        """See Keys."""
        return self.text

    def again(self) -> str:
        """See Keys."""
        return self.text


@dataclass(frozen=True, slots=True)
class _Ring:
    """Keys made ready. `ids` name them without telling anything of them."""

    text: str
    newest: Fernet
    all: MultiFernet
    ids: tuple[str, ...]


class Vault:
    """Encrypts with the first of its keys, decrypts with any. Thread-safe.

    Takes the keys that its source has by now: before it encrypts, and when a stored text asks for one that it lacks.
    """

    def __init__(self, keys: str | Keys) -> None:
        """`keys`: one key, or several with commas between them, newest first; or where to find them.

        Raises UserError for a malformed one.
        """
        self._keys: Keys = FixedKeys(keys) if isinstance(keys, str) else keys
        self._ring = _ring(self._keys.current())

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the keys that it has now, newest first; they tell nothing of the keys."""
        return self._take(self._keys.current).ids

    def encrypt(self, text: str) -> str:
        """`text` as it is stored."""
        return self._take(self._keys.current).all.encrypt(text.encode(errors="surrogatepass")).decode()

    def decrypt(self, stored: str) -> str:
        """The text that was encrypted as `stored`. Raises EnvironmentFault when no key fits."""
        return self._open(stored).decode(errors="surrogatepass")

    def is_newest(self, stored: str) -> bool:
        """Whether `stored` was encrypted with the first key."""
        try:
            self._take(self._keys.current).newest.decrypt(stored.encode())
        except (InvalidToken, UnicodeEncodeError):
            return False
        return True

    def rotate(self, stored: str) -> str | None:
        """`stored`, encrypted anew with the first key; None when it was with that one.

        Raises EnvironmentFault when no key fits.
        """
        if self.is_newest(stored):
            return None
        return self._ring.all.encrypt(self._open(stored)).decode()

    def _open(self, stored: str) -> bytes:
        ring = self._ring
        while True:
            try:
                return ring.all.decrypt(stored.encode())
            except (InvalidToken, UnicodeEncodeError):
                tried, ring = ring, self._take(self._keys.again)
                if tried.text == ring.text:
                    raise self._no_key() from None

    def _take(self, source: Callable[[], str]) -> _Ring:
        """The keys by now; those from before while the new ones cannot be had or are malformed."""
        ring = self._ring
        try:
            text = source()
            if text != ring.text:
                ring = self._ring = _ring(text)
                _log.info("the keys of variables and connections have changed; newest is %s", ring.ids[0])
        except DagDeckError as error:
            _log.warning("the keys of variables and connections stay as they are: %s", error)
        return ring

    @staticmethod
    def _no_key() -> EnvironmentFault:
        return EnvironmentFault(
            "a stored value was encrypted with a key that this process does not have",
            transient=False,
            remedy=f"Add that key to {FIELD}, after the newest one",
        )


def key_id(key: str) -> str:
    """A short name for a key, by which people and machines compare what they have; nothing can be found out from it."""
    return hashlib.sha256(b"dagdeck key " + key.encode()).hexdigest()[:12]


def split_keys(text: str) -> list[str]:
    """The single keys of `text`, newest first."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _ring(text: str) -> _Ring:
    parts = split_keys(text)
    if not parts:
        raise UserError("there is no key to encrypt variables and connections with", field=FIELD, remedy=_REMEDY)
    made = [_fernet(part, number) for number, part in enumerate(parts, start=1)]
    return _Ring(text=text, newest=made[0], all=MultiFernet(made), ids=tuple(key_id(part) for part in parts))


def _fernet(key: str, number: int) -> Fernet:
    try:
        return Fernet(key)
    except (ValueError, UnicodeEncodeError):
        # The key itself must not reach a log.
        raise UserError(
            f"key number {number} is malformed (a key has 44 characters of URL-safe base64)",
            field=FIELD,
            remedy=_REMEDY,
        ) from None
