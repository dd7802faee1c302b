"""Decorators that make DAGs, tasks and groups of functions.

Decides which names there are; each module makes one kind. `dagdeck` exports them.
"""

from __future__ import annotations

from dagdeck.decorators.dag_decorator import dag
from dagdeck.decorators.group_decorator import task_group
from dagdeck.decorators.setup_teardown import setup, teardown
from dagdeck.decorators.task_decorators import task

__all__ = ["dag", "setup", "task", "task_group", "teardown"]
