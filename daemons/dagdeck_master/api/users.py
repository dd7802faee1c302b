"""Users and tokens in the database: passwords by argon2id, opaque random tokens by their SHA-256.

Decides how secrets are stored and compared, how failed sign-ins lock a user for a while, and what a daemon does at its
first start (`ensure_admin`, `issue_local_token`). Does not decide what a role may do (`permissions`). Called by
`auth`, the user routes and `dagdeckd`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import token, user
from dagdeck_master.api.actions import Sender
from dagdeck_master.api.audit import audit
from dagdeck_master.api.dag_scope import DagGrants, grants_condition, read_grants
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.permissions import Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_logger = logging.getLogger(__name__)

ADMIN = "admin"
LOCAL_SCOPE = "local"
SIGN_IN = "sign_in"
LOCKED = "lock_user"
TOKEN_BYTES = 32
USE_RECORDED_EVERY = timedelta(minutes=1)
MAX_TOKENS_PER_USER = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScope:
    """How a token came to be (`origin`), and the most that it may do (`limit`; None: what its user may)."""

    origin: str
    limit: Role | None = None

    @classmethod
    def stored(cls, text: str) -> TokenScope:
        """The scope that a row holds. Raises Bug for a role that does not exist."""
        origin, _, limit = text.partition(":")
        return cls(origin=origin, limit=Role.named(limit) if limit else None)

    def __str__(self) -> str:
        return self.origin if self.limit is None else f"{self.origin}:{self.limit.stored_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a user, known by a token. `role` is the user's, narrowed by the token's scope."""

    user_id: int
    username: str
    role: Role
    token_id: int
    scope: TokenScope
    expires_at: datetime | None = None
    grants: DagGrants | None = None
    """Rights on single DAGs, of those whose role is below operator and who have some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockout:
    """After `attempts` failed sign-ins in a row, sign-ins of the user are refused for `duration`."""

    attempts: int
    duration: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRecord:
    """How the making of a token is recorded: as `event`, by `sender`. `is_own`: the record names the new token as
    the one that was used, since there was none before."""

    event: str
    sender: Sender
    is_own: bool = False


class SignInRefused(Exception):
    """Wrong user or password, or the user is locked or inactive; the sentence tells no more than it should."""

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def _hasher() -> PasswordHasher:
    """Argon2id; imported on first use, since most processes never hash a password."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """`password` as it is stored (argon2id, salted)."""
    return _hasher().hash(password)


def password_matches(stored: str | None, password: str) -> bool:
    """Whether `password` is the stored one; takes as long when there is no such user."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored or _hash_of_nothing(), password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def _hash_of_nothing() -> str:
    """The hash of a random text that nobody knows, with the parameters of `_hasher`."""
    return "$argon2id$v=19$m=19456,t=2,p=1$krKgqLIrHcVL2T/iNkFweQ$0uLNuEwiCq0Jg6ZLh2uh7AeSrwn6uj/3ZJQXJxZlWKk"


