"""Operations on the caller's own tokens: make one that may do less, list them, make one useless.

Decides their paths under /api/dagdeck/v1. What a token may do is `users`' and `auth`'s.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Response

from dagdeck_io.db.tables import token
from dagdeck_master.api.audit import audit
from dagdeck_master.api.bodies import TokenBody
from dagdeck_master.api.context import Caller, Context, Sending
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import RowId
from dagdeck_master.api.models.own import NewTokenResponse, TokenCollectionResponse, TokenResponse
from dagdeck_master.api.permissions import Role
from dagdeck_master.api.reply import documented, no_content, reply
from dagdeck_master.api.users import IssueRecord, TokenScope, token_hash

router = APIRouter(prefix="/api/dagdeck/v1", tags=["DagDeck"])
ISSUED = "issued"
"""The origin of tokens that were made by somebody who was signed in."""


@router.get("/tokens", operation_id="list_own_tokens", **documented(TokenCollectionResponse))
def list_own_tokens(context: Context, caller: Caller) -> Response:
    """List one's own tokens that are still good."""
    still_good = sa.or_(token.c.expires_at.is_(None), token.c.expires_at > context.clock())
    statement = (
        sa.select(token)
        .where(token.c.user_id == caller.user_id, token.c.revoked_at.is_(None), still_good)
        .order_by(token.c.token_id.desc())
        .limit(context.cap)
    )
    with context.database.reading() as connection:
        found = [_token(row) for row in connection.execute(statement)]
    return reply(TokenCollectionResponse(tokens=found, total_entries=len(found)))


@router.post("/tokens", operation_id="create_own_token", **documented(NewTokenResponse, 201))
def create_own_token(body: TokenBody, context: Context, caller: Caller, sending: Sending) -> Response:
    """Make a token that may do what the caller may, or less, and lasts no longer."""
    secret = context.authority.issue(
        caller,
        scope=TokenScope(origin=ISSUED, limit=None if body.scope is None else Role.named(body.scope)),
        lifetime=None if body.lifetime is None else timedelta(seconds=body.lifetime),
        name=body.name,
        record=IssueRecord(event="create_own_token", sender=sending),
    )
    with context.database.reading() as connection:
        made = connection.execute(sa.select(token).where(token.c.token_hash == token_hash(secret))).one()
    return reply(NewTokenResponse(access_token=secret, token=_token(made)), 201)


@router.delete("/tokens/current", operation_id="revoke_own_token", **documented(None, 204))
async def revoke_own_token(context: Context, caller: Caller, sending: Sending) -> Response:
    """Make the token that this request came with useless: sign out."""
    await context.authority.sign_out(caller, sending)
    return no_content()


@router.delete("/tokens/{token_id}", operation_id="revoke_one_own_token", **documented(None, 204))
def revoke_one_own_token(token_id: RowId, context: Context, caller: Caller, sending: Sending) -> Response:
    """Make one of one's own tokens useless."""
    now = context.clock()
    mine = (token.c.token_id == token_id) & (token.c.user_id == caller.user_id) & token.c.revoked_at.is_(None)
    with context.database.writing() as connection:
        if connection.execute(token.update().where(mine).values(revoked_at=now)).rowcount == 0:
            not_found("The token", token_id=token_id)
        audit(
            connection,
            event_log_id=context.database.new_id(),
            event="revoke_one_own_token",
            sender=sending,
            now=now,
            extra={"token_id": token_id},
        )
    context.authority.forget()
    return no_content()


def _token(row: Any) -> TokenResponse:
    scope = TokenScope.stored(row.scope)
    return TokenResponse(
        token_id=row.token_id,
        name=row.name,
        origin=scope.origin,
        scope=None if scope.limit is None else scope.limit.stored_name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
