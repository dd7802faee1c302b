"""TaskInstanceKey: what tells one try of a task instance from every other.

Decides its fields. Found by DAG files through the table.
"""

from __future__ import annotations

from typing import NamedTuple


class TaskInstanceKey(NamedTuple):
    """The ids of one try."""

    dag_id: str
    task_id: str
    run_id: str
    try_number: int = 1
    map_index: int = -1

    @property
    def primary(self) -> tuple[str, str, str, int]:
        """The ids without the try."""
        return self.dag_id, self.task_id, self.run_id, self.map_index

    @property
    def key(self) -> TaskInstanceKey:
        """Itself."""
        return self
