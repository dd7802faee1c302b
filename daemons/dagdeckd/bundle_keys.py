"""`dagdeckd bundle-keys`: the key by which the master signs bundles, shown, replaced, and put on what is stored.

Decides the order of a replacement, which may be interrupted anywhere and said again. Does not decide what is signed
(`dagdeck_io.bundles.signing`). Runs on the master's machine, beside a running master. Called by `bundle_keys_command`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.bundles import signing
from dagdeck_io.bundles.signing import SigningKey
from dagdeck_io.db.bundle_store import SqlBundleStore
from dagdeck_io.settings import Settings

NEXT_FILE = signing.KEY_FILE + ".next"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKeys:
    """The master's key and the bundles that are stored."""

    settings: Settings
    store: SqlBundleStore

    def current(self) -> SigningKey:
        """The master's key, made now when it has none. Raises what `signing.signing_key_of` raises."""
        return signing.signing_key_of(self.settings.paths.home, self.settings.security.bundle_signing_key)

    def unsigned(self, key: SigningKey) -> list[tuple[str, str]]:
        """Name and version of the stored bundles that `key` has not signed."""
        return [
            (name, version)
            for name, version in self.store.stored()
            if key.public_key not in _signers(self.store, name, version)
        ]

    def sign_stored(self, key: SigningKey) -> int:
        """Sign every stored bundle, whoever put it there; how many had no signature by `key`."""
        bundles = self.unsigned(key)
        for name, version in bundles:
            self.store.sign(name, version, key.sign(name, version))
        return len(bundles)

    def rotate(self) -> tuple[SigningKey, SigningKey]:
        """Put a new key in the old one's place and announce it; the old and the new one.

        Bundles that the old key has signed are signed by the new one too, others are not. Raises UserError when the
        key is given by a setting, EnvironmentFault when files cannot be written.
        """
        if self.settings.security.bundle_signing_key:
            raise UserError(
                "the key is given by a setting, so it is changed there",
                field=signing.FIELD,
                remedy="List the public keys of both in security.bundle_keys of every worker first",
            )
        home, old = self.settings.paths.home, self.current()
        try:
            with suppress(FileExistsError):  # an earlier attempt was interrupted: it goes on with its key
                signing.write_new(home / NEXT_FILE, SigningKey.make().as_text())
            new = signing.read_key_file(home / NEXT_FILE)
            self.store.announce(old.announce(new.public_key))
            self._sign_anew(old, new)
            (home / NEXT_FILE).replace(home / signing.KEY_FILE)
            signing.publish_key(home, new)
        except OSError as error:
            raise EnvironmentFault(
                f"the key cannot be replaced in {home}: {error.strerror}",
                transient=False,
                remedy="Make the folder writable, then say it again",
            ) from error
        self._sign_anew(old, new)  # what the running master has stored meanwhile
        return old, new

    def _sign_anew(self, old: SigningKey, new: SigningKey) -> None:
        for name, version in self.unsigned(new):
            if old.public_key in _signers(self.store, name, version):
                self.store.sign(name, version, new.sign(name, version))


def _signers(store: SqlBundleStore, name: str, version: str) -> set[str]:
    """The public keys whose signature on the bundle is sound."""
    return {each.public_key for each in store.signatures(name, version) if signing.is_signed(name, version, each)}
