"""Who asks, and may they: the check that runs before every operation.

Decides how a bearer token becomes a `Principal` and that the operation's rule (`permissions.RULES`) holds. Does not
store tokens (`users`). Installed on every router by `app.create_app`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dagdeck_master.api import users
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.dag_scope import NOTHING, DagScope
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.errors import ApiProblem, not_found
from dagdeck_master.api.metrics_access import may_scrape
from dagdeck_master.api.permissions import REACH, RULES, Reach, Role
from dagdeck_master.api.users import IssueRecord, Lockout, Principal, SignInRefused, TokenScope

_bearer = HTTPBearer(auto_error=False, description="A token of /auth/token")
REMEMBERED_SECONDS = 1.0
"""A token that was good is good for so long, whatever other processes do to it; this process forgets at once."""
MOST_REMEMBERED = 1_000
SOURCES = {"cli": "cli"}
"""The source that a sign-in's record names, by the token's origin."""
ANY_DAG = "~"
"""Stands for all DAGs in the paths of listings."""
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
ANYBODY = Principal(user_id=0, username="anonymous", role=Role.PUBLIC, token_id=0, scope=TokenScope(origin="nobody"))


class Authority:
    """Signs users in and recognises their tokens."""

    def __init__(
        self,
        *,
        database: ApiDatabase,
        clock: Callable[[], datetime],
        token_lifetime: timedelta,
        longest_lifetime: timedelta,
        lockout: Lockout,
    ) -> None:
        self._database = database
        self._clock = clock
        self._token_lifetime = token_lifetime
        self._longest_lifetime = longest_lifetime
        self._lockout = lockout
        self._remembered: OrderedDict[str, tuple[float, Principal]] = OrderedDict()
        """By the token's hash: until when (monotonic), and whose it is. Filled in the event loop's thread only."""

    def sign_in(
        self,
        username: str,
        password: str,
        *,
        scope: TokenScope,
        lifetime: timedelta | None = None,
        address: str | None = None,
    ) -> str:
        """A new token for the user with this password, no longer good than the settings allow.

        Every attempt is recorded with its `address`. Raises ApiProblem 401 or 429.
        """
        now = self._clock()
        sender = Sender(username=username, source=SOURCES.get(scope.origin, "rest_api"), address=address)
        try:
            user_id = users.sign_in(self._database, username, password, now=now, lockout=self._lockout, sender=sender)
        except SignInRefused as refusal:
            if refusal.retry_after is not None:
                raise ApiProblem(429, str(refusal), headers={"Retry-After": str(refusal.retry_after)}) from None
            raise ApiProblem(401, str(refusal), headers=_CHALLENGE) from None
        return users.issue_token(
            self._database,
            user_id=user_id,
            scope=scope,
            now=now,
            lifetime=self._lifetime(lifetime),
            record=IssueRecord(event=users.SIGN_IN, sender=sender, is_own=True),
        )

    def issue(
        self,
        principal: Principal,
        *,
        scope: TokenScope,
        lifetime: timedelta | None,
        name: str | None,
        record: IssueRecord,
    ) -> str:
        """A further token for someone who is signed in: it may do no more and lasts no longer than the one that it
        was asked for with. Raises ApiProblem 403 for a scope above the caller's."""
        if scope.limit is not None and scope.limit > principal.role:
            raise ApiProblem(
                403,
                f"Forbidden: a token of the scope {scope.limit.stored_name} may do more than yours "
                f"({principal.role.stored_name}); ask for {principal.role.stored_name} or less",
            )
        now = self._clock()
        lifetime = self._lifetime(lifetime)
        if principal.expires_at is not None:
            lifetime = min(lifetime, principal.expires_at - now)
        # Rights on single DAGs go with a token that was not narrowed.
        own = principal.role if principal.grants is None else principal.scope.limit
        limit = own if scope.limit is None else scope.limit
        return users.issue_token(
            self._database,
            user_id=principal.user_id,
            scope=TokenScope(origin=scope.origin, limit=limit),
            now=now,
            lifetime=lifetime,
            name=name,
            record=record,
        )

    def _lifetime(self, wanted: timedelta | None) -> timedelta:
        return min(self._token_lifetime if wanted is None else wanted, self._longest_lifetime)

    def recognise(self, secret: str) -> Principal | None:
        """Whose token this is, or None. Reads the database."""
        return users.principal_of_token(self._database, secret, self._clock())

    async def recognise_soon(self, secret: str) -> Principal | None:
        """The same, from the event loop, without reading what was read within the last second."""
        key = users.token_hash(secret)
        until, principal = self._remembered.get(key, (0.0, None))
        if time.monotonic() < until:
            return principal
        found = await run_sync(self.recognise, secret)
        self._remembered.pop(key, None)
        if found is not None:
            self._remembered[key] = (time.monotonic() + REMEMBERED_SECONDS, found)
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    async def sign_out(self, principal: Principal, sender: Sender) -> None:
        """Make the token that `principal` came with useless."""
        await run_sync(users.revoke_token, self._database, principal.token_id, self._clock(), sender)
        self.forget()

    def forget(self) -> None:
        """Read every token anew: a user or token has changed. Thread-safe."""
        self._remembered.clear()


