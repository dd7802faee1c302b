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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import token, user
from dagdeck_master.api.database import ApiDatabase
from dagdeck_master.api.permissions import Role

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_logger = logging.getLogger(__name__)

ADMIN = "admin"
LOCAL_SCOPE = "local"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockout:
    """After `attempts` failed sign-ins in a row, sign-ins of the user are refused for `duration`."""

    attempts: int
    duration: timedelta


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


def sign_in(database: ApiDatabase, username: str, password: str, *, now: datetime, lockout: Lockout) -> int:
    """The id of the user whose name and password these are.

    Raises SignInRefused. Failures are counted per user; too many in a row lock the user for a while, so
    a password cannot be guessed by trying.
    """
    with database.reading() as connection:
        row = connection.execute(sa.select(user).where(user.c.username == username)).one_or_none()
    locked = row is not None and row.locked_until is not None and row.locked_until > now
    is_right = password_matches(None if row is None or locked else row.password_hash, password)
    if locked and row is not None:
        wait = max(1, int((row.locked_until - now).total_seconds()))
        raise SignInRefused(f"Too many failed attempts; try again in {wait} s", retry_after=wait)
    if row is None or not is_right or not row.is_active:
        if row is not None and not is_right:
            _count_failure(database, row.user_id, now=now, lockout=lockout)
        raise SignInRefused("Invalid username or password")
    with database.writing() as connection:
        connection.execute(
            user.update()
            .where(user.c.user_id == row.user_id)
            .values(failed_attempts=0, locked_until=None, last_login_at=now)
        )
    return int(row.user_id)


def _count_failure(database: ApiDatabase, user_id: int, *, now: datetime, lockout: Lockout) -> None:
    with database.writing() as connection:
        mine = user.c.user_id == user_id
        connection.execute(user.update().where(mine).values(failed_attempts=user.c.failed_attempts + 1))
        failures = connection.execute(sa.select(user.c.failed_attempts).where(mine)).scalar_one()
        if failures >= lockout.attempts:
            connection.execute(user.update().where(mine).values(failed_attempts=0, locked_until=now + lockout.duration))
            _logger.warning("user %s is locked for %s after %s failed sign-ins", user_id, lockout.duration, failures)


def issue_token(
    database: ApiDatabase,
    *,
    user_id: int,
    scope: TokenScope,
    now: datetime,
    lifetime: timedelta | None,
    name: str | None = None,
) -> str:
    """A new token of a user; only its hash is stored. `lifetime` None means that it does not expire.

    A user has a bounded number of tokens: the expired ones go first, then the oldest.
    """
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    with database.writing() as connection:
        connection.execute(
            token.insert().values(
                token_id=database.new_id(),
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
        sa.select(token, user.c.username, user.c.role)
        .join(user, user.c.user_id == token.c.user_id)
        .where(token.c.token_hash == token_hash(secret), token.c.revoked_at.is_(None), user.c.is_active)
    )
    with database.reading() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at >= USE_RECORDED_EVERY:
        _record_use(database, row.token_id, now)
    scope, role = TokenScope.stored(row.scope), Role.named(row.role)
    return Principal(
        user_id=row.user_id,
        username=row.username,
        role=role if scope.limit is None else min(role, scope.limit),
        token_id=row.token_id,
        scope=scope,
        expires_at=row.expires_at,
    )


def _record_use(database: ApiDatabase, token_id: int, now: datetime) -> None:
    """Store when the token was used last. Only for people: a database too busy for it refuses nobody."""
    try:
        with database.writing() as connection:
            connection.execute(token.update().where(token.c.token_id == token_id).values(last_used_at=now))
    except EnvironmentFault as error:
        _logger.debug("the last use of token %s was not recorded: %s", token_id, error)


def revoke_token(database: ApiDatabase, token_id: int, now: datetime) -> None:
    """Make a token useless from now on."""
    with database.writing() as connection:
        connection.execute(token.update().where(token.c.token_id == token_id).values(revoked_at=now))


# ---------------------------------------------------------------- first start, called by dagdeckd


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
