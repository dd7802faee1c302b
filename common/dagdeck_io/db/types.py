"""Column types: how instants, JSON, enums, specs and large texts are stored on each database.

Decides the representation; nobody above sees it. Instants are DATETIME(6) in UTC on MySQL and MariaDB and
integer microseconds since 1970 on SQLite, aware UTC in Python. Does not decide which columns exist (tables.py)
nor how hot statements write literals (dialects.py, which uses the same functions).
Called by tables.py, the migrations, and everyone who reads through SQLAlchemy.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from dagdeck_core.errors import Bug
from dagdeck_core.spec import DagSpec, decode_spec, encode_spec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_json_encode = msgspec.json.Encoder(decimal_format="number").encode
_json_decode = msgspec.json.Decoder().decode
MYSQL_NAMES = ("mysql", "mariadb")

E = TypeVar("E", bound=StrEnum)


def to_micros(value: datetime) -> int:
    """Microseconds since 1970 of an aware datetime. Raises Bug for a naive one."""
    if value.tzinfo is None:
        raise Bug(f"a datetime without zone reached the database: {value!r}")
    return (value - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The aware UTC datetime of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def to_naive_utc(value: datetime) -> datetime:
    """The naive UTC datetime that DATETIME(6) stores. Raises Bug for a naive input."""
    if value.tzinfo is None:
        raise Bug(f"a datetime without zone reached the database: {value!r}")
    return value.astimezone(UTC).replace(tzinfo=None)


def to_json(value: Any) -> str:
    """`value` as the JSON text that is stored."""
    return _json_encode(value).decode()


def storable_json(value: Any) -> str:
    """`value` as JSON text; what JSON cannot say is stored as the text that people would see."""
    try:
        return to_json(value)
    except (TypeError, ValueError, OverflowError):
        return to_json(msgspec.to_builtins(value, str_keys=True, enc_hook=str))


def from_json(text: str | bytes) -> Any:
    """The value of stored JSON text."""
    return _json_decode(text)


def pack_spec(spec: DagSpec) -> bytes:
    """`spec` as it is stored: canonical JSON, compressed."""
    return zlib.compress(encode_spec(spec), 6)


def unpack_spec(data: bytes) -> DagSpec:
    """The spec stored as `data`. Raises UserError when a newer DagDeck wrote it."""
    return decode_spec(zlib.decompress(data))


class UtcDateTime(TypeDecorator[datetime]):
    """An instant with microseconds, aware UTC in Python."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """DATETIME(6) on MySQL and MariaDB, an integer on SQLite."""
        if dialect.name in MYSQL_NAMES:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.BigInteger())
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To what the database stores."""
        if value is None:
            return None
        return to_micros(value) if dialect.name == "sqlite" else to_naive_utc(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From what the database stores."""
        if value is None:
            return None
        return from_micros(value) if isinstance(value, int) else value.replace(tzinfo=UTC)


class JsonText(TypeDecorator[Any]):
    """A JSON value as text, so that it is the same on every database. SQL NULL is None."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """LONGTEXT on MySQL and MariaDB, whose TEXT ends at 64 KB."""
        return dialect.type_descriptor(mysql.LONGTEXT() if dialect.name in MYSQL_NAMES else sa.Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To JSON text."""
        return None if value is None else to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From JSON text."""
        return None if value is None else from_json(value)


class EnumText(TypeDecorator[E], Generic[E]):
    """A StrEnum by its value; reading an unknown value is an error."""

    impl = sa.String
    cache_ok = True

    def __init__(self, enum: type[E], length: int = 24) -> None:
        super().__init__(length)
        self.enum = enum

    def process_bind_param(self, value: E | str | None, dialect: Dialect) -> str | None:
        """To the member's value; a plain string must be one."""
        return None if value is None else self.enum(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> E | None:
        """To the member."""
        return None if value is None else self.enum(value)


class SpecBlob(TypeDecorator[DagSpec]):
    """A DAG spec as compressed canonical JSON."""

    impl = sa.LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """LONGBLOB on MySQL and MariaDB."""
        return dialect.type_descriptor(mysql.LONGBLOB() if dialect.name in MYSQL_NAMES else sa.LargeBinary())

    def process_bind_param(self, value: DagSpec | None, dialect: Dialect) -> bytes | None:
        """To bytes."""
        return None if value is None else pack_spec(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> DagSpec | None:
        """From bytes."""
        return None if value is None else unpack_spec(value)


def long_text() -> TypeEngine[str]:
    """Text of any length."""
    return sa.Text().with_variant(mysql.LONGTEXT(), *MYSQL_NAMES)


def long_blob() -> TypeEngine[bytes]:
    """Bytes of any length."""
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL_NAMES)


def big_id() -> TypeEngine[int]:
    """A 64-bit id; on SQLite the alias of its rowid when it is the primary key."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
