"""States and rules under the names that DAG files import.

Decides nothing: they are those of `dagdeck_core`.
"""

from __future__ import annotations

from dagdeck_core.spec import TriggerRule, WeightRule
from dagdeck_core.states import DagRunState, DagRunType, TaskInstanceState

__all__ = ["DagRunState", "DagRunType", "TaskInstanceState", "TriggerRule", "WeightRule"]
