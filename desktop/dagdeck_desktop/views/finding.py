"""What the command palette finds besides pages and actions: DAGs by name.

Decides how many, and that the server is asked only for texts of some length. Registered by `views`.
"""

from __future__ import annotations

from functools import partial

from dagdeck_client.models import DagPage
from dagdeck_client.requests.dags import list_dags
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.session import SessionState
from dagdeck_desktop.shell.palette import Deliver, PaletteItem

MOST = 8


class DagFinder:
    """A source of the palette."""

    def __init__(self, context: DesktopContext) -> None:
        self._context = context

    def find(self, text: str, deliver: Deliver) -> None:
        """Deliver DAGs whose id has the text in it; nothing while no cluster is connected."""
        word = text.strip()
        if not word or self._context.session.state is not SessionState.CONNECTED:
            deliver(())
            return
        self._context.api.call(
            list_dags(limit=MOST, dag_id_pattern=word, order_by=["dag_id"]),
            lambda page: self._came(page, deliver),
            lambda _error: deliver(()),
            owner=self._context.window,
        )

    def _came(self, page: DagPage, deliver: Deliver) -> None:
        deliver(
            [
                PaletteItem(
                    title=dag.dag_display_name,
                    run=partial(self._open, dag.dag_id),
                    icon_name="workflow",
                    subtitle=dag.description or "",
                    hint="DAG",
                )
                for dag in page.dags
            ]
        )

    def _open(self, dag_id: str) -> None:
        self._context.window.open_page("dag", dag_id=dag_id)
