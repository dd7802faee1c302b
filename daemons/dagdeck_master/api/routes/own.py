"""DagDeck's own operations: workers, queues, actions, users, a DAG's structure.

Decides their paths under /api/dagdeck/v1. Draining a worker goes through the door; users and tokens are the API's own.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Response

from dagdeck_core.actions import SetWorkerDrain
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import action, token, user
from dagdeck_master.api.audit import audit, before_and_after
from dagdeck_master.api.bodies import UserBody, UserPatchBody
from dagdeck_master.api.context import Caller, Context, Sending
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.filters import Int, RowId
from dagdeck_master.api.models.own import (
    ActionResponse,
    QueueCollectionResponse,
    QueueResponse,
    StructureResponse,
    UserCollectionResponse,
    UserResponse,
    WorkerCollectionResponse,
    WorkerResponse,
)
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.queries import cluster
from dagdeck_master.api.queries.structure import structure_of
from dagdeck_master.api.reply import documented, reply
from dagdeck_master.api.users import create_user as insert_user
from dagdeck_master.api.users import hash_password

router = APIRouter(prefix="/api/dagdeck/v1", tags=["DagDeck"])

# ---------------------------------------------------------------- workers, queues


@router.get("/workers", operation_id="list_workers", **documented(WorkerCollectionResponse))
def list_workers(context: Context, include_gone: bool = False) -> Response:
    """List workers with their last sample; on request also those that stopped or were lost."""
    samples = context.live.samples()
    with context.database.reading() as connection:
        found = cluster.list_workers(connection, samples, include_gone=include_gone, limit=context.cap)
    return reply(WorkerCollectionResponse(workers=found, total_entries=len(found)))


@router.post("/workers/{worker_id}/drain", operation_id="drain_worker", **documented(WorkerResponse))
async def drain_worker(worker_id: RowId, context: Context, sending: Sending) -> Response:
    """Let a worker take nothing new; what it runs goes on."""
    await context.door.carry_out_one(SetWorkerDrain(worker_id=worker_id, drain=True), sending)
    return reply(await context.read(lambda c: cluster.get_worker(c, worker_id, context.live.samples())))


@router.post("/workers/{worker_id}/resume", operation_id="resume_worker", **documented(WorkerResponse))
async def resume_worker(worker_id: RowId, context: Context, sending: Sending) -> Response:
    """Let a draining worker take work again."""
    await context.door.carry_out_one(SetWorkerDrain(worker_id=worker_id, drain=False), sending)
    return reply(await context.read(lambda c: cluster.get_worker(c, worker_id, context.live.samples())))


@router.get("/queues", operation_id="list_queues", **documented(QueueCollectionResponse))
def list_queues(context: Context) -> Response:
    """List the queues that workers serve, and how many hints wait in each."""
    with context.database.reading() as connection:
        served = cluster.served_queues(connection)
    found = [QueueResponse(name=name, depth=context.live.depth(name), workers=served[name]) for name in sorted(served)]
    return reply(QueueCollectionResponse(queues=found, total_entries=len(found)))


# ---------------------------------------------------------------- DAGs


@router.get("/dags/{dag_id}/structure", operation_id="get_dag_structure", **documented(StructureResponse))
def get_dag_structure(
    dag_id: str, context: Context, version_number: Int | None = None, dag_run_id: str | None = None
) -> Response:
    """Get the tasks, groups and edges of a version: by its number, that of a run, or else the newest."""
    with context.database.reading() as connection:
        return reply(structure_of(connection, context.specs, dag_id, version_number=version_number, run_id=dag_run_id))


# ---------------------------------------------------------------- actions


@router.get("/actions/{action_id}", operation_id="get_action", **documented(ActionResponse))
def get_action(action_id: RowId, context: Context, caller: Caller) -> Response:
    """Get where an action stands; viewers see their own ones only."""
    with context.database.reading() as connection:
        row = connection.execute(sa.select(action).where(action.c.action_id == action_id)).one_or_none()
    if row is None or (caller.role < Role.OPERATOR and row.actor != caller.username):
        not_found("The action", action_id=action_id)
    return reply(
        ActionResponse(
            action_id=row.action_id,
            kind=row.kind,
            state=row.state,
            actor=row.actor,
            source=row.source,
            requested_at=row.requested_at,
            ended_at=row.ended_at,
            refused=row.refused,
            result=row.result,
        )
    )


# ---------------------------------------------------------------- users


@router.get("/users", operation_id="list_users", **documented(UserCollectionResponse))
def list_users(context: Context) -> Response:
    """List users."""
    with context.database.reading() as connection:
        rows = connection.execute(sa.select(user).order_by(user.c.username).limit(context.cap))
        found = [_user(row) for row in rows]
    return reply(UserCollectionResponse(users=found, total_entries=len(found)))


@router.post("/users", operation_id="create_user", **documented(UserResponse, 201))
def create_user(body: UserBody, context: Context, sending: Sending) -> Response:
    """Create a user."""
    now = context.clock()
    try:
        with context.database.writing() as connection:
            insert_user(
                connection,
                user_id=context.database.new_id(),
                username=body.username,
                password=body.password,
                role=Role.named(body.role),
                now=now,
                roles=sorted(set(body.roles)) or None,
                display_name=body.display_name,
                email=body.email,
            )
            made = _user_row(connection, body.username)
            audit(
                connection,
                event_log_id=context.database.new_id(),
                event="create_user",
                sender=sending,
                now=now,
                extra={
                    "username": body.username,
                    **before_and_after(None, _known_of(made), fields=_USER_FIELDS, secret=("password",)),
                },
            )
            return reply(_user(made), 201)
    except DuplicateRow:
        raise ApiProblem(409, f"A user named `{body.username}` already exists") from None


@router.patch("/users/{username}", operation_id="patch_user", **documented(UserResponse))
def patch_user(username: str, body: UserPatchBody, context: Context, sending: Sending) -> Response:
    """Change a user's password, role, roles or activity; that ends the user's tokens."""
    now = context.clock()
    changes: dict[str, Any] = {}
    if body.password is not None:
        changes |= {"password_hash": hash_password(body.password), "failed_attempts": 0, "locked_until": None}
    if body.role is not None:
        changes["role"] = Role.named(body.role).stored_name
    if body.roles is not None:
        changes["roles"] = sorted(set(body.roles)) or None
    if body.is_active is not None:
        changes["is_active"] = body.is_active
    with context.database.writing() as connection:
        row = _user_row(connection, username)
        demotes = changes.get("role", row.role) != Role.ADMIN.stored_name or changes.get("is_active") is False
        if row.role == Role.ADMIN.stored_name and demotes and _other_admins(connection, row.user_id) == 0:
            raise ApiProblem(409, f"{username} is the last active administrator and must stay one")
        if changes:
            connection.execute(user.update().where(user.c.user_id == row.user_id).values(**changes))
        if changes and row.username != sending.username:
            mine = (token.c.user_id == row.user_id) & token.c.revoked_at.is_(None)
            connection.execute(token.update().where(mine).values(revoked_at=now))
        now_there = _user_row(connection, username)
        told = before_and_after(_known_of(row), _known_of(now_there), fields=_USER_FIELDS, secret=("password",))
        audit(
            connection,
            event_log_id=context.database.new_id(),
            event="patch_user",
            sender=sending,
            now=now,
            extra={"username": username, **told},
        )
        answer = reply(_user(now_there))
    context.authority.forget()
    return answer


def _user_row(connection: sa.Connection, username: str) -> Any:
    row = connection.execute(sa.select(user).where(user.c.username == username)).one_or_none()
    if row is None:
        not_found("The user", username=username)
    return row


_USER_FIELDS = ("role", "roles", "display_name", "email", "is_active", "password")


def _known_of(row: Any) -> dict[str, Any]:
    """What a record tells of a user; of the password only whether it changed."""
    return {
        "role": row.role,
        "roles": row.roles or [],
        "display_name": row.display_name,
        "email": row.email,
        "is_active": bool(row.is_active),
        "password": row.password_hash,
    }


def _other_admins(connection: sa.Connection, user_id: int) -> int:
    """How many active administrators there are beside this user."""
    statement = sa.select(sa.func.count()).where(
        user.c.role == Role.ADMIN.stored_name, user.c.is_active, user.c.user_id != user_id
    )
    return int(connection.execute(statement).scalar_one())


def _user(row: Any) -> UserResponse:
    return UserResponse(
        username=row.username,
        role=row.role,
        roles=row.roles or [],
        display_name=row.display_name,
        email=row.email,
        is_active=row.is_active,
        created_at=row.created_at,
        last_login_at=row.last_login_at,
        locked_until=row.locked_until,
    )
