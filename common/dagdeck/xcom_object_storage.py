"""An XCom backend that keeps large values in an object store and only their addresses in the metadata database.

Decides which values are large and where they go: the settings [common.io] xcom_objectstorage_path,
xcom_objectstorage_threshold (bytes; -1, the default, keeps all in the database, 0 keeps none there) and
xcom_objectstorage_compression (gzip or nothing), under Airflow's names. Equal values of a run are one object. Chosen by
the setting xcom.backend.
"""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

from dagdeck.configuration import conf
from dagdeck.exceptions import AirflowException
from dagdeck.storage.path import ObjectStoragePath
from dagdeck.xcom import BaseXCom

SECTION = "common.io"
MARK = "__dagdeck_object__"
_COMPRESSIONS = ("", "gzip")


class XComObjectStorageBackend(BaseXCom):
    """See the module."""

    @staticmethod
    def serialize_value(
        value: Any,
        *,
        key: str | None = None,
        task_id: str | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_index: int | None = None,
    ) -> str:
        """The value's JSON, or that of its address. Raises XComError, AirflowException for wrong settings."""
        whose = {"key": key, "task_id": task_id, "dag_id": dag_id, "run_id": run_id, "map_index": map_index}
        text = BaseXCom.serialize_value(value, **whose)  # type: ignore[arg-type]
        data = text.encode()
        threshold = int(conf.getint(SECTION, "xcom_objectstorage_threshold", fallback=-1))
        if threshold < 0 or len(data) < threshold:
            return text
        compression = str(conf.get(SECTION, "xcom_objectstorage_compression", fallback="") or "")
        if compression not in _COMPRESSIONS:
            raise AirflowException(f"[{SECTION}] xcom_objectstorage_compression is gzip or empty, not {compression!r}")
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest}.json{'.gz' if compression else ''}"
        path = _base() / str(dag_id) / str(run_id) / str(task_id) / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(data, mtime=0) if compression else data)
        address = {MARK: path.serialize(), "compression": compression, "size": len(data)}
        return BaseXCom.serialize_value(address)

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """The value, fetched from where it is. Raises XComError, FileNotFoundError."""
        found = BaseXCom.deserialize_value(result)
        if not isinstance(found, dict) or MARK not in found:
            return found
        path = ObjectStoragePath.deserialize(found[MARK], ObjectStoragePath.__version__)
        data = path.read_bytes()
        text = (gzip.decompress(data) if found["compression"] else data).decode()
        return BaseXCom.deserialize_value(_Stored(text))


class _Stored:
    """A text in the place of a stored XCom."""

    def __init__(self, value: str) -> None:
        self.value = value


def _base() -> ObjectStoragePath:
    path = str(conf.get(SECTION, "xcom_objectstorage_path", fallback="") or "")
    if not path:
        raise AirflowException(
            f"[{SECTION}] xcom_objectstorage_path says where large XComs go, for example s3://my_conn@bucket/xcoms"
        )
    return ObjectStoragePath(path)
