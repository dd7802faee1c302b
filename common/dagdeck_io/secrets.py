"""The vault: encrypts what must not be readable in the database alone (variables, connections, trigger arguments).

Decides the form of keys and of stored texts (Fernet: authenticated, with the newest of several keys). Does not decide
which columns are encrypted. Called by the stores, by the control API, and by `standalone`, which makes a key file.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from dagdeck_core.errors import EnvironmentFault, UserError

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


class Vault:
    """Encrypts with the first of its keys, decrypts with any. Thread-safe."""

    def __init__(self, keys: str) -> None:
        """`keys`: one key, or several with commas between them, newest first. Raises UserError for a bad one."""
        parts = [part.strip() for part in keys.split(",") if part.strip()]
        if not parts:
            raise UserError("there is no key to encrypt variables and connections with", field=FIELD, remedy=_REMEDY)
        self._fernet = MultiFernet([_fernet(part, number) for number, part in enumerate(parts, start=1)])

    def encrypt(self, text: str) -> str:
        """`text` as it is stored."""
        return self._fernet.encrypt(text.encode(errors="surrogatepass")).decode()

    def decrypt(self, stored: str) -> str:
        """The text that was encrypted as `stored`. Raises EnvironmentFault when no key fits."""
        try:
            return self._fernet.decrypt(stored.encode()).decode(errors="surrogatepass")
        except (InvalidToken, UnicodeEncodeError):
            raise self._no_key() from None

    def rotate(self, stored: str) -> str:
        """`stored`, encrypted anew with the first key. Raises EnvironmentFault when no key fits."""
        try:
            return self._fernet.rotate(stored.encode()).decode()
        except (InvalidToken, UnicodeEncodeError):
            raise self._no_key() from None

    @staticmethod
    def _no_key() -> EnvironmentFault:
        return EnvironmentFault(
            "a stored value was encrypted with a key that this process does not have",
            transient=False,
            remedy=f"Add the earlier key to {FIELD}, after the newest one",
        )


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
