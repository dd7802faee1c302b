"""EmptyOperator: a task that does nothing.

Decides nothing; the scheduler completes such a task itself unless it has callbacks, outlets or hooks.
"""

from __future__ import annotations

from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.operator import BaseOperator


class EmptyOperator(BaseOperator):
    """Does nothing; groups other tasks or marks a point in the DAG."""

    ui_color = "#e8f7e4"
    inherits_from_empty_operator: ClassVar[bool] = True

    def execute(self, context: Context) -> Any:
        """Nothing."""
