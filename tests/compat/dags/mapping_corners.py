"""Mapped tasks over nothing, over what failed or was skipped, over what is no list; a mapped group of which one fails."""

from datetime import datetime

from airflow.decorators import task, task_group
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.models.dag import DAG

with DAG("mapping_corners", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as corners:

    @task
    def nothing():
        return []

    @task
    def skipped():
        raise AirflowSkipException("not today")

    @task
    def failed():
        raise ValueError("not at all")

    @task
    def no_list():
        return 5

    @task
    def pair():
        return 1, 2

    @task
    def same(x):
        return x

    @task(trigger_rule="all_done")
    def patient(x):
        return x

    @task(trigger_rule="none_failed")
    def check_none(values):
        assert list(values or []) == []

    @task(map_index_template="{{ task.op_kwargs['x'] }}")
    def named(x):
        return x

    @task
    def check_twice(values):
        assert list(values) == [1, 2, 3]
        assert values[-1] == 3 and len(values) == 3 and values[0:2] == [1, 2]

    check_none(same.override(task_id="over_nothing").expand(x=nothing()))
    same.override(task_id="over_skipped").expand(x=skipped())
    same.override(task_id="over_failed").expand(x=failed())
    patient.expand(x=failed.override(task_id="failed_too")())
    same.override(task_id="over_no_list").expand(x=no_list())
    same.override(task_id="over_pair").expand(x=pair())
    named.expand(x=["p", "q"])
    once = same.override(task_id="once").expand(x=[1, 2, 3])
    check_twice(same.override(task_id="twice").expand(x=once))


with DAG("mapped_group_fails", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as group_fails:

    @task
    def orders():
        return [{"number": 1, "kind": "a"}, {"number": 2, "kind": "b"}, {"number": 3, "kind": "c"}]

    @task_group
    def order(number, kind):
        @task
        def read(number, kind):
            if number == 2:
                raise AirflowFailException("unreadable")
            return f"{kind}{number}"

        @task
        def write(text, ti=None):
            assert ti.xcom_pull(task_ids="order.read", map_indexes=ti.map_index) == text
            return text + "!"

        @task(trigger_rule="one_failed")
        def alarm():
            return "look at it"

        @task(trigger_rule="all_done")
        def clean(number):
            return number

        text = read(number, kind)
        written = write(text)
        text >> alarm()
        written >> clean(number)
        return written

    @task(trigger_rule="all_done")
    def tolerant(texts):
        assert list(texts) == ["a1!", "c3!"], list(texts)

    @task
    def strict(texts):
        return len(texts)

    texts = order.expand_kwargs(orders())
    tolerant(texts)
    strict(texts)
