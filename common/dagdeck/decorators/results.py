"""`@result`: the task whose return value is the DAG's own.

Decides how it is marked. Used in DAG files, above `@task`.
"""

from __future__ import annotations

from dagdeck.decorators.task_factory import TaskFactory
from dagdeck.exceptions import InvalidArguments, invalid


def result(factory: TaskFactory) -> TaskFactory:
    """Mark the tasks of a decorated function as giving the DAG's result. Raises UserError for anything else."""
    if not isinstance(factory, TaskFactory):
        raise invalid("@result decorates what @task has made", remedy="Put @result above @task", error=InvalidArguments)
    factory.returns_dag_result = True
    return factory
