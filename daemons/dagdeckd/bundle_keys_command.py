"""The commands of `dagdeckd bundle-keys`.

Decides their names and what they print. Does not decide what they do (`bundle_keys`). Gathered by `cli`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dagdeckd.given_settings import GivenSettings

if TYPE_CHECKING:
    from dagdeckd.bundle_keys import BundleKeys


@click.group("bundle-keys")
def bundle_keys() -> None:
    """The key by which the master signs DAG code, and which workers ask for."""


@bundle_keys.command("show")
@click.pass_obj
def bundle_keys_show(given: GivenSettings) -> None:
    """Print the master's public key, and how many stored bundles it has not signed."""
    from dagdeck_io.bundles.signing import fingerprint

    with _opened(given) as keys:
        key = keys.current()
        click.echo(f"public key   {key.public_key}")
        click.echo(f"fingerprint  {fingerprint(key.public_key)}")
        click.echo(f"not signed   {len(keys.unsigned(key))} of {len(keys.store.stored())} stored bundles")
        click.echo(f"\nWorkers are told by\n  [security]\n  bundle_keys = [{key.public_key!r}]")


@bundle_keys.command("rotate")
@click.pass_obj
def bundle_keys_rotate(given: GivenSettings) -> None:
    """Replace the key. A running master uses the new one from its next bundle on.

    Workers that trust the key of their first bundle follow by themselves; those that name keys in their settings, or
    have a copy of the public key, must be told before.
    """
    from dagdeck_io.bundles.signing import fingerprint
    from dagdeckd.recording import record_afterwards

    with _opened(given) as keys:
        old, new = keys.rotate()
        click.echo(f"replaced {old.public_key} ({fingerprint(old.public_key)})")
        click.echo(f"by       {new.public_key} ({fingerprint(new.public_key)})")
    told = {"before": {"public_key": old.public_key}, "after": {"public_key": new.public_key}}
    record_afterwards(given.settings(), "rotate_bundle_key", told)


@bundle_keys.command("sign-stored")
@click.confirmation_option(prompt="Everything that the database holds now will be trusted. Go on?")
@click.pass_obj
def bundle_keys_sign_stored(given: GivenSettings) -> None:
    """Sign all stored bundles, after an upgrade from a version without signatures or with a key that was lost."""
    from dagdeckd.recording import record_afterwards

    with _opened(given) as keys:
        key = keys.current()
        signed = keys.sign_stored(key)
        click.echo(f"{signed} bundles are signed now that were not")
    record_afterwards(given.settings(), "sign_stored_bundles", {"public_key": key.public_key, "bundles": signed})


@contextmanager
def _opened(given: GivenSettings) -> Iterator[BundleKeys]:
    from dagdeck_io.composition import database_of
    from dagdeck_io.db import migrations
    from dagdeckd.bundle_keys import BundleKeys

    settings = given.settings()
    migrations.check(settings.database.address)
    database = database_of(settings)
    try:
        yield BundleKeys(settings=settings, store=database.bundle_store())
    finally:
        database.close()
