"""The pages of the window: built when first opened, remembered with a history to go back in.

Decides which page is in front and where "back" leads. Does not know what pages show. Used by `window`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from dagdeck_core.errors import Bug

HISTORY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A page and what it shows: key "dag" with {"dag_id": "churn"}."""

    key: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSpec:
    """A page as registered. `in_rail` puts it into the rail, else only other pages lead to it."""

    key: str
    title: str
    icon_name: str
    widget_factory: Callable[[], QWidget]
    in_rail: bool = True
    rail_key: str = ""
    """The rail's entry that is marked while this page is in front; "" means its own."""


@runtime_checkable
class RoutedPage(Protocol):
    """A page that shows different things: it is told which each time it is opened."""

    def open_route(self, params: Mapping[str, str]) -> None:
        """Show what `params` name."""


@runtime_checkable
class RefreshablePage(Protocol):
    """A page that can load its data anew (F5)."""

    def refresh(self) -> None:
        """Load the data anew."""


class PageStack(QStackedWidget):
    """The pages, one in front. `opened` tells each change with its route."""

    opened = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._specs: dict[str, PageSpec] = {}
        self._widgets: dict[str, QWidget] = {}
        self._history: list[Route] = []
        self._position = -1

    def add(self, spec: PageSpec) -> None:
        """Register a page. Raises Bug when its key is taken."""
        if spec.key in self._specs:
            raise Bug(f"the page {spec.key} is registered already")
        self._specs[spec.key] = spec

    def spec(self, key: str) -> PageSpec:
        """A page as registered. Raises Bug for a key that does not exist."""
        try:
            return self._specs[key]
        except KeyError:
            raise Bug(f"there is no page {key}") from None

    @property
    def specs(self) -> tuple[PageSpec, ...]:
        """All pages in the order of registration."""
        return tuple(self._specs.values())

    @property
    def route(self) -> Route | None:
        """What is in front."""
        return self._history[self._position] if self._position >= 0 else None

    @property
    def can_go_back(self) -> bool:
        """True when something was in front before."""
        return self._position > 0

    @property
    def can_go_forward(self) -> bool:
        """True after going back."""
        return self._position < len(self._history) - 1

    def open(self, route: Route) -> QWidget:
        """Bring a page to the front and tell it what to show. Raises Bug for a key that does not exist."""
        self.spec(route.key)
        if route != self.route:
            del self._history[self._position + 1 :]
            self._history.append(route)
            del self._history[:-HISTORY]
            self._position = len(self._history) - 1
        return self._show(route)

    def go(self, steps: int) -> None:
        """Go back (-1) or forward (1) in the history; beyond its ends nothing happens."""
        target = self._position + steps
        if 0 <= target < len(self._history):
            self._position = target
            self._show(self._history[target])

    def reset(self) -> None:
        """Throw all pages and the history away: what they show belongs to a cluster that was left."""
        for widget in self._widgets.values():
            self.removeWidget(widget)
            widget.deleteLater()
        self._widgets.clear()
        self._history.clear()
        self._position = -1

    def _show(self, route: Route) -> QWidget:
        widget = self._widgets.get(route.key)
        if widget is None:
            widget = self._widgets[route.key] = self._specs[route.key].widget_factory()
            self.addWidget(widget)
        self.setCurrentWidget(widget)
        if isinstance(widget, RoutedPage):
            widget.open_route(route.params)
        self.opened.emit(route)
        return widget
