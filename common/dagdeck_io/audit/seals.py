"""Seals: the master's signature over how far the chain stood, and over where retention cut it.

Decides the exact bytes that are signed (Ed25519) and where a master keeps its key. Does not decide when something is
sealed. Called by the sealer and by verification.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dagdeck_core.errors import EnvironmentFault, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "audit_signing.key"
_KEY_BYTES = 32
_REMEDY = "Restore it from a backup, or remove it: a new one is made, and verification has to be told of both"


class SealKind(StrEnum):
    """What a seal says."""

    SEAL = "seal"
    """The chain stood here."""
    CHECKPOINT = "checkpoint"
    """Everything up to here was old and has been deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A signed statement about the link `sequence`, whose hash is `hash`. `public_key` and `signature` in base64."""

    sequence: int
    kind: SealKind
    hash: str
    sealed_at: str
    public_key: str
    signature: str

    def message(self) -> bytes:
        """What is signed."""
        return seal_message(self.kind, self.sequence, self.hash, self.sealed_at)


def seal_message(kind: SealKind, sequence: int, hash_: str, sealed_at: str) -> bytes:
    """The bytes that a seal's signature is over."""
    return "\0".join(("dagdeck audit 1", kind.value, str(sequence), hash_, sealed_at)).encode()


class SealingKey:
    """A master's private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @property
    def public_key(self) -> str:
        """The public key in base64."""
        return base64.b64encode(self._private.public_key().public_bytes_raw()).decode("ascii")

    def sign(self, kind: SealKind, sequence: int, hash_: str, sealed_at: str) -> Seal:
        """The seal that says this."""
        signature = self._private.sign(seal_message(kind, sequence, hash_, sealed_at))
        return Seal(
            sequence=sequence,
            kind=kind,
            hash=hash_,
            sealed_at=sealed_at,
            public_key=self.public_key,
            signature=base64.b64encode(signature).decode("ascii"),
        )


def is_authentic(seal: Seal) -> bool:
    """Whether the signature is that of the seal's own key over what it says. Whose key that is, is another question."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = base64.b64decode(seal.public_key, validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(seal.signature, validate=True), seal.message())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def sealing_key_of(home: Path) -> SealingKey:
    """The key of the master whose state folder is `home`, made now when there is none.

    Raises EnvironmentFault when the folder cannot be used, UserError for a file that others may read or that holds
    no key.
    """
    path = home / KEY_FILE
    try:
        with suppress(FileExistsError):
            if not path.exists():
                _make(path)
        return _read(path)
    except OSError as error:
        raise EnvironmentFault(
            f"the key that seals the audit log cannot be kept in {home}: {error.strerror or error}",
            transient=False,
            remedy="Make the folder writable for the master",
        ) from error


def known_public_key(home: Path) -> str | None:
    """The public key of the master whose state folder is `home`; None when it has made none or it cannot be read."""
    try:
        return _read(home / KEY_FILE).public_key
    except (OSError, UserError):
        return None


def _read(path: Path) -> SealingKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UserError("other users may read the key file", file=str(path), remedy=f"Run chmod 600 {path}")
    try:
        data = base64.b64decode(path.read_text("ascii", errors="replace").strip(), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != _KEY_BYTES:
        raise UserError("this is no key that seals the audit log", file=str(path), remedy=_REMEDY)
    return SealingKey(Ed25519PrivateKey.from_private_bytes(data))


def _make(path: Path) -> None:
    """Write a new key whole or not at all, and never over an existing one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode("ascii")
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner only
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        os.unlink(fresh)
