"""SqlSensor: waits until a query gives something.

Decides which rows mean "not yet"; the query is executed by `dagdeck.hooks.sql`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.sql import SqlHook
from dagdeck.sensors.base import BaseSensorOperator


class SqlSensor(BaseSensorOperator):
    """Runs `sql` until the first value of its first row is true (0, "0", "" and NULL are not), or `success` says so.

    `selector` takes another value out of that row. `success` and `failure` are called with the value; when `failure`
    returns true, the sensor fails, as it does for no rows with `fail_on_empty`. Of `hook_params` a schema is heeded.
    """

    template_fields: ClassVar[Sequence[str]] = ("sql", "parameters", "conn_id")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"sql": "sql", "parameters": "json"}
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        *,
        conn_id: str,
        sql: str,
        parameters: Any = None,
        success: Callable[[Any], bool] | None = None,
        failure: Callable[[Any], bool] | None = None,
        selector: Callable[[Sequence[Any]], Any] = itemgetter(0),
        fail_on_empty: bool = False,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.sql = sql
        self.parameters = parameters
        self.success = success
        self.failure = failure
        self.selector = selector
        self.fail_on_empty = fail_on_empty
        self.hook_params = dict(hook_params or {})

    def poke(self, context: Context) -> bool:
        """Ask once. Raises AirflowException when the waiting is in vain."""
        row = SqlHook(self.conn_id, self.hook_params.get("schema")).get_first(self.sql, self.parameters)
        if row is None:
            if self.fail_on_empty:
                raise AirflowException("the query gave no rows, and fail_on_empty is set")
            return False
        value = self.selector(row)
        if self.failure is not None and self.failure(value):
            raise AirflowException(f"failure says so of {value!r}")
        return bool(self.success(value)) if self.success is not None else str(value) not in ("0", "", "None")
