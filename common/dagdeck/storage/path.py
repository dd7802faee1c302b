"""ObjectStoragePath: a path on any file system that fsspec knows, used like pathlib's.

Decides how such a path is written (`protocol://connection@bucket/key`) and what each operation asks of the file
system. Does not decide logins (`dagdeck.storage.filesystems`). Used in tasks; may stand at the top of a DAG file,
since nothing is connected before it is used, and may be an XCom.
"""

from __future__ import annotations

import contextlib
import posixpath
import shutil
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, ClassVar
from urllib.parse import unquote

from dagdeck.exceptions import invalid
from dagdeck.storage.filesystems import LOCAL, get_fs

CHUNK = 1024 * 1024
"""Bytes that a copy between two stores moves at a time."""


class StorageStat(dict[str, Any]):
    """What a store says of an object, also as `st_size`, `st_mtime` and `st_mode`; what it does not say is None."""

    @property
    def st_size(self) -> int:
        """Bytes."""
        return int(self.get("size") or 0)

    @property
    def st_mtime(self) -> float | None:
        """When it was last changed, in seconds since 1970."""
        names = ("mtime", "LastModified", "last_modified", "updated", "created")
        found: Any = next((self[name] for name in names if name in self), None)
        return found if found is None or isinstance(found, float) else float(found.timestamp())

    @property
    def st_mode(self) -> int:
        """The mode, where the store has one; else that of a file or a folder."""
        import stat

        kind = stat.S_IFDIR if self.get("type") == "directory" else stat.S_IFREG
        return int(self.get("mode") or kind)


