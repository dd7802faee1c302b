"""XCom backends, arrays and tables as XComs, and secrets backends."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from dagdeck import DAG, BaseXCom, Connection, Variable, task
from dagdeck.configuration import HANDED_OVER
from dagdeck.exceptions import AirflowException, AirflowNotFoundException
from dagdeck.secrets_backends import BaseSecretsBackend, LocalFilesystemBackend
from dagdeck.xcom import XCom, custom_backend
from dagdeck.xcom_codec import XComError, decode, encode
from dagdeck_io.settings.load import load_settings
from dagdeck_io.settings.user_code import environment_for_user_code

STORE: dict[str, Any] = {}


class Elsewhere(BaseXCom):
    """Keeps what is longer than ten characters elsewhere."""

    @staticmethod
    def serialize_value(value: Any, *, key: str | None = None, task_id: str | None = None, **rest: Any) -> str:
        """See BaseXCom."""
        text = BaseXCom.serialize_value(value)
        if len(text) <= 10:
            return text
        STORE[f"{task_id}.{key}"] = text
        return BaseXCom.serialize_value(f"at {task_id}.{key}")

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """See BaseXCom."""
        found = BaseXCom.deserialize_value(result)
        if isinstance(found, str) and found.startswith("at "):
            return decode(STORE[found.removeprefix("at ")])
        return found


class OfAirflow2(BaseXCom):
    """Takes the value alone and gives bytes."""

    @staticmethod
    def serialize_value(value: Any) -> Any:  # type: ignore[override]
        """See BaseXCom."""
        return json.dumps({"wrapped": value}).encode()

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """See BaseXCom."""
        return json.loads(result.value)["wrapped"]


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    STORE.clear()
    for name in ("AIRFLOW__CORE__XCOM_BACKEND", "AIRFLOW__SECRETS__BACKEND", HANDED_OVER):
        monkeypatch.delenv(name, raising=False)


def pipeline() -> DAG:
    """Passes a short and a long value on, by return value and by key."""
    with DAG("d") as dag:

        @task
        def give(ti: Any = None) -> str:
            ti.xcom_push("extra", [1, 2])
            return "x" * 100

        @task
        def take(value: str, ti: Any = None) -> list[Any]:
            one = XCom.get_one(key="extra", dag_id="d", task_id="give", run_id=ti.run_id)
            every = XCom.get_all(key="extra", dag_id="d", task_id="give", run_id=ti.run_id)
            XCom.set("own", 5, dag_id="d", task_id="take", run_id=ti.run_id)
            other = XCom.get_value(ti_key=ti, key="own")
            return [len(value), one, every, other, ti.xcom_pull(task_ids=["give"])[0] == value]

        take(give())
    return dag


@pytest.mark.parametrize("backend", ["", "Elsewhere", "OfAirflow2"])
def test_values_pass_through_the_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend:
        monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", f"{__name__}.{backend}")
    run = pipeline().test()
    assert run.states == {"give": "success", "take": "success"}
    assert run.xcom("take") == [100, [1, 2], [1, 2], 5, True]
    assert sorted(STORE) == (["give.return_value", "take.return_value"] if backend == "Elsewhere" else [])


@pytest.mark.parametrize("path", ["nowhere.Backend", "json.JSONDecoder", f"{__name__}.nothing"])
def test_a_backend_that_is_none_fails_the_task(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", path)
    run = pipeline().test()
    error = run.tasks["give"].error
    assert error is not None
    assert "XCom backend" in error.message


def test_airflows_own_default_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "airflow.sdk.execution_time.xcom.BaseXCom")
    assert custom_backend() is None


def test_settings_reach_user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = {
        "paths.home": str(tmp_path),
        "xcom.backend": f"{__name__}.Elsewhere",
        "secrets.backend": "dagdeck.secrets_backends.LocalFilesystemBackend",
        "secrets.backend_kwargs": json.dumps({"variables_file_path": str(tmp_path / "variables.json")}),
    }
    settings = load_settings(environ={}, config_files=[], overrides=overrides)
    for name, value in environment_for_user_code(settings).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "variables.json").write_text('{"city": "Oslo"}')
    assert custom_backend() is Elsewhere
    assert Variable.get("city") == "Oslo"


@pytest.mark.parametrize(("compression", "ending"), [("", ".json"), ("gzip", ".json.gz")])
def test_large_values_go_to_an_object_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, ending: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "dagdeck.xcom_object_storage.XComObjectStorageBackend")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{tmp_path}/xcoms")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "50")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_COMPRESSION", compression)
    run = pipeline().test()
    assert run.states == {"give": "success", "take": "success"}
    assert run.xcom("give") == "x" * 100
    files = [path for path in (tmp_path / "xcoms").rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].name.endswith(ending)
    assert len(run.memory.xcoms["give", -1, "return_value"]) < 500
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", "")
    failed = pipeline().test().tasks["give"].error
    assert failed is not None
    assert "xcom_objectstorage_path" in failed.message


# ---------------------------------------------------------------- arrays and tables


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6).reshape(2, 3),
        numpy.array([1.5, numpy.nan]),
        numpy.array(["2026-03-04"], dtype="datetime64[D]"),
        numpy.array(["a", "bc"]),
        numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        numpy.array([], dtype=bool),
    ],
)
def test_arrays(array: Any) -> None:
    read = decode(encode(array))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    numpy.testing.assert_array_equal(read, array)


def frame() -> pandas.DataFrame:
    """A table with a column of every kind."""
    return pandas.DataFrame(
        {
            "number": [1, 2, 3],
            "real": [1.5, None, 3.0],
            "flag": [True, False, True],
            "text": ["a", None, "ü"],
            "moment": pandas.to_datetime(["2026-03-04", None, "2026-03-05T01:02:03.000004"], format="ISO8601"),
            "zoned": pandas.to_datetime(["2026-03-04", "2026-03-05", "2026-03-06"]).tz_localize("UTC"),
            "span": pandas.to_timedelta([1, 2, 3], unit="s"),
            "nullable": pandas.array([1, None, 3], dtype="Int64"),
            "category": pandas.Categorical(["x", "y", "x"], categories=["y", "x"], ordered=True),
        }
    )


@pytest.mark.parametrize(
    "table",
    [
        frame(),
        frame().set_index("number"),
        frame()[["real", "text"]].set_index([pandas.Index([1, 2, 3], name="a"), pandas.Index(list("xyz"))]),
        frame().iloc[:0],
        pandas.DataFrame([[1, 2], [3, 4]], columns=pandas.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
        pandas.DataFrame([[1, "x"]], columns=["same", "same"]),
    ],
)
def test_tables(table: pandas.DataFrame) -> None:
    pandas.testing.assert_frame_equal(decode(encode({"inside": [table]}))["inside"][0], table)


def test_series_and_indexes() -> None:
    for name in frame().columns:
        series = frame()[name]
        pandas.testing.assert_series_equal(decode(encode(series)), series)
    for index in (pandas.RangeIndex(1, 9, 2, name="r"), pandas.Index(["a", None]), pandas.CategoricalIndex(["a", "b"])):
        pandas.testing.assert_index_equal(decode(encode(index)), index)


def test_what_only_pickle_could_carry_is_refused() -> None:
    with pytest.raises(XComError, match="cannot be passed between tasks"):
        encode(numpy.array([object()]))
    with pytest.raises(XComError, match=r"column 0.*cannot be passed"):
        encode(pandas.DataFrame({"a": [object()]}))


class Point:
    """Says itself what is stored of it."""

    __version__ = 2

    def __init__(self, x: int, when: datetime) -> None:
        self.x, self.when = x, when

    def serialize(self) -> dict[str, Any]:
        """For the store."""
        return {"x": self.x, "when": self.when}

    @classmethod
    def deserialize(cls, data: dict[str, Any], version: int) -> Point:
        """From the store."""
        assert version == 2
        return cls(**data)


def test_objects_that_serialize_themselves() -> None:
    read = decode(encode([Point(3, datetime(2026, 3, 4))]))[0]  # noqa: DTZ001
    assert (type(read), read.x, read.when) == (Point, 3, datetime(2026, 3, 4))  # noqa: DTZ001


# ---------------------------------------------------------------- secrets backends


class Vaulty(BaseSecretsBackend):
    """Knows one of each; is out of order for `broken`."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def get_variable(self, key: str) -> str | None:
        """See BaseSecretsBackend."""
        if key == "broken":
            raise OSError("the vault is sealed")
        return f"{self.prefix}{key}" if key == "known" else None

    def get_conn_value(self, conn_id: str) -> str | None:
        """See BaseSecretsBackend."""
        return "postgres://u:p@h/db" if conn_id == "known" else None


