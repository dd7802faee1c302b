"""What DAG files name of the task and asset state stores.

Decides nothing; the accessors that tasks find in their context are in `dagdeck_task.state_stores`.
"""

from __future__ import annotations

from datetime import timedelta

NEVER_EXPIRE: timedelta = timedelta.max
"""As `retention`: the value is kept as long as its run."""
