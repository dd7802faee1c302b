"""Branches of every kind side by side: by dates and weekdays, to groups, to nothing, past a task and straight to its end."""

from datetime import datetime

from airflow import DAG
from airflow.decorators import task
from airflow.operators.datetime import BranchDateTimeOperator
from airflow.operators.empty import EmptyOperator
from airflow.operators.latest_only import LatestOnlyOperator
from airflow.operators.weekday import BranchDayOfWeekOperator
from airflow.utils.task_group import TaskGroup

WEEK = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}


def empty(*names, **options):
    return [EmptyOperator(task_id=name, **options) for name in names]


with DAG("branch_kinds", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    LatestOnlyOperator(task_id="latest") >> empty("after_latest")
    in_time = BranchDateTimeOperator(
        task_id="in_time",
        follow_task_ids_if_true=["early"],
        follow_task_ids_if_false=["late"],
        target_lower=datetime(2000, 1, 1),
        target_upper=datetime(2100, 1, 1),
    )
    in_time >> empty("early", "late")
    weekday = BranchDayOfWeekOperator(
        task_id="weekday", follow_task_ids_if_true="any_day", follow_task_ids_if_false="no_day", week_day=WEEK
    )
    weekday >> empty("any_day", "no_day")

    @task.branch
    def nowhere():
        return None

    @task.branch
    def two_of_three():
        return ["first", "third"]

    @task.branch
    def inside():
        return "room.chair"

    @task.branch
    def to_the_end():
        return "end"

    @task.short_circuit
    def stop():
        return ""

    @task.run_if(lambda context: context["params"].get("wanted") == 1, skip_message="nobody wants it")
    @task
    def wanted():
        return 1

    @task.skip_if(lambda context: False)
    @task.bash
    def told():
        return "echo told"

    nowhere() >> [*empty("nothing_1"), *empty("nothing_2", trigger_rule="none_failed")]

    ways = empty("first", "second", "third")
    two_of_three() >> ways
    for rule in ("none_failed_min_one_success", "all_success", "one_success", "all_done"):
        ways >> EmptyOperator(task_id=f"join_{rule}", trigger_rule=rule)

    with TaskGroup("room") as room:
        chair, table = empty("chair", "table")
    inside() >> [chair, table]
    room >> EmptyOperator(task_id="after_room", trigger_rule="one_success")

    middle, end = empty("middle", "end")
    straight = to_the_end()
    straight >> middle >> end
    straight >> end

    stop() >> empty("stopped")[0] >> EmptyOperator(task_id="stopped_too", trigger_rule="all_done")
    wanted() >> empty("unwanted")
    told()
