"""The pages of the control center.

Decides which pages there are and their order in the rail. Does not decide navigation (`shell`). Called by `__main__`.
"""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.views.dag_actions import DagActions
from dagdeck_desktop.views.finding import DagFinder
from dagdeck_desktop.views.worker_actions import WorkerActions


def register_pages(context: DesktopContext) -> None:
    """Add every page to the window, what can be done on them to the actions, and DAGs to the palette.

    A page's module is imported when it is first opened: charts alone take longer to import than the window to open.
    """
    window = context.window
    actions = DagActions(context)
    worker_actions = WorkerActions(context)

    def home() -> QWidget:
        from dagdeck_desktop.views.home import HomePage

        return HomePage(context)

    def dags() -> QWidget:
        from dagdeck_desktop.views.dag_list import DagListPage

        return DagListPage(context, actions)

    def dag() -> QWidget:
        from dagdeck_desktop.views.dag_page import DagPage

        return DagPage(context, actions)

    def workers() -> QWidget:
        from dagdeck_desktop.views.workers_page import WorkersPage

        return WorkersPage(context, worker_actions)

    window.add_page("home", "Home", "layout-dashboard", home)
    window.add_page("dags", "DAGs", "workflow", dags)
    window.add_page("dag", "DAG", "workflow", dag, in_rail=False, rail_key="dags")
    window.add_page("workers", "Workers", "server", workers)
    window.palette_dialog.add_source(DagFinder(context).find)
