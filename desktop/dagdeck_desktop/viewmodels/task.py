"""What the task panel shows beside the log: details, links, tries, XCom, and why a task does not run.

Decides what is asked for when, since each tab needs another answer. Does not draw. Used by `views.task_panel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Signal

from dagdeck_client.models import Explanation, ExtraLinks, TaskInstance, TaskInstancePage, XComPage
from dagdeck_client.requests.runs import explain, get_task_instance, list_tries
from dagdeck_client.requests.xcoms import XComEntry, get_links, get_xcom, list_xcoms
from dagdeck_core.errors import DagDeckError
from dagdeck_core.states import TERMINAL
from dagdeck_desktop.live import Feed
from dagdeck_desktop.transport import Api
from dagdeck_desktop.viewmodels.base import Phase, ViewModel
from dagdeck_desktop.viewmodels.run import TaskRow

MOST_XCOMS = 50
"""So many values are read; further keys are shown without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlace:
    """One task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


class TaskModel(ViewModel):
    """A task instance. `tries_came`, `xcoms_came` follow those answers."""

    WHAT = "The task could not be loaded"
    tries_came = Signal()
    xcoms_came = Signal()

    def __init__(self, api: Api, feed: Feed, parent: QObject | None = None) -> None:
        super().__init__(api, feed, parent)
        self.place: TaskPlace | None = None
        self.instance: TaskInstance | None = None
        self.tries: tuple[TaskInstance, ...] = ()
        self.xcoms: dict[str, Any] = {}
        self.xcom_keys: tuple[str, ...] = ()
        self.links: dict[str, str | None] = {}
        self.part_error: DagDeckError | None = None
        self.explanation: Explanation | None = None
        self._seen: tuple[str | None, int] | None = None

    def open(self, place: TaskPlace | None) -> None:
        """Show another task instance, or none."""
        if place == self.place:
            return
        self.place = place
        self.instance, self.tries, self.xcoms, self.xcom_keys = None, (), {}, ()
        self.links = {}
        self.explanation, self.part_error, self._seen = None, None, None
        self.phase = Phase.LOADING
        self.changed.emit()
        if self.is_active:
            self.load()

    def note(self, row: TaskRow | None) -> None:
        """The run's live state of this instance; when it has changed, the details are read anew."""
        seen = (row.state, row.try_number) if row is not None else None
        if seen != self._seen:
            self._seen = seen
            if self.is_active and self.place is not None:
                self.load()

    @property
    def is_finished(self) -> bool:
        """True once nothing will change by itself."""
        return self.instance is not None and self.instance.state in {state.value for state in TERMINAL}

    # ------------------------------------------------------------ loading

    def load(self) -> None:
        place = self.place
        if place is None:
            return
        request = get_task_instance(place.dag_id, place.run_id, place.task_id, place.map_index)
        self.ask(request, lambda ti: self._instance_came(place, ti), self.not_loaded)

    def load_tries(self) -> None:
        """Ask for all tries; `tries_came` follows."""
        place = self.place
        if place is not None:
            request = list_tries(place.dag_id, place.run_id, place.task_id, place.map_index)
            self.ask(request, lambda page: self._tries_came(place, page), lambda error: self._part(place, error, True))

    def load_links(self) -> None:
        """Ask for the addresses of the task's links; `changed` follows. A server without links has none."""
        place = self.place
        if place is not None:
            request = get_links(place.dag_id, place.run_id, place.task_id, map_index=place.map_index)
            self.ask(request, lambda found: self._links_came(place, found), lambda _error: None)

    def load_xcoms(self) -> None:
        """Ask for the keys and their values; `xcoms_came` follows each."""
        place = self.place
        if place is not None:
            request = list_xcoms(place.dag_id, place.run_id, place.task_id, map_index=place.map_index)
            self.ask(request, lambda page: self._keys_came(place, page), lambda error: self._part(place, error, False))

    def _instance_came(self, place: TaskPlace, instance: TaskInstance) -> None:
        if place != self.place:
            return
        self.instance = instance
        self.explanation = None
        if not self.is_finished and instance.state != "running":
            request = explain(place.dag_id, place.run_id, place.task_id, map_index=place.map_index)
            self.ask(request, lambda found: self._explained(place, found), lambda _error: None)
        self.ready()

    def _explained(self, place: TaskPlace, found: Explanation) -> None:
        if place == self.place:
            self.explanation = found
            self.changed.emit()

    def _tries_came(self, place: TaskPlace, page: TaskInstancePage) -> None:
        if place == self.place:
            self.tries, self.part_error = page.task_instances, None
            self.tries_came.emit()

    def _links_came(self, place: TaskPlace, found: ExtraLinks) -> None:
        if place == self.place and found.extra_links != self.links:
            self.links = found.extra_links
            self.changed.emit()

    def _keys_came(self, place: TaskPlace, page: XComPage) -> None:
        if place != self.place:
            return
        self.xcom_keys = tuple(entry.key for entry in page.xcom_entries)
        self.part_error = None
        self.xcoms = {key: value for key, value in self.xcoms.items() if key in self.xcom_keys}
        self.xcoms_came.emit()
        for key in self.xcom_keys[:MOST_XCOMS]:
            request = get_xcom(place.dag_id, place.run_id, place.task_id, key, map_index=place.map_index)
            self.ask(request, lambda entry: self._value_came(place, entry), lambda _error: None)

    def _value_came(self, place: TaskPlace, entry: XComEntry) -> None:
        if place == self.place:
            self.xcoms[entry.key] = entry.value
            self.xcoms_came.emit()

    def _part(self, place: TaskPlace, error: DagDeckError, is_tries: bool) -> None:
        if place == self.place:
            self.part_error = error
            (self.tries_came if is_tries else self.xcoms_came).emit()
