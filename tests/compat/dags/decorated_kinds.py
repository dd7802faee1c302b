"""The decorators of other operators."""

import json
from datetime import datetime

from airflow.decorators import dag, task
from airflow.operators.empty import EmptyOperator


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False)
def decorated_kinds():
    @task.python
    def number() -> int:
        return 3

    @task.branch
    def choose(found: int):
        return "odd" if found % 2 else "even"

    @task.bash
    def shell(found: int) -> str:
        return f"echo number {found}"

    @task
    def check(line: str):
        assert line == "number 3"

    @task.bash(multiple_outputs=True, output_processor=json.loads)
    def described() -> str:
        return """echo '{"left": 1, "right": [2]}'"""

    @task
    def check_described(left, whole):
        assert (left, whole) == (1, {"left": 1, "right": [2]})

    parts = described()
    check_described(parts["left"], parts)

    @task.sensor(poke_interval=0.1, timeout=5)
    def ready() -> bool:
        return True

    @task.skip_if(lambda context: context["params"].get("quiet", True))
    @task
    def loud():
        print("loud")

    @task.run_if(lambda context: True)
    @task
    def runs():
        print("runs")

    @task
    async def later():
        return "awaited"

    @task
    def check_later(found):
        assert found == "awaited"

    found = number()
    choose(found) >> [EmptyOperator(task_id="odd"), EmptyOperator(task_id="even")]
    check(shell(found))
    ready() >> [loud(), runs()]
    check_later(later())


decorated_kinds()
