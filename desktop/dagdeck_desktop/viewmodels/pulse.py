"""When the scheduler was last heard of.

Decides how often that is asked: no topic but Home's tells it. Used by the DAG page's cards.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from PySide6.QtCore import QObject, QTimer

from dagdeck_client.requests.admin import get_health
from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.live import Feed
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import ViewModel

PERIOD_MS = 5_000


class PulseModel(ViewModel):
    """The scheduler's heartbeat, while somebody looks."""

    WHAT = "The cluster's health could not be loaded"

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.is_healthy: bool | None = None
        self.heartbeat: datetime | None = None
        self._timer = QTimer(self, interval=PERIOD_MS)
        self._timer.timeout.connect(self.load)

    def activate(self) -> None:
        super().activate()
        self._timer.start()

    def deactivate(self) -> None:
        super().deactivate()
        self._timer.stop()

    def age_seconds(self, now: datetime | None = None) -> float | None:
        """Seconds since the scheduler's last heartbeat; None when none is known."""
        if self.heartbeat is None:
            return None
        return max(0.0, ((now or datetime.now(UTC)) - self.heartbeat).total_seconds())

    def load(self) -> None:
        self.ask(get_health(), self._health_came, self._nothing_came)

    def _health_came(self, health: dict[str, dict[str, Any]]) -> None:
        part = health.get("scheduler") or {}
        status, beat = part.get("status"), part.get("latest_scheduler_heartbeat")
        self.is_healthy = None if status is None else status == "healthy"
        try:
            self.heartbeat = datetime.fromisoformat(beat) if isinstance(beat, str) else None
        except ValueError:
            self.heartbeat = None
        self.ready()

    def _nothing_came(self, _error: DagDeckError) -> None:
        """The page's link tells of that; what is known grows old in sight."""
