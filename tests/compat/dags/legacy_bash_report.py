"""Bash tasks with templates and set_upstream, as in Airflow's first tutorial."""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.bash_operator import BashOperator

default_args = {
    "owner": "airflow",
    "start_date": datetime(2023, 6, 1),
    "retries": 1,
    "retry_delay": timedelta(seconds=1),
    "queue": "default",
    "pool": "default_pool",
    "priority_weight": 10,
    "end_date": datetime(2035, 1, 1),
}

dag = DAG("legacy_bash_report", default_args=default_args, schedule_interval=timedelta(days=1), catchup=False)

t1 = BashOperator(task_id="print_date", bash_command="date", dag=dag)
t2 = BashOperator(task_id="settle", depends_on_past=False, bash_command="sleep 0.1", retries=3, dag=dag)

templated_command = """
{% for i in range(3) %}
    echo "{{ ds }}"
    echo "{{ macros.ds_add(ds, 7) }}"
    test "{{ params.my_param }}" = "Parameter I passed in" || exit 1
{% endfor %}
echo "{{ yesterday_ds_nodash if yesterday_ds_nodash is defined else macros.ds_add(ds, -1) }}"
"""

t3 = BashOperator(
    task_id="templated",
    bash_command=templated_command,
    params={"my_param": "Parameter I passed in"},
    dag=dag,
)
t4 = BashOperator(task_id="last_line", bash_command="echo first; echo last", do_xcom_push=True, dag=dag)
t5 = BashOperator(
    task_id="check_last_line",
    bash_command="test '{{ ti.xcom_pull(task_ids=\"last_line\") }}' = last",
    dag=dag,
)

t2.set_upstream(t1)
t1.set_downstream([t3, t4])
t5.set_upstream(t4)
