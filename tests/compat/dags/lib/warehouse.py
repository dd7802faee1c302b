"""A package in the DAG folder: an operator, a hook and a sensor of one's own."""

from airflow.hooks.base import BaseHook
from airflow.models.baseoperator import BaseOperator
from airflow.utils.decorators import apply_defaults


class WarehouseHook(BaseHook):
    conn_name_attr = "warehouse_conn_id"
    default_conn_name = "warehouse_default"
    conn_type = "warehouse"
    hook_name = "Warehouse"

    def __init__(self, warehouse_conn_id=default_conn_name, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.warehouse_conn_id = warehouse_conn_id

    def describe(self):
        connection = self.get_connection(self.warehouse_conn_id)
        return f"{connection.login}@{connection.host}:{connection.port}/{connection.schema}"


class CountRowsOperator(BaseOperator):
    template_fields = ["table", "where"]
    ui_color = "#80BD9E"

    @apply_defaults
    def __init__(self, table, where=None, warehouse_conn_id="warehouse_default", *args, **kwargs):
        super(CountRowsOperator, self).__init__(*args, **kwargs)
        self.table = table
        self.where = where
        self.warehouse_conn_id = warehouse_conn_id

    def pre_execute(self, context):
        self.log.info("counting %s", self.table)

    def execute(self, context):
        place = WarehouseHook(self.warehouse_conn_id).describe()
        context["ti"].xcom_push(key="place", value=place)
        return {"table": self.table, "where": self.where, "rows": 42}

    def post_execute(self, context, result=None):
        assert result["rows"] == 42
