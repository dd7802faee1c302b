"""The bundle store: immutable snapshots of DAG code, content-addressed, with the signatures that vouch for them.

Decides how manifests, contents and signatures are stored, and that no content grows past its declared size when it is
read. Does not scan, verify or unpack folders (`dagdeck_io.bundles`). Implements `dagdeck_core.ports.BundleStore`;
made by `Database.bundle_store`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dagdeck_core.errors import Bug, EnvironmentFault, UserError
from dagdeck_core.ports import BundleFile, BundleManifest, BundleSignature, KeySuccession
from dagdeck_io.db.access import DatabaseAccess
from dagdeck_io.db.faults import DuplicateRow
from dagdeck_io.db.tables import PATH, bundle, bundle_content, bundle_file, bundle_key_succession, bundle_signature

GRACE = timedelta(days=1)
"""What was stored or relied on within this time is not removed, even when nobody is pinned to it (yet)."""
_RENEW = GRACE / 2
_ATTEMPTS = 3
_AT_ONCE = 500
_BYTES_AT_ONCE = 4 << 20


@dataclass(slots=True, kw_only=True)
class SqlBundleStore:
    """See the port. Thread-safe."""

    database: DatabaseAccess

    def put(self, manifest: BundleManifest, read: Callable[[str], bytes]) -> None:
        """Store a manifest and the contents nobody has yet. What is there already is safe from removal for a while."""
        if self._renew(manifest.name, manifest.version):
            return
        for file in manifest.files:
            if len(file.path) > PATH:
                raise UserError("the path is too long", file=file.path, remedy=f"Use at most {PATH} characters")
        for _ in range(_ATTEMPTS):
            self._put_contents(manifest, read)
            try:
                self._put_manifest(manifest)
                return
            except DuplicateRow:
                return  # another process stored the same bundle meanwhile
            except _ContentGone:
                continue  # it had been unused for long, and was removed at this very moment
        raise EnvironmentFault("contents of a bundle vanish while it is being stored", remedy="It is tried again")

    def manifest(self, name: str, version: str) -> BundleManifest:
        """The manifest. Raises UserError when it is unknown."""
        bundle_id = self._bundle_id(name, version)
        if bundle_id is None:
            raise UserError("this version of the bundle is unknown", field=name, value=version)
        query = sa.select(bundle_file).where(bundle_file.c.bundle_id == bundle_id).order_by(bundle_file.c.path)
        with self.database.reading() as connection:
            files = tuple(
                BundleFile(path=row.path, sha256=row.sha256, size=row.size, executable=row.executable)
                for row in connection.execute(query)
            )
        return BundleManifest(name=name, version=version, files=files)

    def contents(self, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """Bytes by SHA-256; those that are unknown, or not as long as `sizes` says, are left out."""
        columns = (bundle_content.c.sha256, bundle_content.c.encoding, bundle_content.c.data)
        found: dict[str, bytes] = {}
        for some in _chunks(sorted(sizes.items())):
            query = sa.select(*columns).where(
                sa.tuple_(bundle_content.c.sha256, bundle_content.c.size).in_(some),
                # Compressed contents are kept only where that made them shorter.
                sa.func.length(bundle_content.c.data) <= bundle_content.c.size,
            )
            with self.database.reading() as connection:
                for sha256, encoding, data in connection.execute(query):
                    content = _inflated(data, sizes[sha256]) if encoding == "zlib" else bytes(data)
                    if content is not None:
                        found[sha256] = content
        return found

    def sign(self, name: str, version: str, signature: BundleSignature) -> None:
        """Keep a signature beside a stored bundle."""
        bundle_id = self._bundle_id(name, version)
        if bundle_id is None:
            raise UserError("this version of the bundle is unknown", field=name, value=version)
        self._keep_once(
            bundle_signature,
            {"bundle_id": bundle_id, "public_key": signature.public_key},
            signature.signature,
        )

    def signatures(self, name: str, version: str) -> tuple[BundleSignature, ...]:
        """What was kept, oldest first."""
        query = (
            sa.select(bundle_signature.c.public_key, bundle_signature.c.signature)
            .join(bundle, bundle.c.bundle_id == bundle_signature.c.bundle_id)
            .where(bundle.c.name == name, bundle.c.version == version)
            .order_by(bundle_signature.c.created_at, bundle_signature.c.public_key)
        )
        with self.database.reading() as connection:
            return tuple(
                BundleSignature(public_key=row.public_key, signature=row.signature) for row in connection.execute(query)
            )

    def successions(self) -> tuple[KeySuccession, ...]:
        """All announcements, oldest first."""
        table = bundle_key_succession
        query = sa.select(table).order_by(table.c.created_at, table.c.new_key)
        with self.database.reading() as connection:
            return tuple(
                KeySuccession(old_key=row.old_key, new_key=row.new_key, signature=row.signature)
                for row in connection.execute(query)
            )

    def announce(self, succession: KeySuccession) -> None:
        """Keep the announcement of a new key. Idempotent."""
        keys = {"old_key": succession.old_key, "new_key": succession.new_key}
        self._keep_once(bundle_key_succession, keys, succession.signature)

    def stored(self) -> tuple[tuple[str, str], ...]:
        """Name and version of every bundle that is stored, oldest first."""
        query = sa.select(bundle.c.name, bundle.c.version).order_by(bundle.c.bundle_id)
        with self.database.reading() as connection:
            return tuple((row.name, row.version) for row in connection.execute(query))

    def _keep_once(self, table: sa.Table, keys: dict[str, Any], signature: str) -> None:
        """Keep a signature unless one is there; a wrong one that somebody put there makes room."""
        matches = [table.c[name] == value for name, value in keys.items()]
        with self.database.reading() as connection:
            known = connection.execute(sa.select(table.c.signature).where(*matches)).scalar_one_or_none()
        if known == signature:
            return
        row = keys | {"signature": signature, "created_at": datetime.now(UTC)}
        try:
            with self.database.writing() as connection:
                connection.execute(table.delete().where(*matches))
                connection.execute(table.insert().values(row))
        except DuplicateRow:
            return  # another process kept the same one meanwhile: signatures of one key are always the same

    def _bundle_id(self, name: str, version: str) -> int | None:
        query = sa.select(bundle.c.bundle_id).where(bundle.c.name == name, bundle.c.version == version)
        with self.database.reading() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else int(found)

    def _renew(self, name: str, version: str) -> bool:
        """Whether the bundle is there; if so it counts as relied on now."""
        now = datetime.now(UTC)
        same = (bundle.c.name == name, bundle.c.version == version)
        query = sa.select(sa.func.coalesce(bundle.c.published_at, bundle.c.created_at)).where(*same)
        with self.database.reading() as connection:
            relied_on = connection.execute(query).scalar_one_or_none()
        if relied_on is None or relied_on > now - _RENEW:
            return relied_on is not None
        with self.database.writing() as connection:
            return connection.execute(bundle.update().where(*same).values(published_at=now)).rowcount == 1

    def _put_contents(self, manifest: BundleManifest, read: Callable[[str], bytes]) -> None:
        paths = {file.sha256: file.path for file in manifest.files}
        missing = self._missing(sorted(paths))
        insert = (
            bundle_content.insert().prefix_with("IGNORE", dialect="mysql").prefix_with("OR IGNORE", dialect="sqlite")
        )
        rows: list[dict[str, Any]] = []
        size = 0
        for sha256 in missing:
            row = _content_row(sha256, read(paths[sha256]), paths[sha256])
            rows.append(row)
            size += len(row["data"])
            if size > _BYTES_AT_ONCE or len(rows) == _AT_ONCE:
                self._write(insert, rows)
                rows, size = [], 0
        self._write(insert, rows)

    def _write(self, insert: sa.Insert, rows: list[dict[str, Any]]) -> None:
        if rows:
            with self.database.writing() as connection:
                connection.execute(insert, rows)

    def _missing(self, hashes: Sequence[str]) -> list[str]:
        known: set[str] = set()
        for some in _chunks(hashes):
            with self.database.reading() as connection:
                query = sa.select(bundle_content.c.sha256).where(bundle_content.c.sha256.in_(some))
                known.update(connection.execute(query).scalars())
        return [sha256 for sha256 in hashes if sha256 not in known]

    def _put_manifest(self, manifest: BundleManifest) -> None:
        bundle_id = self.database.new_id()
        with self.database.writing() as connection:
            connection.execute(
                bundle.insert().values(
                    bundle_id=bundle_id,
                    name=manifest.name,
                    version=manifest.version,
                    file_count=len(manifest.files),
                    total_size=sum(file.size for file in manifest.files),
                    created_at=datetime.now(UTC),
                )
            )
            for some in _chunks(manifest.files):
                rows = [
                    {
                        "bundle_id": bundle_id,
                        "path": file.path,
                        "sha256": file.sha256,
                        "size": file.size,
                        "executable": file.executable,
                    }
                    for file in some
                ]
                connection.execute(bundle_file.insert(), rows)
            _rely_on(connection, sorted({file.sha256 for file in manifest.files}))


class _ContentGone(Exception):
    """A content that the manifest names is not there."""


def _rely_on(connection: sa.Connection, hashes: Sequence[str]) -> None:
    """Keep these contents from being removed before this transaction's manifest shows that they are used.

    Raises _ContentGone when one is not there.
    """
    now = datetime.now(UTC)
    for some in _chunks(hashes):
        named = bundle_content.c.sha256.in_(some)
        connection.execute(
            bundle_content.update().where(named, bundle_content.c.created_at < now - _RENEW).values(created_at=now)
        )
        there = connection.execute(sa.select(sa.func.count()).select_from(bundle_content).where(named)).scalar_one()
        if there != len(some):
            raise _ContentGone


def _content_row(sha256: str, data: bytes, path: str) -> dict[str, Any]:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Bug(f"the content of {path} is not the one that its manifest names")
    packed = zlib.compress(data, 6)
    encoding, stored = ("zlib", packed) if len(packed) < len(data) else ("raw", data)
    return {
        "sha256": sha256,
        "size": len(data),
        "encoding": encoding,
        "data": stored,
        "created_at": datetime.now(UTC),
    }


def _inflated(data: bytes, size: int) -> bytes | None:
    """`data` decompressed, or None when it does not give `size` bytes; no more than that is ever made of it."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, size + 1)
    except zlib.error:
        return None
    return content if len(content) == size and stream.eof else None


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