class ObjectStoragePath:
    """A path such as `s3://my_conn@bucket/folder/file.csv`, `gs://…`, `file:///…` or `/…`.

    The login comes from the Connection before the `@` or given as `conn_id`, and from `storage_options`, which
    are fsspec's. Raises UserError for what is no such path.
    """

    __version__: ClassVar[int] = 1
    sep: ClassVar[str] = "/"

    _protocol: str
    _root: str
    _conn_id: str | None
    _key: str
    _options: dict[str, Any]

    def __init__(
        self, *args: Any, protocol: str | None = None, conn_id: str | None = None, **storage_options: Any
    ) -> None:
        first, *more = args or (".",)
        if isinstance(first, ObjectStoragePath):
            self._protocol, self._root, self._conn_id = first._protocol, first._root, first._conn_id
            key: str = first._key
            storage_options = {**first._options, **storage_options}
        else:
            self._protocol, self._root, self._conn_id, key = _split(first, protocol)
        self._conn_id = conn_id or self._conn_id
        self._options = storage_options
        self._key = _joined(key, *map(str, more))

    def _with(self, key: str) -> ObjectStoragePath:
        found: ObjectStoragePath = object.__new__(type(self))
        found._protocol, found._root, found._conn_id = self._protocol, self._root, self._conn_id
        found._options, found._key = self._options, key
        return found

    # ------------------------------------------------------------ what it says

    @property
    def protocol(self) -> str:
        """`s3`, `gs`, `file`, …"""
        return self._protocol

    @property
    def conn_id(self) -> str | None:
        """The Connection, if any."""
        return self._conn_id

    @property
    def storage_options(self) -> dict[str, Any]:
        """fsspec's options, those of the Connection not included."""
        return dict(self._options)

    @property
    def fs(self) -> Any:
        """fsspec's file system. Raises AirflowException when there is none for the protocol."""
        return get_fs(self._protocol, self._conn_id, self._options)

    @property
    def container(self) -> str:
        """The bucket."""
        return self._root

    bucket = container

    @property
    def key(self) -> str:
        """The path within the bucket."""
        return self._key.lstrip("/")

    @property
    def namespace(self) -> str:
        """Protocol and bucket."""
        return f"{self._protocol}://{self._root}"

    @property
    def path(self) -> str:
        """The path as the file system takes it."""
        if self._protocol in LOCAL or not self._root:
            return self._key or "/"
        return f"{self._root}/{self._key.lstrip('/')}".rstrip("/") if self._key else self._root

    @property
    def parts(self) -> tuple[str, ...]:
        """Its names."""
        return PurePosixPath(self._key).parts

    @property
    def name(self) -> str:
        """The last name."""
        return posixpath.basename(self._key.rstrip("/"))

    @property
    def stem(self) -> str:
        """The last name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The last name's ending, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def suffixes(self) -> list[str]:
        """All endings of the last name."""
        return PurePosixPath(self.name).suffixes

    @property
    def parent(self) -> ObjectStoragePath:
        """The folder that it is in."""
        return self._with(posixpath.dirname(self._key.rstrip("/")))

    @property
    def parents(self) -> list[ObjectStoragePath]:
        """The folders that it is in, from the inside out."""
        found = [self.parent]
        while found[-1]._key not in ("", "/"):
            found.append(found[-1].parent)
        return found

    def __truediv__(self, other: Any) -> ObjectStoragePath:
        return self.joinpath(other)

    def joinpath(self, *others: Any) -> ObjectStoragePath:
        """A path below this one."""
        return self._with(_joined(self._key, *map(str, others)))

    def with_name(self, name: str) -> ObjectStoragePath:
        """The same with another last name."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> ObjectStoragePath:
        """The same with another ending."""
        return self.parent / (self.stem + suffix)

    def relative_to(self, other: ObjectStoragePath) -> str:
        """The rest of the path after `other`. Raises ValueError when it is not below it."""
        return str(PurePosixPath(self._key).relative_to(other._key))

    def is_relative_to(self, other: ObjectStoragePath) -> bool:
        """Whether it is below `other` in the same store."""
        return self.samestore(other) and PurePosixPath(self._key).is_relative_to(other._key)

    def match(self, pattern: str) -> bool:
        """Whether the path fits a pattern."""
        return PurePosixPath(self._key).match(pattern)

    def is_absolute(self) -> bool:
        """True."""
        return True

    def as_uri(self) -> str:
        """The path with its protocol, without the Connection."""
        path = self.path
        return path if "://" in path else f"{self._protocol}://{path}"

    def as_posix(self) -> str:
        """As `str()`."""
        return str(self)

    def __str__(self) -> str:
        return self.path if self._protocol in LOCAL else self.as_uri()

    def __fspath__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        login = f", conn_id={self._conn_id!r}" if self._conn_id else ""
        return f"ObjectStoragePath({self.as_uri()!r}{login})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObjectStoragePath):
            return NotImplemented
        return (self.as_uri(), self._conn_id, self._options) == (other.as_uri(), other._conn_id, other._options)

    def __hash__(self) -> int:
        return hash((self.as_uri(), self._conn_id))

    def __lt__(self, other: ObjectStoragePath) -> bool:
        return self.as_uri() < other.as_uri()

    # ------------------------------------------------------------ asking

    def exists(self) -> bool:
        """Whether there is something."""
        return bool(self.fs.exists(self.path))

    def is_file(self) -> bool:
        """Whether it is an object."""
        return bool(self.fs.isfile(self.path))

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return bool(self.fs.isdir(self.path))

    def stat(self) -> StorageStat:
        """What the store says of it. Raises FileNotFoundError."""
        return StorageStat({**self.fs.stat(self.path), "conn_id": self._conn_id})

    def size(self) -> int:
        """Bytes."""
        return int(self.fs.size(self.path) or 0)

    def checksum(self) -> Any:
        """A number that changes with the content, as far as the store knows one."""
        return self.fs.checksum(self.path)

    def ukey(self) -> str:
        """A text that changes with the content."""
        return str(self.fs.ukey(self.path))

    def sign(self, expiration: int = 100, **options: Any) -> str:
        """A URL that works without a login for `expiration` seconds. Raises NotImplementedError where there is none."""
        return str(self.fs.sign(self.path, expiration, **options))

    def iterdir(self) -> Iterator[ObjectStoragePath]:
        """What is in the folder. Raises FileNotFoundError, NotADirectoryError."""
        if not self.is_dir():
            raise NotADirectoryError(str(self)) if self.exists() else FileNotFoundError(str(self))
        for path in sorted(self.fs.ls(self.path, detail=False)):
            found = self._from_fs(path)
            if found._key.rstrip("/") != self._key.rstrip("/"):
                yield found

    def glob(self, pattern: str) -> Iterator[ObjectStoragePath]:
        """What below fits a pattern; `**` stands for folders at any depth."""
        for path in sorted(self.fs.glob(f"{self.path.rstrip('/')}/{pattern}")):
            yield self._from_fs(path)

    def rglob(self, pattern: str) -> Iterator[ObjectStoragePath]:
        """As `glob`, at any depth."""
        return self.glob(f"**/{pattern}")

    def walk(self) -> Iterator[tuple[ObjectStoragePath, list[str], list[str]]]:
        """Each folder from here down, with the names of its folders and of its files."""
        for root, folders, files in self.fs.walk(self.path):
            yield self._from_fs(root), list(folders), list(files)

    def samestore(self, other: Any) -> bool:
        """Whether `other` is on the same file system with the same login."""
        same = isinstance(other, ObjectStoragePath) and self._protocol == other._protocol
        return same and (self._conn_id, self._options) == (other._conn_id, other._options)

    def samefile(self, other: Any) -> bool:
        """Whether `other` is the same object."""
        return self.samestore(other) and self.path == other.path

    def _from_fs(self, path: str) -> ObjectStoragePath:
        """A path that the file system has listed, in this store."""
        bare = self.fs._strip_protocol(path)
        if self._protocol in LOCAL or not self._root:
            return self._with(bare)
        return self._with(bare.removeprefix(self._root))

    # ------------------------------------------------------------ reading and writing

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open the object; `options` are fsspec's, and for text those of `io.TextIOWrapper`."""
        opened: IO[Any] = self.fs.open(self.path, mode=mode, **options)
        return opened

    def read_bytes(self) -> bytes:
        """The whole content."""
        with self.open("rb") as file:
            return bytes(file.read())

    def read_text(self, encoding: str = "utf-8", errors: str | None = None) -> str:
        """The whole content as text."""
        return self.read_bytes().decode(encoding, errors or "strict")

    def write_bytes(self, data: bytes) -> int:
        """Replace the content; how many bytes it has."""
        with self.open("wb") as file:
            return int(file.write(data) or len(data))

    def write_text(self, data: str, encoding: str = "utf-8", errors: str | None = None) -> int:
        """Replace the content by text; how many characters it has."""
        self.write_bytes(data.encode(encoding, errors or "strict"))
        return len(data)

    def touch(self, mode: int = 0o666, exist_ok: bool = True, truncate: bool = False) -> None:
        """Make an empty object; one that exists stays as it is unless `truncate`. Raises FileExistsError."""
        if self.exists():
            if not exist_ok:
                raise FileExistsError(str(self))
            if not truncate:
                return
        self.fs.touch(self.path, truncate=True)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a folder, where the store has folders. Raises FileExistsError."""
        if self.exists():
            if exist_ok and self.is_dir():
                return
            raise FileExistsError(str(self))
        self.fs.mkdir(self.path, create_parents=parents)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object. Raises FileNotFoundError."""
        if not self.exists():
            if missing_ok:
                return
            raise FileNotFoundError(str(self))
        self.fs.rm_file(self.path)

    def rmdir(self, recursive: bool = True) -> None:
        """Delete the folder with all that is in it; without `recursive` only an empty one. Raises OSError."""
        if not self.is_dir():
            raise NotADirectoryError(str(self))
        if not recursive and any(self.iterdir()):
            raise OSError(f"{self} is not empty")
        self.fs.rm(self.path, recursive=True)

    # ------------------------------------------------------------ copying

    def copy(self, dst: Any, recursive: bool = True, **options: Any) -> None:
        """Copy the object, or the folder, to `dst`: a path in any store, or text. Raises FileNotFoundError.

        A target that is a folder, or ends with a slash, gets it under its own name.
        """
        target = self._target(dst)
        if not self.exists():
            raise FileNotFoundError(str(self))
        if self.samefile(target):
            return
        if self.is_dir():
            if not recursive:
                raise IsADirectoryError(str(self))
            for path in self.fs.find(self.path):
                found = self._from_fs(path)
                found._copy_file(target / found.relative_to(self), **options)
            return
        self._copy_file(target, **options)

    def move(self, dst: Any, recursive: bool = True, **options: Any) -> None:
        """As `copy`; then delete this one."""
        target = self._target(dst)
        if self.samefile(target):
            return
        self.copy(target, recursive=recursive, **options)
        if self.is_dir():
            self.rmdir()
        else:
            self.unlink()

    def rename(self, target: Any) -> ObjectStoragePath:
        """Give it another path; that."""
        found = self._absolute(target)
        self.move(found)
        return found

    replace = rename

    def _copy_file(self, target: ObjectStoragePath, **options: Any) -> None:
        if target._protocol in LOCAL:
            target.fs.makedirs(target.parent.path, exist_ok=True)
        if self.samestore(target):
            self.fs.copy(self.path, target.path, **options)
            return
        with self.open("rb") as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)

    def _absolute(self, other: Any) -> ObjectStoragePath:
        if isinstance(other, ObjectStoragePath):
            return other
        text = str(other)
        return type(self)(text) if "://" in text or self._protocol in LOCAL else self._with(_joined("", text))

    def _target(self, dst: Any) -> ObjectStoragePath:
        found = self._absolute(dst)
        wants_folder = not isinstance(dst, ObjectStoragePath) and str(dst).endswith("/")
        if not self.is_dir() and (wants_folder or found.is_dir()):
            return found / self.name
        return found

    # ------------------------------------------------------------ as a value

    @classmethod
    def cwd(cls) -> ObjectStoragePath:
        """The working directory."""
        import os

        return cls(os.getcwd())

    @classmethod
    def home(cls) -> ObjectStoragePath:
        """The home directory."""
        import os

        return cls(os.path.expanduser("~"))

    @classmethod
    def from_uri(cls, uri: str) -> ObjectStoragePath:
        """The path that a URI names."""
        return cls(uri)

    def serialize(self) -> dict[str, Any]:
        """The path as data."""
        return {"path": self.as_uri(), "conn_id": self._conn_id, "kwargs": dict(self._options)}

    @classmethod
    def deserialize(cls, data: dict[str, Any], version: int) -> ObjectStoragePath:
        """The path that `serialize` wrote. Raises TypeError for data of a newer version."""
        if version > cls.__version__:
            raise TypeError(f"this ObjectStoragePath was written by a newer version ({version})")
        return cls(data["path"], conn_id=data["conn_id"], **data["kwargs"])

    @contextlib.contextmanager
    def local_copy(self) -> Iterator[str]:
        """A copy on this machine for programs that need a file's name; gone at the end of the block."""
        import tempfile

        if self._protocol in LOCAL:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="dagdeck-storage-") as folder:
            local = f"{folder}/{self.name}"
            self.fs.get_file(self.path, local)
            yield local


