"""Signatures on bundles: the master's key, what it signs, and how a signature is checked.

Decides the form of keys (Ed25519, base64), the exact bytes that are signed, and where the master keeps its key. Does
not decide whom a worker trusts (`trust`). Called by the DAG processor, by `dagdeckd bundle-keys` and by `trust`.

A bundle's version is the hash over all its paths and contents, so a signature over name and version covers everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_core.ports import BundleSignature, KeySuccession

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FIELD = "security.bundle_signing_key"
KEY_FILE = "bundle_signing.key"
PUBLIC_FILE = "bundle_signing.pub"
"""Beside the key, for workers of the same state folder, and to be copied to others."""
_BUNDLE = b"dagdeck bundle 1"
_SUCCESSION = b"dagdeck bundle key succession 1"
_KEY_BYTES = 32


class SigningKey:
    """The master's private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def make(cls) -> SigningKey:
        """A new one."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_text(cls, text: str, *, origin: str = FIELD) -> SigningKey:
        """The key that `as_text` gave. Raises UserError, which does not repeat the text."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        data = _decoded(text.strip())
        if data is None or len(data) != _KEY_BYTES:
            raise UserError(
                "this is no key that bundles can be signed with (32 bytes in base64)",
                file=origin,
                remedy="Restore it from a backup, or remove it to have a new one made, which workers must be told of",
            )
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def as_text(self) -> str:
        """The private key in base64. Secret."""
        return _encoded(self._private.private_bytes_raw())

    @property
    def public_key(self) -> str:
        """The public key in base64."""
        return _encoded(self._private.public_key().public_bytes_raw())

    def sign(self, name: str, version: str) -> BundleSignature:
        """Vouch for this version of the bundle `name`."""
        signature = self._private.sign(_message(_BUNDLE, name, version))
        return BundleSignature(public_key=self.public_key, signature=_encoded(signature))

    def announce(self, new_key: str) -> KeySuccession:
        """Say that the public key `new_key` takes this one's place."""
        old_key = self.public_key
        signature = self._private.sign(_message(_SUCCESSION, old_key, new_key))
        return KeySuccession(old_key=old_key, new_key=new_key, signature=_encoded(signature))


def is_public_key(text: str) -> bool:
    """Whether `text` has the form of a public key."""
    data = _decoded(text)
    return data is not None and len(data) == _KEY_BYTES


def is_signed(name: str, version: str, by: BundleSignature) -> bool:
    """Whether the signature is that of its key over this bundle."""
    return _is_valid(by.public_key, by.signature, _message(_BUNDLE, name, version))


def is_announced(succession: KeySuccession) -> bool:
    """Whether the old key has signed the announcement, and the new one is a key at all."""
    message = _message(_SUCCESSION, succession.old_key, succession.new_key)
    return is_public_key(succession.new_key) and _is_valid(succession.old_key, succession.signature, message)


def fingerprint(public_key: str) -> str:
    """A short name of a public key, for messages and for comparing by eye."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def signing_key_of(home: Path, given: str) -> SigningKey:
    """The master's key: `given` by the settings, else that of the state folder `home`, made now when it has none.

    Raises EnvironmentFault when the folder cannot be used, UserError for a file that others may read or that holds
    no key.
    """
    try:
        if given:
            key = SigningKey.from_text(given)
            if home.is_dir():  # a worker of the same folder must not go on trusting an earlier key
                publish_key(home, key)
            return key
        with suppress(FileExistsError):
            if not (home / KEY_FILE).exists():
                home.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_new(home / KEY_FILE, SigningKey.make().as_text())
        key = read_key_file(home / KEY_FILE)
        publish_key(home, key)
        return key
    except OSError as error:
        raise EnvironmentFault(
            f"the key that signs bundles cannot be kept in {home}: {error.strerror}",
            transient=False,
            remedy=f"Make the folder writable, or give the key by {FIELD}",
        ) from error


def read_key_file(path: Path) -> SigningKey:
    """The key in `path`. Raises UserError when others may read it or it is no key, OSError when it cannot be read."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UserError("other users may read the key file", file=str(path), remedy=f"Run chmod 600 {path}")
    return SigningKey.from_text(path.read_text("ascii", errors="replace"), origin=str(path))


def publish_key(home: Path, key: SigningKey) -> None:
    """Put the public key beside the private one, unless it is there. Raises OSError."""
    path = home / PUBLIC_FILE
    if read_public_file(path) != (key.public_key,):
        replace_file(path, key.public_key, mode=0o644)


def read_public_file(path: Path) -> tuple[str, ...]:
    """The public keys in `path`, one a line, `#` begins a comment; () when there is no such file. Raises OSError."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(word for line in lines if (word := line.partition("#")[0].strip()))


def write_new(path: Path, text: str) -> None:
    """Write a private file whole or not at all. Raises FileExistsError, and other OSErrors."""
    fresh = _draft(path, text, 0o600)
    try:
        os.link(fresh, path)
    finally:
        os.unlink(fresh)


def replace_file(path: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all, in place of one that is there. Raises OSError."""
    os.replace(_draft(path, text, mode), path)


def _draft(path: Path, text: str, mode: int) -> str:
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(fresh, mode)
    return fresh


def _message(kind: bytes, *parts: str) -> bytes:
    # None of the parts can hold a zero byte: names and versions are file names, keys are base64.
    return b"\0".join((kind, *(part.encode("utf-8") for part in parts)))


def _is_valid(public_key: str, signature: str, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key, signed = _decoded(public_key), _decoded(signature)
    if key is None or len(key) != _KEY_BYTES or signed is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signed, message)
    except InvalidSignature:
        return False
    return True


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
