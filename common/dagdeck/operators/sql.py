"""SQLExecuteQueryOperator: statements on a database.

Decides what of the answer is the result; the statements are executed by `dagdeck.hooks.sql`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.deprecation import warn_deprecated
from dagdeck.hooks.sql import Handler, SqlHook, fetch_all_handler
from dagdeck.operator import BaseOperator


class SQLExecuteQueryOperator(BaseOperator):
    """Executes `sql`: a statement, a list of them, or the name of a .sql template file.

    The result is what `handler` makes of the last statement (all rows); a text with several statements needs
    `split_statements`. Of `hook_params` a schema is heeded. Operators of Airflow 2 named their connection after the
    database: `mysql_conn_id` and its kin mean `conn_id`.
    """

    template_fields: ClassVar[Sequence[str]] = ("sql", "parameters", "conn_id", "database")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"sql": "sql", "parameters": "json"}
    template_ext: Sequence[str] = (".sql", ".json")
    ui_color = "#cdaaed"

    def __init__(
        self,
        *,
        sql: str | Sequence[str],
        conn_id: str = SqlHook.default_conn_name,
        database: str | None = None,
        autocommit: bool = False,
        parameters: Any = None,
        handler: Handler | None = fetch_all_handler,
        split_statements: bool = False,
        return_last: bool = True,
        hook_params: Mapping[str, Any] | None = None,
        mysql_conn_id: str | None = None,
        postgres_conn_id: str | None = None,
        sqlite_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.conn_id = (
            _old_connection(
                mysql_conn_id=mysql_conn_id, postgres_conn_id=postgres_conn_id, sqlite_conn_id=sqlite_conn_id
            )
            or conn_id
        )
        self.hook_params = dict(hook_params or {})
        self.database = database or self.hook_params.get("schema")
        self.autocommit = autocommit
        self.parameters = parameters
        self.handler = handler
        self.split_statements = split_statements
        self.return_last = return_last

    def execute(self, context: Context) -> Any:
        """Execute the statements. Raises what the driver raises."""
        return SqlHook(self.conn_id, self.database).run(
            self.sql,
            autocommit=self.autocommit,
            parameters=self.parameters,
            handler=self.handler if self.do_xcom_push else None,
            split_statements=self.split_statements,
            return_last=self.return_last,
        )


def _old_connection(**given: str | None) -> str | None:
    """The connection given under a name of Airflow 2's operators, which is warned about."""
    for name, conn_id in given.items():
        if conn_id is not None:
            warn_deprecated(f"the argument {name} of a SQL operator", "Write conn_id= instead.")
            return conn_id
    return None
