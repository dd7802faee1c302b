"""`dagdeckd doctor`: looks at a machine and its cluster as its settings describe them, and says what to do.

Decides the order of its checks, and that one which fails by itself is a finding too, not an end. Changes nothing.
Called by `dagdeckd.administration`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dagdeck_core.errors import DagDeckError, EnvironmentFault, UserError
from dagdeck_io.settings import Settings
from dagdeckd.doctor import of_api, of_cluster, of_code, of_database, of_machine, of_queue
from dagdeckd.doctor.findings import Finding, Level

Check = Callable[[Settings], Iterator[Finding]]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("this program", of_machine.program),
    ("state folder", of_machine.home),
    ("limits", of_machine.limits),
    ("service", of_machine.services),
    ("clock", of_machine.time_service),
    ("fonts", of_machine.fonts),
    ("secret key", of_machine.secret_key),
    ("DAG folder", of_machine.dags_folder),
    ("code", of_code.code),
    ("users", of_code.users),
    ("database", of_database.database),
    ("queue", of_queue.queue),
    ("control API", of_api.api),
    ("cluster", of_cluster.cluster),
)
"""Area for people, and what looks at it."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, area by area, as they come."""
    for area, check in CHECKS:
        try:
            yield from check(settings)
        except DagDeckError as error:
            remedy = error.remedy if isinstance(error, UserError | EnvironmentFault) else None
            yield Finding(area=area, level=Level.ERROR, text=error.message, remedy=remedy or "")
        except OSError as error:
            yield Finding(area=area, level=Level.ERROR, text=f"this cannot be looked at: {error}")
