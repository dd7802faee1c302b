"""Operations on rights on single DAGs.

Decides their paths under /api/dagdeck/v1. What a grant means is `dag_scope`'s; what DAG files say (access_control) is
listed beside the grants, and changed in the file only.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Response

from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import dag_access, dag_grant, user
from dagdeck_master.api.audit import audit
from dagdeck_master.api.bodies import GrantBody
from dagdeck_master.api.context import Context, Sending
from dagdeck_master.api.dag_scope import DAG, ROLE, USER
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import RowId
from dagdeck_master.api.models.own import GrantCollectionResponse, GrantResponse
from dagdeck_master.api.reply import documented, no_content, reply

router = APIRouter(prefix="/api/dagdeck/v1", tags=["DagDeck"])
_TOLD = ("subject_kind", "subject", "level", "target_kind", "target")


@router.get("/grants", operation_id="list_grants", **documented(GrantCollectionResponse))
def list_grants(context: Context) -> Response:
    """List who may see or steer which DAGs beside the roles: by grants, and by what DAG files say."""
    granted = sa.select(dag_grant).order_by(dag_grant.c.subject_kind, dag_grant.c.subject, dag_grant.c.grant_id)
    said = sa.select(dag_access).order_by(dag_access.c.role, dag_access.c.dag_id)
    with context.database.reading() as connection:
        found = [_grant(row) for row in connection.execute(granted.limit(context.cap))]
        found += [_said(row) for row in connection.execute(said.limit(context.cap))]
    return reply(GrantCollectionResponse(grants=found, total_entries=len(found)))


@router.post("/grants", operation_id="create_grant", **documented(GrantResponse, 201))
def create_grant(body: GrantBody, context: Context, sending: Sending) -> Response:
    """Let a user, or all who have a role, see or steer DAGs."""
    now = context.clock()
    values = {**body.model_dump(), "grant_id": context.database.new_id(), "created_at": now}
    try:
        with context.database.writing() as connection:
            if body.subject_kind == USER:
                known = sa.select(user.c.user_id).where(user.c.username == body.subject)
                if connection.execute(known).one_or_none() is None:
                    not_found("The user", username=body.subject)
            connection.execute(dag_grant.insert().values(**values, created_by=sending.username))
            audit(
                connection,
                event_log_id=context.database.new_id(),
                event="create_grant",
                sender=sending,
                now=now,
                place={"dag_id": body.target} if body.target_kind == DAG else None,
                extra={"grant_id": values["grant_id"], "after": body.model_dump()},
            )
            made = connection.execute(sa.select(dag_grant).where(dag_grant.c.grant_id == values["grant_id"])).one()
    except DuplicateRow:
        raise ApiProblem(
            409,
            f"{body.subject_kind} {body.subject} has a grant on {body.target_kind} {body.target} already: delete it",
        ) from None
    context.authority.forget()
    return reply(_grant(made), 201)


@router.delete("/grants/{grant_id}", operation_id="delete_grant", **documented(None, 204))
def delete_grant(grant_id: RowId, context: Context, sending: Sending) -> Response:
    """Take a grant back."""
    with context.database.writing() as connection:
        row = connection.execute(sa.select(dag_grant).where(dag_grant.c.grant_id == grant_id)).one_or_none()
        if row is None:
            not_found("The grant", grant_id=grant_id)
        connection.execute(dag_grant.delete().where(dag_grant.c.grant_id == grant_id))
        audit(
            connection,
            event_log_id=context.database.new_id(),
            event="delete_grant",
            sender=sending,
            now=context.clock(),
            place={"dag_id": row.target} if row.target_kind == DAG else None,
            extra={"grant_id": grant_id, "before": {name: getattr(row, name) for name in _TOLD}},
        )
    context.authority.forget()
    return no_content()


def _grant(row: Any) -> GrantResponse:
    return GrantResponse(
        grant_id=row.grant_id,
        **{name: getattr(row, name) for name in _TOLD},
        origin="granted",
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _said(row: Any) -> GrantResponse:
    return GrantResponse(
        grant_id=None,
        subject_kind=ROLE,
        subject=row.role,
        level=row.level,
        target_kind=DAG,
        target=row.dag_id,
        origin="dag_file",
        created_at=None,
        created_by=None,
    )
