"""Rows of the table: old places of what provider packages hold today.

Decides which package's class an old path leads to. The package has to be installed. Read by `table`.
"""

from __future__ import annotations

from dagdeck.airflow_layer.declaration import Row

_SQL = "airflow.providers.common.sql"
_MOVES: tuple[tuple[str, str, str], ...] = (
    (
        f"{_SQL}.operators.sql",
        "BranchSQLOperator SQLCheckOperator SQLColumnCheckOperator SQLIntervalCheckOperator "
        "SQLTableCheckOperator SQLThresholdCheckOperator SQLValueCheckOperator BaseSQLOperator",
        "operators.sql",
    ),
    (f"{_SQL}.operators.sql", "SQLCheckOperator", "operators.check_operator:CheckOperator"),
    (f"{_SQL}.operators.sql", "SQLValueCheckOperator", "operators.check_operator:ValueCheckOperator"),
    (f"{_SQL}.operators.sql", "SQLIntervalCheckOperator", "operators.check_operator:IntervalCheckOperator"),
    (f"{_SQL}.operators.generic_transfer", "GenericTransfer", "operators.generic_transfer"),
    (f"{_SQL}.hooks.sql", "DbApiHook", "hooks.dbapi hooks.dbapi_hook"),
    (f"{_SQL}.sensors.sql", "SqlSensor", "sensors.sql sensors.sql_sensor operators.sensors"),
    ("airflow.providers.http.operators.http", "HttpOperator", "operators.http_operator:SimpleHttpOperator"),
    ("airflow.providers.http.sensors.http", "HttpSensor", "sensors.http_sensor operators.sensors"),
    ("airflow.providers.http.hooks.http", "HttpHook", "hooks.http_hook"),
    ("airflow.providers.postgres.hooks.postgres", "PostgresHook", "hooks.postgres_hook"),
    ("airflow.providers.mysql.hooks.mysql", "MySqlHook", "hooks.mysql_hook"),
    ("airflow.providers.sqlite.hooks.sqlite", "SqliteHook", "hooks.sqlite_hook"),
    ("airflow.providers.microsoft.mssql.hooks.mssql", "MsSqlHook", "hooks.mssql_hook"),
    ("airflow.providers.oracle.hooks.oracle", "OracleHook", "hooks.oracle_hook"),
    ("airflow.providers.slack.hooks.slack", "SlackHook", "hooks.slack_hook"),
    ("airflow.providers.docker.operators.docker", "DockerOperator", "operators.docker_operator"),
    ("airflow.providers.slack.operators.slack", "SlackAPIOperator SlackAPIPostOperator", "operators.slack_operator"),
    ("airflow.providers.amazon.aws.hooks.s3", "S3Hook", "hooks.S3_hook"),
    ("airflow.providers.amazon.aws.sensors.s3", "S3KeySensor", "sensors.s3_key_sensor operators.sensors"),
)
_SQL_OPERATORS = ("postgres", "mysql", "sqlite", "mssql", "jdbc", "oracle")
_SQL_CLASSES = {
    "postgres": "PostgresOperator",
    "mysql": "MySqlOperator",
    "sqlite": "SqliteOperator",
    "mssql": "MsSqlOperator",
    "jdbc": "JdbcOperator",
    "oracle": "OracleOperator",
}

_STAND_INS = (
    ("operators.http", "HttpOperator", "providers.http.operators.http"),
    ("hooks.http", "HttpHook", "providers.http.hooks.http"),
    ("sensors.http", "HttpSensor", "providers.http.sensors.http"),
    ("operators.sql", "SQLExecuteQueryOperator", "providers.common.sql.operators.sql"),
    ("sensors.sql", "SqlSensor", "providers.common.sql.sensors.sql"),
    ("smtp", "SmtpNotifier", "providers.smtp.notifications.smtp"),
)
"""Home, name and module of what DagDeck has itself, in a simpler form than the provider package."""

ROWS = (
    *(Row(home=home, names=names, now=now, stands_in=True) for home, names, now in _STAND_INS),
    *(Row(home=home, names=names, now="", old=old) for home, names, old in _MOVES),
    *(
        Row(
            home=f"{_SQL}.operators.sql",
            names="SQLExecuteQueryOperator",
            old=f"operators.{name}_operator:{_SQL_CLASSES[name]}",
        )
        for name in _SQL_OPERATORS
    ),
)
