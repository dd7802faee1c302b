"""Classic operators and functions mapped over lists, dicts and results; products, zips, filters, and how results index."""

from datetime import datetime

from airflow import DAG
from airflow.decorators import task, task_group
from airflow.exceptions import AirflowSkipException
from airflow.operators.bash import BashOperator
from airflow.operators.python import PythonOperator


def add(a, b=0, **_):
    return a + b


def odd(value):
    if value % 2 == 0:
        raise AirflowSkipException("even")
    return value


with DAG("mapping_classic", start_date=datetime(2024, 1, 1), schedule=None, catchup=False) as dag:
    rows = PythonOperator(task_id="rows", python_callable=lambda: [{"a": 1}, {"a": 2, "b": 5}])
    by_kwargs = PythonOperator.partial(task_id="by_kwargs", python_callable=add).expand(op_kwargs=rows.output)
    by_args = PythonOperator.partial(task_id="by_args", python_callable=add).expand(op_args=[[1, 2], [3, 4]])
    commands = BashOperator.partial(task_id="commands").expand(
        bash_command=["echo 1", "echo {{ ti.map_index }}", "exit 99"]
    )
    variables = BashOperator.partial(task_id="variables", bash_command="echo $X").expand(env=[{"X": "p"}, {"X": "q"}])

    @task(trigger_rule="none_failed")
    def check(kwargs, args, commands, variables):
        assert list(kwargs) == [1, 7], list(kwargs)
        assert list(args) == [3, 7], list(args)
        assert list(commands) == ["1", "1"], list(commands)
        assert list(variables) == ["p", "q"], list(variables)

    check(by_kwargs.output, by_args.output, commands.output, variables.output)

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def two():
        return [5, 6]

    @task
    def same(x):
        return x

    @task
    def pair(x, y):
        return [x, y]

    @task
    def total(values):
        return sum(values)

    given = numbers()
    squares = same.override(task_id="squares").expand(x=given.map(lambda value: value * value))
    odds = same.override(task_id="odds").expand(x=given.map(odd))
    crossed = pair.override(task_id="crossed").expand(x=[1, 2], y=["a", "b"])
    zipped = pair.override(task_id="zipped").expand_kwargs(
        given.zip(two(), fillvalue=0).map(lambda both: {"x": both[0], "y": both[1]})
    )

    @task_group(default_args={"retries": 0})
    def sized(n, factor):
        @task.branch
        def choose(n):
            return "sized.big" if n > 1 else ["sized.small", "sized.tiny"]

        @task
        def big(n):
            return n

        @task
        def small(n):
            return -n

        @task
        def tiny():
            return 0

        @task(trigger_rule="none_failed_min_one_success")
        def join(n, factor):
            return n * factor

        joined = join(n, factor)
        choose(n) >> [big(n), small(n), tiny()] >> joined
        return joined

    @task
    def check_values(odds, crossed, zipped, sizes, whole):
        assert list(odds) == [1, 3]
        assert list(crossed) == [[1, "a"], [1, "b"], [2, "a"], [2, "b"]]
        assert list(zipped) == [[1, 5], [2, 6], [3, 0]]
        assert list(sizes) == [100, 200]
        assert whole == 14

    check_values.override(trigger_rule="none_failed")(
        odds, crossed, zipped, sized.partial(factor=100).expand(n=[1, 2]), total(squares)
    )
