"""Three DAGs in one file: one fails in the middle, one cleans up after a failure, one fails at once."""

from datetime import datetime

from airflow import DAG
from airflow.exceptions import AirflowFailException
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator
from airflow.utils.trigger_rule import TriggerRule


def broken():
    raise RuntimeError("on purpose")


def hopeless():
    raise AirflowFailException("no retry helps")


with DAG("fails_in_the_middle", start_date=datetime(2024, 1, 1), schedule=None) as fails:
    PythonOperator(task_id="first", python_callable=print) >> PythonOperator(
        task_id="second", python_callable=broken
    ) >> BashOperator(task_id="third", bash_command="true") >> BashOperator(task_id="fourth", bash_command="true")

with DAG("cleans_up", start_date=datetime(2024, 1, 1), schedule=None) as cleans:
    work = PythonOperator(task_id="work", python_callable=broken)
    alarm = BashOperator(task_id="alarm", bash_command="echo alarm", trigger_rule=TriggerRule.ONE_FAILED)
    never = BashOperator(task_id="never", bash_command="true", trigger_rule=TriggerRule.ALL_SUCCESS)
    clean = BashOperator(task_id="clean", bash_command="true", trigger_rule=TriggerRule.ALL_DONE)
    # The last task decides: it is successful, so the run is, whatever was before.
    work >> [alarm, never] >> clean

with DAG("gives_up", start_date=datetime(2024, 1, 1), schedule=None, default_args={"retries": 5}) as gives_up:
    PythonOperator(task_id="hopeless", python_callable=hopeless)
    failed = BashOperator(task_id="exit_code", bash_command="exit 3", retries=0)
    failed >> BashOperator(task_id="after", bash_command="true", trigger_rule="all_failed")
