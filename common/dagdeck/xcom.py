"""XCom backends: how the values that tasks pass on are written and read.

Decides what a backend may override, and which one holds: the class that the setting xcom.backend names (Airflow's
[core] xcom_backend), else BaseXCom. Does not store anything: what a backend gives is text that stands in the
metadata database. Backends run in the task's process. Subclassed by authors; used by `ti.xcom_push` and `xcom_pull`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from dagdeck import xcom_codec
from dagdeck.configuration import HANDED_OVER, conf, variable_of
from dagdeck.exceptions import AirflowException
from dagdeck.imports import import_string
from dagdeck.xcom_arg import XCOM_RETURN_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class XComResult:
    """What is stored of one XCom: its text, and whose it is."""

    value: str
    key: str
    task_id: str
    dag_id: str
    run_id: str
    map_index: int = -1


class BaseXCom:
    """Writes values as JSON (`dagdeck.xcom_codec`) and reads them back.

    A subclass overrides `serialize_value` and `deserialize_value`, usually to keep large values elsewhere and let
    the base class write where they are.
    """

    XCOM_RETURN_KEY: ClassVar[str] = XCOM_RETURN_KEY

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
        """`value` as JSON text. Raises XComError when it is no data."""
        what = "the return value" if key in (None, XCOM_RETURN_KEY) else f"XCom {key!r}"
        return xcom_codec.encode(value, what=what)

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """The value that `serialize_value` wrote; `result` has it as `value`. Raises XComError."""
        return xcom_codec.decode(_text(result.value))

    @classmethod
    def set(
        cls, key: str, value: Any, *, dag_id: str, task_id: str, run_id: str, map_index: int = -1, **_: Any
    ) -> None:
        """Push a value for the running task instance. Raises AirflowException for another one's."""
        ti = _running_task()
        if (dag_id, task_id, run_id, map_index) != (ti.dag_id, ti.task_id, ti.run_id, ti.map_index):
            raise AirflowException(f"a task can set its own XComs only, not those of {dag_id}.{task_id} in {run_id}")
        ti.xcom_push(key, value)

    @classmethod
    def get_value(cls, *, ti_key: Any, key: str) -> Any:
        """The value that a task instance (anything with dag_id, task_id, run_id and map_index) has pushed, or None."""
        return cls.get_one(
            key=key, dag_id=ti_key.dag_id, task_id=ti_key.task_id, run_id=ti_key.run_id, map_index=ti_key.map_index
        )

    @classmethod
    def get_one(
        cls,
        *,
        key: str,
        dag_id: str,
        task_id: str,
        run_id: str,
        map_index: int | None = None,
        include_prior_dates: bool = False,
    ) -> Any:
        """One value, or None."""
        return _running_task().xcom_pull(
            task_ids=task_id,
            dag_id=dag_id,
            key=key,
            run_id=run_id,
            map_indexes=-1 if map_index is None else map_index,
            include_prior_dates=include_prior_dates,
        )

    @classmethod
    def get_all(
        cls, *, key: str, dag_id: str, task_id: str, run_id: str, include_prior_dates: bool = False, **_: Any
    ) -> Any:
        """The values of all instances of an expanded task, by map index; None when there are none."""
        found = _running_task().xcom_pull(
            task_ids=task_id, dag_id=dag_id, key=key, run_id=run_id, include_prior_dates=include_prior_dates
        )
        return found if found is None or isinstance(found, list) else [found]

    @staticmethod
    def purge(xcom: Any, *args: Any) -> None:
        """For what a backend keeps elsewhere; DagDeck does not call it, so give such places a lifetime."""


XCom = BaseXCom
"""The name under which operators of provider packages use it."""

_variable = variable_of("core", "xcom_backend")
_known: list[Any] = [(None, None), None]


def custom_backend() -> type[BaseXCom] | None:
    """The backend that the settings name; None for the base class. Raises AirflowException when it is none."""
    # Asked for every value of every task: found again only when the settings have changed.
    settings = (os.environ.get(_variable), os.environ.get(HANDED_OVER))
    if settings != _known[0]:
        _known[:] = [settings, _load(str(conf.get("core", "xcom_backend", fallback="")).strip())]
    found: type[BaseXCom] | None = _known[1]
    return found


def serialize(backend: type[BaseXCom], value: Any, limit: int, **whose: Any) -> str:
    """What `backend` makes of a value, as text of at most `limit` bytes (0: no limit). Raises XComError."""
    try:
        text = _text(backend.serialize_value(value, **whose))
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        text = _text(backend.serialize_value(value))  # backends of Airflow 2 may take the value alone
    size = len(text.encode())
    if limit and size > limit:
        raise xcom_codec.XComError(
            f"what {backend.__name__} stores of {whose.get('key')!r} is {size:,} bytes; the limit is {limit:,} bytes"
        )
    return text


def deserialize(text: str, *, key: str, task_id: str, dag_id: str, run_id: str, map_index: int = -1) -> Any:
    """The value of a stored XCom. Raises XComError."""
    backend = custom_backend()
    if backend is None:
        return xcom_codec.decode(text)
    return backend.deserialize_value(
        XComResult(value=text, key=key, task_id=task_id, dag_id=dag_id, run_id=run_id, map_index=map_index)
    )


def _load(path: str) -> type[BaseXCom] | None:
    # Airflow's own names of its default.
    if not path or (path.rpartition(".")[2] in ("BaseXCom", "XCom") and path.startswith(("airflow.", "dagdeck."))):
        return None
    try:
        found = import_string(path)
    except ImportError as error:
        raise AirflowException(f"the XCom backend {path} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseXCom)):
        raise AirflowException(f"the XCom backend {path} is no subclass of BaseXCom")
    return found


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode()
    return value if isinstance(value, str) else xcom_codec.encode(value)


def _running_task() -> Any:
    from dagdeck.runtime import get_current_context

    return get_current_context()["ti"]
