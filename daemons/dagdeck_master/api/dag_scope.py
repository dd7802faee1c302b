"""Rights on single DAGs: what grants and DAG files give somebody, and how a request is kept to that.

Decides how grants become sets of DAGs, and what an operation may touch of them. Does not decide which operations there
are rules for (`permissions`), and stores nothing. Asked by `auth` for those whose role does not reach; everybody else
has no scope (None) and pays nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import sqlalchemy as sa

from dagdeck_core.dag_access import DagLevel
from dagdeck_io.db.tables import dag, dag_access, dag_grant, dag_tag
from dagdeck_master.api.permissions import Role

USER, ROLE = "user", "role"
"""Whom a grant is for: one user, or all who have a role."""
DAG, PATTERN, TAG = "dag", "pattern", "tag"
"""What it is about: one DAG, those whose id fits a pattern (`*` any text, `?` any character), those with a tag."""


@dataclass(frozen=True, slots=True)
class DagScope:
    """The DAGs that a request may touch."""

    dag_ids: frozenset[str]

    def has(self, dag_id: str | None) -> bool:
        """Whether a DAG is one of them."""
        return dag_id in self.dag_ids


def only(scope: DagScope | None, column: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    """Conditions that keep a statement to the DAGs of a scope; none without one."""
    if scope is None:
        return []
    return [column.in_(sorted(scope.dag_ids)) if scope.dag_ids else sa.false()]


@dataclass(frozen=True, slots=True, kw_only=True)
class DagGrants:
    """What somebody may see and steer, beside the role."""

    viewer: frozenset[str] = frozenset()
    operator: frozenset[str] = frozenset()

    def at(self, role: Role) -> frozenset[str]:
        """The DAGs for which they stand as high as `role`."""
        if role <= Role.VIEWER:
            return self.viewer
        return self.operator if role is Role.OPERATOR else frozenset()

    def narrowed(self, limit: Role | None) -> DagGrants:
        """The same for a token that may do no more than `limit`."""
        return self if limit is not Role.VIEWER else DagGrants(viewer=self.viewer)


NOTHING = DagGrants()


def grants_condition() -> sa.ColumnElement[bool]:
    """Whether a row of `user` has grants of its own, for a statement that reads users."""
    from dagdeck_io.db.tables import user

    return sa.exists().where(dag_grant.c.subject_kind == USER, dag_grant.c.subject == user.c.username)


def read_grants(connection: sa.Connection, username: str, roles: Sequence[str]) -> DagGrants:
    """What is granted to a user and to the roles that the user has, as sets of DAGs."""
    mine = sa.and_(dag_grant.c.subject_kind == USER, dag_grant.c.subject == username)
    if roles:
        mine = sa.or_(mine, sa.and_(dag_grant.c.subject_kind == ROLE, dag_grant.c.subject.in_(roles)))
    found: dict[str, set[str]] = {DagLevel.VIEWER: set(), DagLevel.OPERATOR: set()}
    rows = connection.execute(sa.select(dag_grant).where(mine)).all()
    patterns = [(row.level, row.target.replace("[", "[[]")) for row in rows if row.target_kind == PATTERN]
    tags = {(row.level, row.target) for row in rows if row.target_kind == TAG}
    for row in rows:
        if row.target_kind == DAG:
            found[row.level].add(row.target)
    if patterns:
        for dag_id in connection.execute(sa.select(dag.c.dag_id)).scalars():
            for level, pattern in patterns:
                if fnmatchcase(dag_id, pattern):
                    found[level].add(dag_id)
    if tags:
        named = sa.select(dag_tag.c.name, dag_tag.c.dag_id).where(dag_tag.c.name.in_({name for _, name in tags}))
        for name, dag_id in connection.execute(named):
            for level in DagLevel:
                if (level, name) in tags:
                    found[level].add(dag_id)
    if roles:
        said = sa.select(dag_access.c.dag_id, dag_access.c.level).where(dag_access.c.role.in_(roles))
        for dag_id, level in connection.execute(said):
            found[level].add(dag_id)
    operator = frozenset(found[DagLevel.OPERATOR])
    return DagGrants(viewer=frozenset(found[DagLevel.VIEWER]) | operator, operator=operator)


def hidden_of(connection: sa.Connection, column: sa.ColumnElement[Any], keys: Collection[Any], scope: DagScope) -> bool:
    """Whether any of the runs whose `column` is among `keys` is of a DAG outside the scope."""
    from dagdeck_io.db.tables import dag_run

    statement = sa.select(dag_run.c.dag_id).where(column.in_(list(keys))).distinct()
    return any(not scope.has(dag_id) for dag_id in connection.execute(statement).scalars())