def _split(given: Any, protocol: str | None) -> tuple[str, str, str | None, str]:
    """Protocol, bucket, Connection and key of what a path is made of."""
    text = str(given)
    if not text:
        raise invalid("a path cannot be empty", field="path")
    found, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = protocol or "file", text
    else:
        scheme = protocol or found
    if scheme in LOCAL:
        conn_id, at, place = rest.partition("@")
        has_conn = bool(mark) and bool(at) and "/" not in conn_id
        import os

        path = place if has_conn else rest
        return "file", "", unquote(conn_id) if has_conn else None, posixpath.normpath(os.path.abspath(path))
    place, _, key = rest.partition("/")
    conn_id, at, bucket = place.rpartition("@")
    if scheme in ("http", "https", "memory"):
        # What is before the first slash is no bucket to these: the whole is the path.
        return scheme, "", unquote(conn_id) if at else None, _whole(scheme, bucket, key)
    return scheme, bucket, unquote(conn_id) if at else None, f"/{key}" if key else ""


def _whole(scheme: str, host: str, key: str) -> str:
    path = f"{host}/{key}" if key else host
    return f"/{path.lstrip('/')}" if scheme == "memory" else f"{scheme}://{path}"


def _joined(base: str, *others: str) -> str:
    parts = [base, *(other.lstrip("/") for other in others if other)]
    return posixpath.join(*parts) if base else posixpath.join("/", *parts[1:]) if len(parts) > 1 else base
