"""The commands of `dagdeckd certs`.

Decides their names, options and what they print. Does not make certificates (`certs`). Gathered by `cli`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagdeckd.given_settings import GivenSettings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from dagdeckd.certs import CertificateFolder

SERVER_DAYS = 397
"""Longer lasting server certificates are refused by some systems."""


@click.group()
def certs() -> None:
    """TLS certificates of the control API."""


def _options(command: Any) -> Any:
    for option in (
        click.option("--dir", "folder", type=click.Path(path_type=Path), help="Default: <paths.home>/certs."),
        click.option("--days", type=click.IntRange(1, 3650), default=SERVER_DAYS, show_default=True),
        click.option("--ca-cert", type=click.Path(path_type=Path), help="An authority's certificate of yours (PEM)."),
        click.option("--ca-key", type=click.Path(path_type=Path), help="Its key (PEM, without a password)."),
    ):
        command = option(command)
    return command


@certs.command("init")
@click.option("--host", "hosts", multiple=True, help="Name or address of the server; repeatable. Default: its own.")
@_options
@click.pass_obj
def certs_init(
    given: GivenSettings,
    hosts: tuple[str, ...],
    folder: Path | None,
    days: int,
    ca_cert: Path | None,
    ca_key: Path | None,
) -> None:
    """Make a private authority (or take yours) and a certificate for the control API."""
    from dagdeckd import certs as make

    place = _folder(given, folder)
    made = make.init(
        place,
        hosts or make.own_hosts(),
        days=days,
        now=make.utc_now(),
        authority=_authority(ca_cert, ca_key),
    )
    _print(made)
    _record(given, "certs_init", place, made)
    authority = ca_cert or place.authority
    click.echo(
        f"\nSettings for the master:\n  [api]\n  tls_certificate = {str(place.server)!r}\n"
        f"  tls_key = {str(place.server_key)!r}\n  tls_next_certificate = {str(place.following)!r}\n\n"
        f"Clients trust it with `dagdeck --ca-file {authority.name}` (a copy of {authority}), or compare its "
        "SHA-256 when they connect for the first time."
    )


@certs.command("next")
@_options
@click.pass_obj
def certs_next(given: GivenSettings, folder: Path | None, days: int, ca_cert: Path | None, ca_key: Path | None) -> None:
    """Make the certificate that will follow; the API announces it to clients that pinned the present one."""
    from dagdeckd import certs as make

    place = _folder(given, folder)
    made = make.make_next(place, days=days, now=make.utc_now(), authority=_authority(ca_cert, ca_key))
    _print(made)
    _record(given, "certs_next", place, made)
    click.echo(
        f"\nIt is announced when api.tls_next_certificate names {place.following}. Switch when clients had time."
    )


@certs.command("switch")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Default: <paths.home>/certs.")
@click.pass_obj
def certs_switch(given: GivenSettings, folder: Path | None) -> None:
    """Put the announced certificate in place; a running API takes it within half a minute."""
    from dagdeckd import certs as make

    place = _folder(given, folder)
    shown = make.switch(place)
    _print(shown)
    _record(given, "certs_switch", place, shown)


@certs.command("show")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Default: <paths.home>/certs.")
@click.pass_obj
def certs_show(given: GivenSettings, folder: Path | None) -> None:
    """Print the certificate that the settings name, else the folder's, and the one that will follow."""
    from dagdeckd import certs as make

    configured = None if folder is not None else given.settings().api
    place = _folder(given, folder)
    shown = place.server if configured is None or configured.tls_certificate is None else configured.tls_certificate
    following = place.following
    if configured is not None and configured.tls_next_certificate is not None:
        following = configured.tls_next_certificate
    _print(make.read_certificate(shown))
    if following.exists():
        click.echo("\nnext:")
        _print(make.read_certificate(following))


def _record(given: GivenSettings, event: str, folder: CertificateFolder, certificate: Certificate) -> None:
    from dagdeckd import certs as make
    from dagdeckd.recording import record_afterwards

    told = {"file": str(folder.server), "sha256": make.fingerprint(certificate), "hosts": make.hosts_of(certificate)}
    record_afterwards(given.settings(), event, told)


def _folder(given: GivenSettings, folder: Path | None) -> CertificateFolder:
    from dagdeckd.certs import CertificateFolder

    return CertificateFolder(folder if folder is not None else given.settings().paths.home / "certs")


def _authority(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--ca-cert and --ca-key belong together")
    return certificate, key


def _print(certificate: Certificate) -> None:
    from dagdeckd import certs as make

    click.echo(f"for       {', '.join(make.hosts_of(certificate))}")
    click.echo(f"issued by {certificate.issuer.rfc4514_string()}")
    click.echo(f"valid     {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}")
    click.echo(f"SHA-256   {make.fingerprint(certificate)}")
