"""`dagdeckd audit`: verify, export and note the head of the audit log's chain.

Decides names, options, output and exit codes. Does not decide what is wrong with a chain (`dagdeck_io.audit`).
Gathered by `cli`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from dagdeck_core.errors import UserError
from dagdeckd.exit_codes import ExitCode
from dagdeckd.given_settings import GivenSettings

if TYPE_CHECKING:
    from dagdeck_io.audit.verification import Verification
    from dagdeck_io.db.engine import Database

_HEAD_REMEDY = "Write NUMBER:HASH as `dagdeckd audit head` printed it"


@click.group()
def audit() -> None:
    """The audit log's chain: whether it was tampered with, and copies of it."""


@audit.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--key", "keys", multiple=True, metavar="KEY", help="A master's public key; repeatable.")
@click.option("--head", "heads", multiple=True, metavar="NUMBER:HASH", help="A head noted before; repeatable.")
@click.pass_obj
def audit_verify(given: GivenSettings, file: Path | None, keys: tuple[str, ...], heads: tuple[str, ...]) -> int:
    """Verify the chain of the database, or of an exported FILE without any database. The exit code is 3 when something
    does not fit.

    Signatures must be those of the keys that are given, else of this machine's master; without either, whoever could
    write the database may have signed.
    """
    from dagdeck_io.audit.verification import Verification

    noted = dict(_noted(text) for text in heads)
    if file is not None:
        verification = Verification(trusted=frozenset(keys), heads=noted)
        _verify_file(file, verification)
    else:
        from dagdeck_io.audit.seals import known_public_key

        own = known_public_key(given.settings().paths.home)
        trusted = frozenset(keys) or frozenset([own] if own else [])
        verification = Verification(trusted=trusted, heads=noted)
        _verify_database(given, verification)
    _tell(verification)
    return ExitCode.ENVIRONMENT if verification.findings else ExitCode.OK


@audit.command("export")
@click.option("--since", type=click.DateTime(), help="From this time on, in UTC.")
@click.option("--until", type=click.DateTime(), help="Before this time, in UTC.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file; default: standard output.")
@click.pass_obj
def audit_export(given: GivenSettings, since: datetime | None, until: datetime | None, output: Path | None) -> None:
    """Write the audit log as lines of JSON that carry the chain, so that `audit verify FILE` can judge them alone."""
    from dagdeck_io.audit.export import lines_of
    from dagdeck_io.db.audit_reading import read_items

    count = 0
    with _opened(given) as database, database.reading() as connection, _target(output) as target:
        for line in lines_of(read_items(connection, datetime.now(UTC), _utc(since), _utc(until))):
            target.write(line + "\n")
            count += 1
    if output is not None:
        click.echo(f"{count:,} lines are in {output}")


@audit.command("head")
@click.pass_obj
def audit_head(given: GivenSettings) -> None:
    """Print the number and hash of the last record, and the key of this machine's master. Keep them elsewhere:
    whoever holds them can prove that nothing up to that record was changed, added or taken away."""
    from dagdeck_io.audit.seals import known_public_key
    from dagdeck_io.db.audit_reading import head_of

    with _opened(given) as database, database.reading() as connection:
        sequence, head = head_of(connection)
    click.echo(f"head  {sequence}:{head}")
    click.echo(f"key   {known_public_key(given.settings().paths.home) or '(none on this machine)'}")


def _verify_file(file: Path, verification: Verification) -> None:
    from dagdeck_io.audit.export import items_of, judge

    try:
        with file.open(encoding="utf-8", errors="surrogatepass") as lines:
            judge(items_of(lines), verification)
    except (OSError, UnicodeError) as error:
        raise UserError(f"the export cannot be read: {error}", file=str(file)) from error
    verification.end()


def _verify_database(given: GivenSettings, verification: Verification) -> None:
    from dagdeck_io.audit.export import judge
    from dagdeck_io.db.audit_reading import read_items, unsigned_is_old

    now = datetime.now(UTC)
    with _opened(given) as database, database.reading() as connection:
        judge(read_items(connection, now), verification)
        verification.end(unsigned_is_old=unsigned_is_old(connection, now, verification.signed_to))


def _tell(found: Verification) -> None:
    for finding in found.findings:
        click.echo(finding)
    if found.more:
        click.echo(f"and {found.more:,} more")
    span = f"{found.first} to {found.sequence}" if found.links else "none"
    click.echo(f"records   {found.links:,} ({span}), {found.unchained:,} not chained yet")
    click.echo(f"head      {found.sequence}:{found.hash}")
    click.echo(f"signed    up to record {found.signed_to}" + (f" by {', '.join(found.keys)}" if found.keys else ""))
    if not found.trusted:
        click.echo("No key was given: the signatures say only that nobody without these keys changed anything.")
    click.echo("The chain does not fit." if found.findings else "The chain fits.")


def _noted(text: str) -> tuple[int, str]:
    number, _, head = text.partition(":")
    if not number.isdecimal() or len(head) != 64:
        raise UserError("this is no head", field="--head", value=text, remedy=_HEAD_REMEDY)
    return int(number), head.lower()


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


@contextlib.contextmanager
def _opened(given: GivenSettings) -> Iterator[Database]:
    from dagdeck_io.db import migrations
    from dagdeck_io.db.engine import open_database

    address = given.settings().database.address
    migrations.check(address)
    database = open_database(address)
    try:
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8", errors="surrogatepass") as file:
            yield file
    except OSError as error:
        raise UserError(f"the file cannot be written: {error.strerror or error}", file=str(output)) from error
