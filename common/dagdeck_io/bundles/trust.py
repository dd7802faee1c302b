"""Whose bundles a worker runs: the keys that it trusts, and how it came to trust them.

Decides that, and refuses a bundle by name. Does not check contents (`manifest`, `unpack`) nor make signatures
(`signing`). Called by the worker before it unpacks a bundle, from one thread.

Trust comes from the first of these that there is: keys in the settings; the public key that a master keeps in the same
state folder; the key of the first bundle seen, kept in a file of the state folder from then on. Only the last one
follows announcements of a new key, and gives up the old one with that, so that an old key can announce only once.
None of it is read from the database or the queue, whose intruder may write there what they like.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.ports import BundleSignature, KeySuccession
from dagdeck_io.bundles import signing

_log = logging.getLogger(__name__)

TRUSTED_FILE = "trusted_bundle_keys"
_LONGEST_CHAIN = 100
"""Announcements that are followed at once."""


class BundleRefused(EnvironmentFault):
    """Nobody whom this worker trusts vouches for the bundle. Another worker, or this one later, may run it."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, transient=False, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trusted:
    keys: tuple[str, ...]
    origin: str
    """Where they stand, for people."""
    follows: bool
    """Whether announcements are followed."""


class BundleTrust:
    """See the module. `home`: the worker's state folder; `pinned`: public keys of the settings."""

    def __init__(self, home: Path, pinned: Sequence[str] = ()) -> None:
        self._home = home
        self._pinned = tuple(pinned)

    def check(
        self,
        name: str,
        version: str,
        signatures: Sequence[BundleSignature],
        successions: Callable[[], Sequence[KeySuccession]],
    ) -> None:
        """Return when a trusted key has signed this version of the bundle `name`.

        `signatures` and what `successions` gives come from the database, unverified. Raises BundleRefused, which
        says whose signature there is and what to do, and EnvironmentFault when the state folder cannot be used.
        """
        valid = [each.public_key for each in signatures if signing.is_signed(name, version, each)]
        trusted = self._trusted()
        if trusted is None:
            if not valid:
                raise _refusal(name, version, signatures, valid, None)
            self._trust(valid[-1], f"at first use, {name} {version}")
            return
        if any(key in trusted.keys for key in valid):
            return
        if valid and trusted.follows and (successor := self._successor(trusted.keys[0], valid, successions())):
            self._trust(successor, f"announced by {trusted.keys[0]}")
            return
        raise _refusal(name, version, signatures, valid, trusted)

    def _trusted(self) -> _Trusted | None:
        """Whom this worker trusts; None when it has met nobody yet."""
        if self._pinned:
            return _Trusted(keys=self._pinned, origin="security.bundle_keys", follows=False)
        for file, follows in ((signing.PUBLIC_FILE, False), (TRUSTED_FILE, True)):
            path = self._home / file
            try:
                keys = signing.read_public_file(path)
            except OSError as error:
                raise self._unusable(path, error) from error
            if keys:
                return _Trusted(keys=keys, origin=str(path), follows=follows)
        return None

    @staticmethod
    def _successor(known: str, wanted: Sequence[str], announced: Sequence[KeySuccession]) -> str | None:
        """The one of `wanted` to which sound announcements lead from `known`."""
        for _ in range(_LONGEST_CHAIN):
            following = [each for each in announced if each.old_key == known and signing.is_announced(each)]
            if not following:
                return None
            known = following[0].new_key
            if known in wanted:
                return known
        return None

    def _trust(self, key: str, reason: str) -> None:
        path = self._home / TRUSTED_FILE
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            signing.replace_file(path, f"# {stamp}: {reason}\n{key}", mode=0o600)
        except OSError as error:
            raise self._unusable(path, error) from error
        _log.warning(
            "bundles signed by the key %s (%s) are trusted from now on (%s); compare it with `dagdeckd bundle-keys "
            "show` on the master, and pin it by security.bundle_keys to rule out a mistake",
            signing.fingerprint(key),
            key,
            reason,
        )

    @staticmethod
    def _unusable(path: Path, error: OSError) -> EnvironmentFault:
        return EnvironmentFault(
            f"the file of trusted keys {path} cannot be used: {error.strerror}",
            transient=False,
            remedy="Make it readable and its folder writable, or set security.bundle_keys",
        )


def _refusal(
    name: str, version: str, signatures: Sequence[BundleSignature], valid: Sequence[str], trusted: _Trusted | None
) -> BundleRefused:
    bundle = f"the bundle {name} {version[:16]}"
    if not signatures:
        return BundleRefused(
            f"{bundle} is not signed, so this worker does not run it",
            remedy="Bundles stored before there were signatures: run `dagdeckd bundle-keys sign-stored` on the master",
        )
    if not valid or trusted is None:
        return BundleRefused(
            f"{bundle} has a wrong signature, so this worker does not run it",
            remedy="Somebody other than the master wrote to the database: find out who. A restarted master stores and "
            "signs its present code anew",
        )
    signers = ", ".join(signing.fingerprint(key) for key in valid)
    known = ", ".join(signing.fingerprint(key) for key in trusted.keys)
    return BundleRefused(
        f"{bundle} is signed by the key {signers}, and this worker trusts {known} (by {trusted.origin})",
        remedy="Compare it with `dagdeckd bundle-keys show` on the master. If the master has a new key, tell this "
        f"worker by {trusted.origin}; if it does not, somebody else wrote to the database",
    )