async def authorise(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Let the request pass when its operation's rule holds, and note who asks.

    Raises ApiProblem 401 without a good token, 403 when the role is too low.
    """
    operation = request.scope["route"].operation_id
    needed = RULES[operation]
    if needed is Role.PUBLIC:
        request.state.principal = ANYBODY
        return
    if operation == "get_metrics" and _is_scrape(request, credentials):
        request.state.principal = ANYBODY
        return
    if credentials is None:
        raise ApiProblem(
            401, "Not authenticated: send a token of /auth/token as `Authorization: Bearer …`", headers=_CHALLENGE
        )
    authority: Authority = request.app.state.context.authority
    principal = await authority.recognise_soon(credentials.credentials)
    if principal is None:
        raise ApiProblem(401, "The token is unknown, revoked or expired: sign in again", headers=_CHALLENGE)
    request.state.principal = principal
    if principal.role < needed:
        request.state.dags = _granted(request, operation, needed, principal)


def _granted(request: Request, operation: str, needed: Role, principal: Principal) -> DagScope | None:
    """What somebody whose role does not reach may touch by rights on single DAGs.

    Raises ApiProblem 403 when that is nothing, 404 for a DAG that the caller may not even see.
    """
    reach, grants = REACH[operation], principal.grants or NOTHING
    if reach is Reach.OWN and needed is Role.VIEWER:
        return DagScope(grants.viewer)
    if reach in (Reach.DAG, Reach.LISTING) and principal.role >= Role.RESTRICTED and needed <= Role.OPERATOR:
        allowed = DagScope(grants.at(needed))
        dag_id = request.path_params.get("dag_id")
        if reach is Reach.LISTING and (dag_id is None or dag_id == ANY_DAG):
            if needed is Role.VIEWER or allowed.dag_ids:
                return allowed
        elif allowed.has(dag_id):
            return allowed
        elif principal.role < Role.VIEWER and dag_id not in grants.viewer:
            not_found("The Dag", dag_id=dag_id)
    narrowed = "'s token" if principal.scope.limit is not None else ""
    raise ApiProblem(
        403,
        f"Forbidden: {operation} needs the role {needed.stored_name}, and {principal.username}{narrowed} is "
        f"{principal.role.stored_name}",
    )


def _is_scrape(request: Request, credentials: HTTPAuthorizationCredentials | None) -> bool:
    """Whether a monitoring system asks, and not a user."""
    token = None if credentials is None else credentials.credentials
    return may_scrape(request, token, request.app.state.context.settings.metrics)
