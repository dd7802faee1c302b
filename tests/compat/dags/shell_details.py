"""What BashOperator does with exit codes, environments and folders."""

from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator

with DAG("shell_details", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    BashOperator(task_id="only_env", bash_command='test -z "$HOME" && test "$A" = 1', env={"A": "1"})
    BashOperator(task_id="with_env", bash_command='test -n "$PATH" && test "$A" = 1', env={"A": "1"}, append_env=True)
    BashOperator(task_id="folder", bash_command="test $(pwd) = /", cwd="/")
    BashOperator(task_id="skips", bash_command="exit 99") >> EmptyOperator(task_id="skipped_too")
    BashOperator(task_id="skips_otherwise", bash_command="exit 4", skip_on_exit_code=[4, 5])
    BashOperator(task_id="fails", bash_command="exit 4") >> EmptyOperator(task_id="never")
    BashOperator(task_id="context", bash_command='test "$AIRFLOW_CTX_DAG_ID.$AIRFLOW_CTX_TASK_ID" = shell_details.context')
    BashOperator(task_id="pipe", bash_command="false | true")
    BashOperator(task_id="template_error", bash_command="echo {{ nothing.at_all }}")
