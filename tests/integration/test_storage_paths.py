"""Paths in object stores: how they are written, what they do on real file systems, their logins, and as XComs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dagdeck import DAG, ObjectStoragePath, task
from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowException, AirflowNotFoundException
from dagdeck.storage import attach, get_fs, has_fs
from dagdeck.storage.filesystems import _attached, options_of
from dagdeck_core.errors import UserError


@pytest.fixture(params=["file", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    """An empty folder in a store."""
    if request.param == "file":
        return ObjectStoragePath(f"file://{tmp_path}/base")
    return ObjectStoragePath(f"memory://base-{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("given", "protocol", "conn_id", "bucket", "key", "text"),
    [
        ("s3://bucket/a/b.csv", "s3", None, "bucket", "a/b.csv", "s3://bucket/a/b.csv"),
        ("s3://my_conn@bucket/a/b.csv", "s3", "my_conn", "bucket", "a/b.csv", "s3://bucket/a/b.csv"),
        ("gs://bucket", "gs", None, "bucket", "", "gs://bucket"),
        ("s3://bucket/", "s3", None, "bucket", "", "s3://bucket"),
        ("abfs://my%20conn@bucket/x", "abfs", "my conn", "bucket", "x", "abfs://bucket/x"),
        ("file:///tmp/a.csv", "file", None, "", "tmp/a.csv", "/tmp/a.csv"),
        ("/tmp/x/../a.csv", "file", None, "", "tmp/a.csv", "/tmp/a.csv"),
        ("memory://a/b", "memory", None, "", "a/b", "memory:///a/b"),
        ("https://host/a?b=c", "https", None, "", "https://host/a?b=c", "https://host/a?b=c"),
    ],
)
def test_how_paths_are_written(
    given: str, protocol: str, conn_id: str | None, bucket: str, key: str, text: str
) -> None:
    path = ObjectStoragePath(given)
    assert (path.protocol, path.conn_id, path.bucket, path.key, str(path)) == (protocol, conn_id, bucket, key, text)
    assert ObjectStoragePath.deserialize(path.serialize(), 1) == path
    assert ObjectStoragePath(path) == path


def test_parts_of_a_path() -> None:
    path = ObjectStoragePath("s3://bucket/folder", conn_id="c", anon=True) / "sub" / "data.tar.gz"
    assert (path.name, path.stem, path.suffix, path.suffixes) == ("data.tar.gz", "data.tar", ".gz", [".tar", ".gz"])
    assert (path.parent.key, path.with_name("x").key, path.with_suffix(".zip").key) == (
        "folder/sub",
        "folder/sub/x",
        "folder/sub/data.tar.zip",
    )
    assert [each.key for each in path.parents] == ["folder/sub", "folder", ""]
    assert (path.conn_id, path.storage_options, path.parent.conn_id) == ("c", {"anon": True}, "c")
    assert path.relative_to(path.parent.parent) == "sub/data.tar.gz"
    assert path.is_relative_to(path.parent)
    assert not path.is_relative_to(ObjectStoragePath("s3://bucket/folder"))
    assert path.match("*.gz")
    assert (path.namespace, path.path) == ("s3://bucket", "bucket/folder/sub/data.tar.gz")
    assert {path, ObjectStoragePath(path)} == {path}
    assert path != "text"
    assert path.joinpath("/a", "b").key == "folder/sub/data.tar.gz/a/b"
    with pytest.raises(UserError):
        ObjectStoragePath("")


def test_reading_and_writing(base: ObjectStoragePath) -> None:
    file = base / "in" / "a.txt"
    file.parent.mkdir(parents=True)
    assert not file.exists()
    assert file.write_text("grüße") == 5
    assert (file.read_text(), file.read_bytes(), file.size()) == ("grüße", "grüße".encode(), 7)
    assert (file.exists(), file.is_file(), file.is_dir(), file.parent.is_dir()) == (True, True, False, True)
    with file.open("ab") as opened:
        opened.write(b"!")
    with file.open() as opened:
        assert opened.read() == "grüße!"
    assert (file.stat().st_size, file.stat()["conn_id"]) == (8, None)
    assert file.stat().st_mode
    assert (base / "in").stat()["type"] == "directory"
    before = file.ukey()
    file.write_text("other")
    assert file.ukey() != before
    file.touch()
    assert file.read_text() == "other"
    file.touch(truncate=True)
    assert file.size() == 0
    with pytest.raises(FileExistsError):
        file.touch(exist_ok=False)
    with file.local_copy() as name:
        assert Path(name).read_bytes() == b""


def test_folders(base: ObjectStoragePath) -> None:
    for name in ("a.csv", "b.txt", "deep/c.csv", "deep/er/d.csv"):
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert [each.name for each in base.iterdir()] == ["a.csv", "b.txt", "deep"]
    assert [each.relative_to(base) for each in base.glob("*.csv")] == ["a.csv"]
    assert [each.relative_to(base) for each in base.rglob("*.csv")] == ["a.csv", "deep/c.csv", "deep/er/d.csv"]
    assert sorted((root.relative_to(base), tuple(sorted(files))) for root, _, files in base.walk()) == [
        (".", ("a.csv", "b.txt")),
        ("deep", ("c.csv",)),
        ("deep/er", ("d.csv",)),
    ]
    with pytest.raises(FileExistsError):
        base.mkdir()
    with pytest.raises(NotADirectoryError):
        list((base / "a.csv").iterdir())
    with pytest.raises(FileNotFoundError):
        list((base / "nothing").iterdir())
    with pytest.raises(OSError, match="not empty"):
        (base / "deep").rmdir(recursive=False)
    (base / "deep").rmdir()
    assert not (base / "deep").exists()
    (base / "a.csv").unlink()
    (base / "a.csv").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (base / "a.csv").unlink()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_copy_and_move(base: ObjectStoragePath, tmp_path: Path, elsewhere: bool) -> None:
    other = base / "other"
    if elsewhere:
        other = ObjectStoragePath(f"file://{tmp_path}/other") if base.protocol == "memory" else _memory()
    base.mkdir(parents=True, exist_ok=True)
    (base / "folder" / "sub").mkdir(parents=True)
    for name in ("x.txt", "folder/y.txt", "folder/sub/z.txt"):
        (base / name).write_text(name)
    other.mkdir(parents=True)
    (base / "x.txt").copy(other)
    assert (other / "x.txt").read_text() == "x.txt", "into a folder under its own name"
    (base / "x.txt").copy(other / "renamed.txt")
    assert (other / "renamed.txt").read_text() == "x.txt"
    (base / "folder").copy(other / "copied")
    assert (other / "copied" / "sub" / "z.txt").read_text() == "folder/sub/z.txt"
    (base / "folder").move(other / "moved")
    assert (other / "moved" / "y.txt").read_text() == "folder/y.txt"
    assert not (base / "folder").exists()
    (base / "x.txt").move(other / "gone.txt")
    assert not (base / "x.txt").exists()
    with pytest.raises(FileNotFoundError):
        (base / "x.txt").copy(other)
    with pytest.raises(IsADirectoryError):
        other.copy(base / "again", recursive=False)
    assert (other / "gone.txt").rename(other / "final.txt").read_text() == "x.txt"


def _memory() -> ObjectStoragePath:
    return ObjectStoragePath(f"memory://other-{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("scheme", "parts", "expected"),
    [
        ("file", {"login": "x"}, {}),
        (
            "s3",
            {"login": "k", "password": "s", "extra": {"region_name": "eu", "endpoint_url": "http://minio"}},
            {"key": "k", "secret": "s", "endpoint_url": "http://minio", "client_kwargs": {"region_name": "eu"}},
        ),
        ("s3", {"extra": {"storage_options": {"anon": True}}}, {"anon": True}),
        ("gs", {"extra": {"project": "p", "key_path": "/k.json"}}, {"project": "p", "token": "/k.json"}),
        ("abfs", {"login": "a", "password": "k"}, {"account_name": "a", "account_key": "k"}),
        (
            "sftp",
            {"host": "h", "port": 22, "login": "u", "password": "p"},
            {"host": "h", "port": 22, "username": "u", "password": "p"},
        ),
        ("https", {"extra": {"headers": {"X": "1"}}}, {"client_kwargs": {"headers": {"X": "1"}}}),
        ("unknown", {"extra": {"a": 1}}, {"a": 1}),
    ],
)
def test_a_connection_becomes_options(scheme: str, parts: dict[str, Any], expected: dict[str, Any]) -> None:
    assert options_of(scheme, Connection("c", scheme, **parts)) == expected


@pytest.fixture
def _nothing_attached() -> Iterator[None]:
    yield
    _attached.clear()


@pytest.mark.usefixtures("_nothing_attached")
def test_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", '{"conn_type": "memory"}')
    assert type(get_fs("memory", "mine")).__name__ == "MemoryFileSystem"
    assert (has_fs("file"), has_fs("nosuch")) == (True, False)
    with pytest.raises(AirflowException, match="no file system for nosuch"):
        get_fs("nosuch")
    with pytest.raises((AirflowNotFoundException, AirflowException)):
        _ = ObjectStoragePath("memory://unknown@a/b").fs
    memory = fsspec.filesystem("memory")
    assert attach(fs=memory, alias="mine") is memory
    path = ObjectStoragePath("mine://bucket/a")
    assert path.fs is memory
    with pytest.raises(UserError, match="protocol or a file system"):
        attach()


def test_a_path_is_an_xcom_and_a_template_argument(tmp_path: Path) -> None:
    base = ObjectStoragePath(f"file://{tmp_path}")
    with DAG("d") as dag:

        @task
        def write(text: str) -> ObjectStoragePath:
            path = base / "result.txt"
            path.write_text(text)
            return path

        @task
        def read(path: ObjectStoragePath) -> str:
            return path.read_text()

        read(write("{{ ti.task_id }}"))
    assert dag.test().xcom("read") == "write"
