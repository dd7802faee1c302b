"""The administrative commands of `dagdeckd`: the schema, settings, users. They work without any daemon.

Decides their names and output. Does not decide what they do (`dagdeck_io.db.migrations`, `dagdeck_io.settings`,
`dagdeckd.users`). Gathered by `cli`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from dagdeckd.exit_codes import ExitCode
from dagdeckd.given_settings import GivenSettings


@click.group()
def db() -> None:
    """The metadata database's schema."""


@db.command("upgrade")
@click.pass_obj
def db_upgrade(given: GivenSettings) -> None:
    """Bring the schema up to this version; an empty database gets all tables."""
    from dagdeck_io.db import migrations

    settings = given.settings()
    url = settings.database.address
    before = migrations.current(url)
    migrations.upgrade(url)
    now = migrations.current(url)
    if now != before:
        from dagdeckd.recording import record_afterwards

        record_afterwards(settings, "db_upgrade", {"before": {"revision": before}, "after": {"revision": now}})
    click.echo(f"the database is at revision {now}")


@db.command("check")
@click.option("--schema-only", is_flag=True, help="Leave out the rows, which take long in a large database.")
@click.pass_obj
def db_check(given: GivenSettings, schema_only: bool) -> int:
    """Say whether schema, server and rows are as this version needs them; the exit code is 3 when they are not.

    Changes nothing, and may be run while the cluster works.
    """
    from dagdeck_io.db import migrations
    from dagdeck_io.db.inspection import inspect_database

    url = given.settings().database.address
    flaws = list(inspect_database(url, rows=not schema_only))
    for flaw in flaws:
        click.echo(f"{'FAIL' if flaw.is_grave else 'warn':<5} {flaw.text}\n      → {flaw.remedy}")
    if any(flaw.is_grave for flaw in flaws):
        return ExitCode.ENVIRONMENT
    click.echo(f"the database is at revision {migrations.current(url)}, as this version needs it")
    return ExitCode.OK


@db.command("current")
@click.pass_obj
def db_current(given: GivenSettings) -> None:
    """Print the schema's revision; an empty line for an empty database."""
    from dagdeck_io.db import migrations

    click.echo(migrations.current(given.settings().database.address) or "")


@db.command("estimate")
@click.pass_obj
def db_estimate(given: GivenSettings) -> None:
    """Print how many rows each table holds, the largest first."""
    from dagdeck_io.db.copying import estimate

    for name, rows in estimate(given.settings().database.address):
        click.echo(f"{rows:>14,}  {name}")


@db.command("backup")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_obj
def db_backup(given: GivenSettings, target: Path) -> None:
    """Copy an embedded database to a new file while it is used. A server's has mariadb-dump or mysqldump for that."""
    from dagdeck_io.db.backup import back_up
    from dagdeckd.recording import record_afterwards

    settings = given.settings()
    size = back_up(settings.database.address, target)
    record_afterwards(settings, "db_backup", {"file": str(target), "bytes": size})
    click.echo(f"{target} holds {size:,} bytes. It needs the key of this cluster (security.secret_key) to be read")


@db.command("copy")
@click.option("--from", "source", required=True, metavar="URL", help="The database to copy, such as a SQLite file's.")
@click.option("--to", "target", metavar="URL", help="An empty database; default: database.url.")
@click.pass_obj
def db_copy(given: GivenSettings, source: str, target: str | None) -> None:
    """Copy everything into an empty database: from standalone to a server. An interrupted copy goes on."""
    from dagdeck_io.db.copying import copy_database
    from dagdeck_io.db.url import parse_url
    from dagdeckd.recording import record_afterwards

    def tell(table: str, copied: int, total: int) -> None:
        click.echo(f"{table}: {copied:,} of {total:,}")

    settings = given.settings()
    into = target or settings.database.address
    rows = copy_database(source, into, tell)
    record_afterwards(settings, "db_copy", {"from": parse_url(source).shown, "rows": rows}, address=into)
    click.echo(f"{rows:,} rows are copied. Give the new cluster the old one's key (security.secret_key)")


@db.command("purge")
@click.option("--dry-run", is_flag=True, help="Only say how many rows would go.")
@click.option("--standalone", is_flag=True, help="With the defaults of `standalone`.")
@click.pass_obj
def db_purge(given: GivenSettings, dry_run: bool, standalone: bool) -> None:
    """Delete what is older than the settings of section retention say. A running cluster does that by itself."""
    from dagdeckd.retention import preview, purge

    settings = given.settings(standalone=standalone)
    if dry_run:
        for line in preview(settings):
            click.echo(line)
        return
    deleted = purge(settings, lambda table, count: click.echo(f"{table}: {count:,}", err=True))
    from dagdeckd.recording import record_afterwards

    record_afterwards(settings, "db_purge", {"deleted": deleted})
    click.echo(f"{sum(deleted.values()):,} rows are deleted")


@db.group("archive")
def db_archive() -> None:
    """What was archived before it was deleted (retention.archive_folder)."""


_FOLDER = click.option("--folder", type=click.Path(path_type=Path), help="The archive; default: the settings'.")
_DAY = click.DateTime(["%Y-%m-%d"])


@db_archive.command("list")
@click.argument("table", required=False)
@_FOLDER
@click.pass_obj
def db_archive_list(given: GivenSettings, table: str | None, folder: Path | None) -> None:
    """Tables and days with the number of files and their bytes."""
    from dagdeckd.retention import archive_folder, archive_lines

    for line in archive_lines(archive_folder(given.settings(), folder), table):
        click.echo(line)


