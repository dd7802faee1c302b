"""Which rights on which tables the master and the workers need on a MySQL or MariaDB server, and no more.

Decides the rights and their statements. Does not run them (`dagdeckd admin grants`) and makes no passwords. A table
that `WORKER` does not name is closed to workers: accounts, tokens and the audit log among them. The contract tests
of the stores run with exactly these rights, so a statement that needs another one fails there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from pymysql.converters import escape_string

from dagdeck_core.errors import UserError
from dagdeck_io.db.tables import metadata

VERSION_TABLE = "alembic_version"
LONGEST_ACCOUNT = 32
"""Characters of an account's name on MySQL."""


class Role(StrEnum):
    """Whose account it is."""

    MASTER = "master"
    WORKER = "worker"


_READ = ("SELECT",)
_APPEND = ("SELECT", "INSERT")
_INSERT = ("INSERT",)
_CHANGE = ("SELECT", "UPDATE")
_EMPTY = ("SELECT", "DELETE")
_REPLACE = ("SELECT", "INSERT", "DELETE")
_WRITE = ("SELECT", "INSERT", "UPDATE", "DELETE")

WORKER = {
    # What it reads: which code runs, for which run, with which variables and connections.
    "asset": _READ,
    "asset_alias": _READ,
    "asset_alias_asset": _READ,
    "asset_event": _READ,
    "asset_event_alias": _READ,
    "bundle": _READ,
    "bundle_content": _READ,
    "bundle_file": _READ,
    "bundle_key_succession": _READ,
    "bundle_signature": _READ,
    "connection": _READ,
    "dag": _READ,
    "dag_run": _READ,
    "dag_run_asset_event": _READ,
    "dag_version": _READ,
    "lease": _READ,
    # What it claims and ends.
    "ready": _EMPTY,
    "revocation": _EMPTY,
    "task_instance": _CHANGE,
    "trigger": _WRITE,
    "work": ("SELECT", "INSERT", "UPDATE"),
    "worker": ("SELECT", "INSERT", "UPDATE"),
    # What it leaves behind.
    "action": _APPEND,
    "asset_change": _INSERT,
    "asset_state_store": _REPLACE,
    "attention": ("INSERT", "DELETE"),
    "hitl_detail": _REPLACE,
    "hitl_detail_history": _REPLACE,
    "id_node": ("SELECT", "INSERT", "UPDATE"),
    "log_chunk": _INSERT,
    "problem": _WRITE,
    "rendered_fields": _REPLACE,
    "task_instance_history": _APPEND,
    "task_state_store": _REPLACE,
    "transition": _INSERT,
    "trigger_event": _REPLACE,
    "variable": _WRITE,
    "xcom": _REPLACE,
}
"""Table → rights of a worker's account."""
_MASTER_OWN = {
    "audit_chain": _REPLACE,
    "audit_log": _REPLACE,
    "audit_seal": _REPLACE,
    VERSION_TABLE: _READ,
}
"""What differs from all four rights: nobody changes an audit record or a link of its chain (retention deletes)."""


def rights(role: Role) -> dict[str, tuple[str, ...]]:
    """Table → rights of this role's account, in the tables' order."""
    if role is Role.WORKER:
        return dict(sorted((WORKER | {VERSION_TABLE: _READ}).items()))
    return dict(sorted((dict.fromkeys(metadata.tables, _WRITE) | _MASTER_OWN).items()))


def statements(
    role: Role, *, database: str, account: str, host: str, password: str | None, reset: bool = False
) -> Iterator[str]:
    """The SQL that makes the account and gives it its rights. Harmless when it has them.

    `password` None leaves the password of an account that exists. With `reset` all other rights are taken away first.
    Raises UserError for a name that no account can have.
    """
    if not account or len(account) > LONGEST_ACCOUNT:
        raise UserError(f"an account's name has 1 to {LONGEST_ACCOUNT} characters", field="--name", value=account)
    name = f"{_quoted(account)}@{_quoted(host)}"
    if password is not None:
        yield f"CREATE USER IF NOT EXISTS {name} IDENTIFIED BY {_quoted(password)}"
        yield f"ALTER USER {name} IDENTIFIED BY {_quoted(password)}"
    if reset:
        yield f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {name}"
    for table, verbs in rights(role).items():
        yield f"GRANT {', '.join(verbs)} ON {_identifier(database)}.{_identifier(table)} TO {name}"


def script(lines: Iterable[str]) -> str:
    """The statements as text for the server's command line client."""
    return "".join(f"{line};\n" for line in lines)


def _quoted(text: str) -> str:
    return f"'{escape_string(text)}'"


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
