"""What `dagdeckd doctor` looks at concerning code: whose bundles a worker here would run, and as which users.

Decides from which settings on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from dagdeck_io.bundles import signing, trust
from dagdeck_io.db.url import parse_url
from dagdeck_io.settings import BundleSignatures, Settings
from dagdeckd.doctor.findings import Finding, failure, good, warning

AREA = "code"
_PIN = "Set security.bundle_keys to what `dagdeckd bundle-keys show` prints on the master"


def code(settings: Settings) -> Iterator[Finding]:
    """Whose bundles a worker of this state folder runs."""
    own, home = settings.security, settings.paths.home
    if own.bundle_signatures is BundleSignatures.OFF:
        yield warning(
            AREA, "workers here run any code that the database holds", "Set security.bundle_signatures to required"
        )
    elif own.bundle_keys:
        yield good(AREA, f"workers here trust {_named(own.bundle_keys)} (security.bundle_keys)")
    elif keys := signing.read_public_file(home / signing.PUBLIC_FILE):
        yield good(AREA, f"workers here trust {_named(keys)} ({home / signing.PUBLIC_FILE})")
    elif keys := signing.read_public_file(home / trust.TRUSTED_FILE):
        yield warning(AREA, f"a worker here trusts {_named(keys)}, the key of the first bundle that it met", _PIN)
    elif parse_url(settings.database.address).kind != "sqlite":
        yield warning(AREA, "a worker here will trust the key of the first bundle that it meets", _PIN)


def users(settings: Settings) -> Iterator[Finding]:
    """As whom tasks run."""
    user = settings.core.default_impersonation
    if user and os.name == "posix" and os.geteuid() != 0:
        yield failure(
            "users",
            f"tasks shall run as {user!r} (core.default_impersonation), and this user is not root",
            "Run workers as root, or leave the setting empty",
        )


def _named(keys: tuple[str, ...]) -> str:
    return "the key " + ", ".join(signing.fingerprint(key) for key in keys)