@db_archive.command("show")
@click.argument("table")
@click.option("--from", "first", type=_DAY, help="First day (of the rows, not of their deletion).")
@click.option("--to", "last", type=_DAY, help="Last day.")
@click.option("--match", multiple=True, metavar="COLUMN=VALUE", help="Only rows with this value; repeatable.")
@_FOLDER
@click.pass_obj
def db_archive_show(
    given: GivenSettings,
    table: str,
    first: datetime | None,
    last: datetime | None,
    match: tuple[str, ...],
    folder: Path | None,
) -> None:
    """Archived rows of a table as JSON lines."""
    from dagdeckd.retention import archive_content, archive_folder

    wanted = dict(each.partition("=")[::2] for each in match)
    found = archive_content(
        archive_folder(given.settings(), folder), table, first and first.date(), last and last.date(), wanted
    )
    for line in found:
        click.echo(line)


@click.group()
def config() -> None:
    """Settings: what they mean and where their values come from."""


@config.command("list")
@click.option("--standalone", is_flag=True, help="With the defaults of `standalone`.")
@click.option("--changed", is_flag=True, help="Only settings that are not at their default.")
@click.pass_obj
def config_list(given: GivenSettings, standalone: bool, changed: bool) -> None:
    """Every setting with its value and where that comes from; secrets are masked."""
    from dagdeck_io.settings.render import render_table

    click.echo(render_table(given.settings(standalone=standalone), changed_only=changed), nl=False)


@config.command("template")
def config_template() -> None:
    """Print a commented config file with all defaults."""
    from dagdeck_io.settings.render import render_template

    click.echo(render_template(), nl=False)


@config.command("key")
def config_key() -> None:
    """Print a new key for security.secret_key; every process of a cluster needs the same one."""
    from dagdeck_io.secrets import generate_key

    click.echo(generate_key())


@click.command()
@click.option("--standalone", is_flag=True, help="With the defaults of `standalone`.")
@click.option("-o", "--output", type=click.Choice(("lines", "json")), default="lines", help="Form of the output.")
@click.pass_obj
def doctor(given: GivenSettings, standalone: bool, output: str) -> int:
    """Look at this machine and its cluster, and say what to do. The exit code is 3 when something does not work."""
    from dagdeckd.doctor import examine
    from dagdeckd.doctor.findings import Level, as_json, as_lines, worst

    found = []
    for finding in examine(given.settings(standalone=standalone)):
        found.append(finding)
        if output == "lines":
            click.echo("\n".join(as_lines(finding)))
    if output == "json":
        click.echo(as_json(found))
    return ExitCode.ENVIRONMENT if worst(found) is Level.ERROR else ExitCode.OK


@click.command()
@click.argument("component", type=click.Choice(("scheduler", "dag-processor", "worker")))
@click.option("--name", help="Of a worker: this one; default: any.")
@click.pass_obj
def health(given: GivenSettings, component: str, name: str | None) -> int:
    """Say whether a component of the cluster works, for probes. The exit code is 3 when it does not."""
    from dagdeckd.health import complaint_about

    complaint = complaint_about(given.settings(), component, name)
    click.echo(complaint or "healthy")
    return ExitCode.OK if complaint is None else ExitCode.ENVIRONMENT


@click.group()
def users() -> None:
    """Accounts of the control API."""


_ROLE = click.Choice(("restricted", "viewer", "operator", "admin"))
_FROM_STDIN = "Read the password from the first line of standard input."


@users.command("add")
@click.argument("username")
@click.option("--role", type=_ROLE, required=True)
@click.option("--password-stdin", is_flag=True, help=_FROM_STDIN)
@click.pass_obj
def users_add(given: GivenSettings, username: str, role: str, password_stdin: bool) -> None:
    """Make an account."""
    from dagdeckd.users import add_user, read_password

    add_user(given.settings(), username, role, read_password(password_stdin))
    click.echo(f"{username} may sign in as {role}")


@users.command("set-password")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help=_FROM_STDIN)
@click.pass_obj
def users_set_password(given: GivenSettings, username: str, password_stdin: bool) -> None:
    """Change a password; ends the account's tokens and lifts a lock."""
    from dagdeckd.users import read_password, set_password

    set_password(given.settings(), username, read_password(password_stdin))
    click.echo(f"{username} has a new password")


@users.command("set-role")
@click.argument("username")
@click.argument("role", type=_ROLE)
@click.pass_obj
def users_set_role(given: GivenSettings, username: str, role: str) -> None:
    """Change what an account may do; ends its tokens."""
    from dagdeckd.users import change_user

    change_user(given.settings(), username, role=role)
    click.echo(f"{username} is {role} now")


@users.command("set-roles")
@click.argument("username")
@click.argument("names", nargs=-1, metavar="[ROLE]...")
@click.pass_obj
def users_set_roles(given: GivenSettings, username: str, names: tuple[str, ...]) -> None:
    """Set the roles by which grants and DAG files (access_control) give an account rights on DAGs; ends its tokens.

    Without a ROLE it has none any more.
    """
    from dagdeckd.users import change_user

    change_user(given.settings(), username, roles=sorted(set(names)) or None)
    click.echo(f"{username} has {', '.join(sorted(set(names))) or 'no roles'}")


@users.command("deactivate")
@click.argument("username")
@click.pass_obj
def users_deactivate(given: GivenSettings, username: str) -> None:
    """Let an account do nothing more; its name stays in the audit log."""
    from dagdeckd.users import change_user

    change_user(given.settings(), username, is_active=False)
    click.echo(f"{username} is inactive")


@users.command("list")
@click.pass_obj
def users_list(given: GivenSettings) -> None:
    """Name, role and state of every account."""
    from dagdeckd.users import list_users

    for row in list_users(given.settings()):
        click.echo("\t".join(row))