@pytest.mark.parametrize("section", ["SECRETS__BACKEND", "WORKERS__SECRETS_BACKEND"])
def test_an_own_backend_comes_first(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AIRFLOW__{section}", f"{__name__}.Vaulty")
    monkeypatch.setenv(f"AIRFLOW__{section}_KWARGS", '{"prefix": "vault-"}')
    monkeypatch.setenv("AIRFLOW_VAR_KNOWN", "environment")
    monkeypatch.setenv("AIRFLOW_VAR_OTHER", "environment")
    monkeypatch.setenv("AIRFLOW_VAR_BROKEN", "environment")
    assert [Variable.get(name) for name in ("known", "other", "broken")] == [
        "vault-known",
        "environment",
        "environment",
    ]
    assert (Connection.get("known").host, Connection.get("known").password) == ("h", "p")
    assert Variable.get("nothing", "default") == "default"
    with pytest.raises((AirflowNotFoundException, AirflowException)):
        Connection.get("nothing")


@pytest.mark.parametrize("path", ["nowhere.Vault", "json.JSONDecoder"])
def test_a_backend_that_cannot_be_made(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", path)
    with pytest.raises(AirflowException, match="secrets backend"):
        Variable.get("x", None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.json", '{"a": "1", "b": {"conn_type": "http", "host": "h"}, "c": "http://h"}'),
        ("s.yaml", "a: '1'\nb:\n  conn_type: http\n  host: h\nc: http://h\n"),
        ("s.env", '# a comment\na=1\nb={"conn_type": "http", "host": "h"}\nc=http://h\n'),
    ],
)
def test_files(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    backend = LocalFilesystemBackend(str(file), str(file))
    found = [backend.get_connection(conn_id) for conn_id in ("b", "c")]
    assert [each and (each.conn_type, each.host) for each in found] == [("http", "h")] * 2
    assert (backend.get_variable("a"), backend.get_variable("z"), backend.get_connection("z")) == ("1", None, None)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("s.json", "{", "line 1: this is no JSON"),
        ("s.json", "[1]", "names with their values"),
        ("s.json", "", "this is no JSON"),
        ("s.yaml", "", "names with their values"),
        ("s.yaml", "a: 1\nb: [geheim", "line 2: this is no YAML"),
        ("s.yml", "\x01geheim", "this is no YAML"),
        ("s.env", "a=1\ngeheim\n", "line 2: .*equals sign"),
        ("s.env", "=geheim", "line 1: .*name"),
        ("s.env", "a=\n", "line 1: .*value"),
        ("s.env", "a=geheim\na=2\n", "2 values for 'a'"),
        ("s.txt", "a=geheim", r"\.env, \.json"),
        ("s.JSON", b"\xff", "no UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AirflowException, match=told) as caught:
        LocalFilesystemBackend(str(path)).get_variable("a")
    assert "geheim" not in str(caught.value)
    with pytest.raises(AirflowException, match="cannot be read"):
        LocalFilesystemBackend(str(tmp_path / "nothing.env")).get_variable("a")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"conn_type": "http", "hots": "geheim"}, "unknown parts: hots"),
        ({"conn_type": "http", "extra": "{}", "extra_dejson": {}}, "both extra and extra_dejson"),
        ({"conn_type": "http", "conn_id": "other"}, "another conn_id"),
        (7, "not int"),
        (["http://geheim", "http://h"], "2 values for 'c'"),
    ],
)
def test_connections_that_are_not_understood(tmp_path: Path, value: object, told: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"c": value, "good": "http://h"}))
    backend = LocalFilesystemBackend(None, str(path))
    with pytest.raises(AirflowException, match=told) as caught:
        backend.get_connection("c")
    assert "geheim" not in str(caught.value)
    assert backend.get_connection("good") is not None


def test_what_files_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "c:\n  conn_id: c\n  conn_type: http\n  extra_dejson: {a: 1}\nlisted: ['http://h']\n"
        "object: {x: 1}\nlist: [1, 2]\nnumber: 3\nsql_secret: in-a-file\n"
    )
    backend = LocalFilesystemBackend(str(path), str(path), str(path))
    connection = backend.get_connection("c")
    assert connection is not None
    assert connection.extra_dejson == {"a": 1}
    assert backend.get_conn_value("c") == connection.as_json()
    listed = backend.get_connection("listed")
    assert listed is not None
    assert listed.host == "h"
    assert [backend.get_variable(key) for key in ("object", "list", "number")] == ['{"x": 1}', "[1, 2]", "3"]
    assert backend.get_config("sql_secret") == "in-a-file"
    env = tmp_path / "s.env"
    env.write_text("  # a comment\n\na= kept as it is \n")
    assert LocalFilesystemBackend(str(env)).get_variable("a") == " kept as it is "
    nothing = LocalFilesystemBackend()
    assert (nothing.get_variable("a"), nothing.get_connection("a")) == (None, None)
