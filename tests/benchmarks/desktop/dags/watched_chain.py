"""A chain of tasks that do nothing much, to be watched while it runs."""

import time

from dagdeck import DAG, task

with DAG("watched_chain", schedule=None):

    @task
    def step(number: int) -> int:
        """Take a moment, so that each state can be seen."""
        time.sleep(0.02)
        return number + 1

    value = step(0)
    for _ in range(29):
        value = step(value)