def token_hash(secret: str) -> str:
    """What is stored of a token. Tokens are random, so a fast hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def create_user(
    connection: sa.Connection,
    *,
    user_id: int,
    username: str,
    password: str | None,
    role: Role,
    now: datetime,
    **details: Any,
) -> None:
    """Insert a user. Raises DuplicateRow when the name is taken."""
    connection.execute(
        user.insert().values(
            user_id=user_id,
            username=username,
            password_hash=None if password is None else hash_password(password),
            role=role.stored_name,
            created_at=now,
            **details,
        )
    )


def sign_in(
    database: ApiDatabase, username: str, password: str, *, now: datetime, lockout: Lockout, sender: Sender
) -> int:
    """The id of the user whose name and password these are.

    Raises SignInRefused. Failures are counted per user; too many in a row lock the user for a while, so
    a password cannot be guessed by trying. Every refusal is recorded as `sender`'s.
    """
    with database.reading() as connection:
        row = connection.execute(sa.select(user).where(user.c.username == username)).one_or_none()
    locked = row is not None and row.locked_until is not None and row.locked_until > now
    is_right = password_matches(None if row is None or locked else row.password_hash, password)
    if locked and row is not None:
        wait = max(1, int((row.locked_until - now).total_seconds()))
        with database.writing() as connection:
            _record_refusal(database, connection, sender, now, "the user is locked")
        raise SignInRefused(f"Too many failed attempts; try again in {wait} s", retry_after=wait)
    if row is None or not is_right or not row.is_active:
        if row is not None and not is_right:
            _count_failure(database, row.user_id, now=now, lockout=lockout, sender=sender)
        else:
            _refuse_unusable(database, sender, now, is_known=row is not None)
        raise SignInRefused("Invalid username or password")
    with database.writing() as connection:
        connection.execute(
            user.update()
            .where(user.c.user_id == row.user_id)
            .values(failed_attempts=0, locked_until=None, last_login_at=now)
        )
    return int(row.user_id)


def _refuse_unusable(database: ApiDatabase, sender: Sender, now: datetime, *, is_known: bool) -> None:
    """Record a sign-in of somebody inactive or unknown. A name that nobody has is not kept: people now and then type
    their password there."""
    with database.writing() as connection:
        who = sender if is_known else replace(sender, username="")
        _record_refusal(database, connection, who, now, "the user is inactive" if is_known else "there is no such user")


def _record_refusal(
    database: ApiDatabase, connection: sa.Connection, sender: Sender, now: datetime, reason: str
) -> None:
    audit(connection, event_log_id=database.new_id(), event=SIGN_IN, sender=sender, now=now, extra={}, refused=reason)


def _count_failure(database: ApiDatabase, user_id: int, *, now: datetime, lockout: Lockout, sender: Sender) -> None:
    with database.writing() as connection:
        _record_refusal(database, connection, sender, now, "the password is wrong")
        mine = user.c.user_id == user_id
        connection.execute(user.update().where(mine).values(failed_attempts=user.c.failed_attempts + 1))
        failures = connection.execute(sa.select(user.c.failed_attempts).where(mine)).scalar_one()
        if failures >= lockout.attempts:
            until = now + lockout.duration
            connection.execute(user.update().where(mine).values(failed_attempts=0, locked_until=until))
            audit(
                connection,
                event_log_id=database.new_id(),
                event=LOCKED,
                sender=sender,
                now=now,
                extra={"failed_attempts": failures, "locked_until": until},
            )
            _logger.warning("user %s is locked for %s after %s failed sign-ins", user_id, lockout.duration, failures)


def issue_token(
    database: ApiDatabase,
    *,
    user_id: int,
    scope: TokenScope,
    now: datetime,
    lifetime: timedelta | None,
    name: str | None = None,
    record: IssueRecord | None = None,
) -> str:
    """A new token of a user; only its hash is stored. `lifetime` None means that it does not expire.

    A user has a bounded number of tokens: the expired ones go first, then the oldest. With a `record` it is written
    in the same transaction.
    """
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    token_id = database.new_id()
    with database.writing() as connection:
        if record is not None:
            sender = replace(record.sender, token_id=token_id) if record.is_own else record.sender
            audit(
                connection,
                event_log_id=database.new_id(),
                event=record.event,
                sender=sender,
                now=now,
                extra={"token_id": token_id, "name": name, "scope": str(scope)},
            )
        connection.execute(
            token.insert().values(
                token_id=token_id,
                user_id=user_id,
                token_hash=token_hash(secret),
                name=name,
                scope=str(scope),
                created_at=now,
                expires_at=None if lifetime is None else now + lifetime,
            )
        )
        mine = token.c.user_id == user_id
        connection.execute(token.delete().where(mine, token.c.expires_at <= now))
        oldest_kept = connection.execute(
            sa.select(token.c.token_id)
            .where(mine)
            .order_by(token.c.token_id.desc())
            .offset(MAX_TOKENS_PER_USER)
            .limit(1)
        ).scalar_one_or_none()
        if oldest_kept is not None:
            connection.execute(token.delete().where(mine, token.c.token_id <= oldest_kept))
    return secret


def principal_of_token(database: ApiDatabase, secret: str, now: datetime) -> Principal | None:
    """Whose token this is; None when it is unknown, revoked or expired, or its user is inactive."""
    statement = (
        sa.select(token, user.c.username, user.c.role, user.c.roles, grants_condition().label("has_grants"))
        .join(user, user.c.user_id == token.c.user_id)
        .where(token.c.token_hash == token_hash(secret), token.c.revoked_at.is_(None), user.c.is_active)
    )
    with database.reading() as connection:
        row = connection.execute(statement).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            return None
        role = Role.named(row.role)
        grants = None
        if role < Role.OPERATOR and (row.has_grants or row.roles):
            grants = read_grants(connection, row.username, row.roles or [])
    if row.last_used_at is None or now - row.last_used_at >= USE_RECORDED_EVERY:
        _record_use(database, row.token_id, now)
    scope = TokenScope.stored(row.scope)
    return Principal(
        user_id=row.user_id,
        username=row.username,
        role=role if scope.limit is None else min(role, scope.limit),
        token_id=row.token_id,
        scope=scope,
        expires_at=row.expires_at,
        grants=None if grants is None else grants.narrowed(scope.limit),
    )


def _record_use(database: ApiDatabase, token_id: int, now: datetime) -> None:
    """Store when the token was used last. Only for people: a database too busy for it refuses nobody."""
    try:
        with database.writing() as connection:
            connection.execute(token.update().where(token.c.token_id == token_id).values(last_used_at=now))
    except EnvironmentFault as error:
        _logger.debug("the last use of token %s was not recorded: %s", token_id, error)


def revoke_token(database: ApiDatabase, token_id: int, now: datetime, sender: Sender) -> None:
    """Make a token useless from now on."""
    with database.writing() as connection:
        audit(
            connection,
            event_log_id=database.new_id(),
            event="revoke_own_token",
            sender=sender,
            now=now,
            extra={"token_id": token_id},
        )
        connection.execute(token.update().where(token.c.token_id == token_id).values(revoked_at=now))


# ---------------------------------------------------------------- first start, called by dagdeckd

AT_START = Sender(username="dagdeckd", source="dagdeckd")


def ensure_admin(
    database: ApiDatabase, *, password: str | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> int:
    """The id of the user `admin`, who is made when there is no administrator yet.

    Without a `password` nobody can sign in as the new admin by password; the local token is the way in. When
    another administrator exists, its id is returned and nothing is made. Two daemons may call at once.
    """
    found = _first_admin(database)
    if found is not None:
        return found
    user_id = database.new_id()
    try:
        with database.writing() as connection:
            create_user(connection, user_id=user_id, username=ADMIN, password=password, role=Role.ADMIN, now=clock())
            audit(
                connection,
                event_log_id=database.new_id(),
                event="create_user",
                sender=AT_START,
                now=clock(),
                extra={"username": ADMIN, "after": {"role": Role.ADMIN.stored_name}},
            )
    except DuplicateRow:
        other = _first_admin(database)
        if other is None:
            raise EnvironmentFault(
                f"a user {ADMIN!r} exists but is not an administrator",
                transient=False,
                remedy="Give a user the role admin in the table user",
            ) from None
        return other
    return user_id


def _first_admin(database: ApiDatabase) -> int | None:
    statement = (
        sa.select(user.c.user_id)
        .where(user.c.role == Role.ADMIN.stored_name, user.c.is_active)
        .order_by(user.c.user_id)
        .limit(1)
    )
    with database.reading() as connection:
        return connection.execute(statement).scalar_one_or_none()


def issue_local_token(
    database: ApiDatabase, path: Path, *, url: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> str:
    """A token for who owns this machine's account, written to `path` (mode 0600) as {"url", "token"}.

    A token that the file already holds and that is still good is kept (and the URL renewed), so programs that read it
    go on over a restart. Earlier local tokens are otherwise revoked. Raises EnvironmentFault when the file
    cannot be written.
    """
    now = clock()
    kept = _token_in(path)
    if kept is not None:
        principal = principal_of_token(database, kept, now)
        if principal is not None and str(principal.scope) == LOCAL_SCOPE and principal.role is Role.ADMIN:
            _write_private(path, {"url": url, "token": kept})
            return kept
    user_id = ensure_admin(database, clock=clock)
    with database.writing() as connection:
        connection.execute(
            token.update()
            .where(token.c.user_id == user_id, token.c.scope == LOCAL_SCOPE, token.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
    secret = issue_token(
        database,
        user_id=user_id,
        scope=TokenScope(origin=LOCAL_SCOPE),
        now=now,
        lifetime=None,
        name=f"local token in {path.name}",
        record=IssueRecord(event="issue_local_token", sender=AT_START),
    )
    _write_private(path, {"url": url, "token": secret})
    return secret


def _token_in(path: Path) -> str | None:
    """The token that a local token file holds, if it can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    value = found.get("token") if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None


def _write_private(path: Path, content: dict[str, str]) -> None:
    """Replace `path` in one step by a file that only its owner can read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise EnvironmentFault(
            f"the local token cannot be written to {path}: {error.strerror or error}",
            transient=False,
            remedy="Give the process a home directory that it can write to (setting paths.home)",
        ) from error
