"""`dagdeckd dag-grants`: rights on single DAGs beside the roles, without any daemon.

Decides names, options and output. What a grant means is `dagdeck_master.api.dag_scope`'s. Gathered by `cli`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dagdeck_core.errors import UserError
from dagdeckd.given_settings import GivenSettings

if TYPE_CHECKING:
    from dagdeck_io.db.engine import Database

LONGEST = 250


@click.group("dag-grants")
def dag_grants() -> None:
    """Who may see or steer single DAGs, beside the roles."""


def _who_and_what(command: Any) -> Any:
    for option in (
        click.option("--user", help="The account that it is for."),
        click.option("--role", help="Or all accounts that have this role (`users set-roles`)."),
        click.option("--dag", help="The DAG's id."),
        click.option("--pattern", help="Or a pattern of ids: `*` stands for any text, `?` for any character."),
        click.option("--tag", help="Or a tag."),
    ):
        command = option(command)
    return click.pass_obj(command)


@dag_grants.command("add")
@click.argument("level", type=click.Choice(("viewer", "operator")))
@_who_and_what
def dag_grants_add(given: GivenSettings, level: str, **named: str | None) -> None:
    """Let an account or a role see (viewer) or also steer (operator) DAGs. A grant that is there gets the new level."""
    import sqlalchemy as sa

    from dagdeck_io.db.tables import dag_grant, user
    from dagdeckd.recording import record_in, this_person

    key = _key(named)
    now = datetime.now(UTC)
    with _opened(given) as database, database.writing() as connection:
        if key["subject_kind"] == "user":
            known = connection.execute(sa.select(user.c.user_id).where(user.c.username == key["subject"]))
            if known.one_or_none() is None:
                raise UserError("there is no such user", value=key["subject"], remedy="See `dagdeckd users list`")
        where = [dag_grant.c[name] == value for name, value in key.items()]
        before = connection.execute(sa.select(dag_grant.c.level).where(*where)).scalar_one_or_none()
        connection.execute(dag_grant.delete().where(*where))
        new = {"grant_id": database.new_id(), "created_at": now, "created_by": this_person().username[:LONGEST]}
        connection.execute(dag_grant.insert().values(**key, level=level, **new))
        told = {"grant": key, "before": {"level": before}, "after": {"level": level}}
        record_in(database, connection, "create_grant", told, now=now)
    click.echo(f"{key['subject_kind']} {key['subject']} is {level} of {key['target_kind']} {key['target']}")


@dag_grants.command("remove")
@_who_and_what
def dag_grants_remove(given: GivenSettings, **named: str | None) -> None:
    """Take a grant back."""
    import sqlalchemy as sa

    from dagdeck_io.db.tables import dag_grant
    from dagdeckd.recording import record_in

    key = _key(named)
    with _opened(given) as database, database.writing() as connection:
        where = [dag_grant.c[name] == value for name, value in key.items()]
        before = connection.execute(sa.select(dag_grant.c.level).where(*where)).scalar_one_or_none()
        if before is None:
            raise UserError(
                "there is no such grant", value=" ".join(key.values()), remedy="See `dagdeckd dag-grants list`"
            )
        connection.execute(dag_grant.delete().where(*where))
        record_in(database, connection, "delete_grant", {"grant": key, "before": {"level": before}})
    click.echo(f"{key['subject_kind']} {key['subject']} has nothing of {key['target_kind']} {key['target']} any more")


@dag_grants.command("list")
@click.pass_obj
def dag_grants_list(given: GivenSettings) -> None:
    """Every grant, and what DAG files say (access_control)."""
    import sqlalchemy as sa

    from dagdeck_io.db.tables import dag_access, dag_grant

    with _opened(given) as database, database.reading() as connection:
        for row in connection.execute(sa.select(dag_grant).order_by(dag_grant.c.subject_kind, dag_grant.c.subject)):
            click.echo("\t".join((row.subject_kind, row.subject, row.level, row.target_kind, row.target)))
        for row in connection.execute(sa.select(dag_access).order_by(dag_access.c.role, dag_access.c.dag_id)):
            click.echo("\t".join(("role", row.role, row.level, "dag", row.dag_id, "(its file says so)")))


def _key(named: dict[str, str | None]) -> dict[str, str]:
    subject_kind, subject = _one_of(named, ("user", "role"))
    target_kind, target = _one_of(named, ("dag", "pattern", "tag"))
    return {"subject_kind": subject_kind, "subject": subject, "target_kind": target_kind, "target": target}


def _one_of(named: dict[str, str | None], kinds: tuple[str, ...]) -> tuple[str, str]:
    """The one of these options that is given. Raises UserError for none, several, or a name that is too long."""
    given = [(kind, value) for kind in kinds if (value := named[kind])]
    options = " or ".join(f"--{kind}" for kind in kinds)
    if len(given) != 1 or len(given[0][1]) > LONGEST:
        raise UserError(f"a grant names one of {options}, of 1 to {LONGEST} characters", field=options)
    return given[0]


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
