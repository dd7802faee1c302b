"""Children for screen readers out of what an area paints: one for each item that is visible now.

Decides how painted items appear to assistive technology: name, description, place, role, and whether they are selected
or focused. Does not decide which items there are: an area says so by `accessible_items()`. Installed by each area's
constructor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

import shiboken6
from PySide6.QtCore import QObject, QPoint, QRect
from PySide6.QtGui import QAccessible, QAccessibleEvent, QAccessibleInterface, QWindow
from PySide6.QtWidgets import QAbstractScrollArea, QAccessibleWidget, QWidget

MOST_ITEMS = 500
"""More visible items than this are not told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessibleItem:
    """A painted item as a screen reader tells it. `rect` is in the coordinates of the painted viewport."""

    name: str
    description: str = ""
    rect: QRect
    role: QAccessible.Role = QAccessible.Role.ListItem
    is_selected: bool = False
    is_focused: bool = False


@runtime_checkable
class PaintsItems(Protocol):
    """An area whose painted items are told."""

    def accessible_items(self) -> Sequence[AccessibleItem]:
        """What is visible now, in reading order. Called only while assistive technology asks."""


class AreaInterface(QAccessibleWidget):
    """An area and its painted items. The widget holds it, so that it lives as long as Qt knows it."""

    def __init__(self, area: QWidget) -> None:
        super().__init__(area, QAccessible.Role.List)
        self._area = area
        self._children: list[ItemInterface] = []
        self._items: Sequence[AccessibleItem] = ()

    def items(self) -> Sequence[AccessibleItem]:
        """The items now."""
        if shiboken6.isValid(self._area) and isinstance(self._area, PaintsItems):
            self._items = self._area.accessible_items()[:MOST_ITEMS]
        else:
            self._items = ()
        return self._items

    def item(self, number: int) -> AccessibleItem | None:
        """The item of a child, while there is one."""
        items = self.items()
        return items[number] if 0 <= number < len(items) else None

    @property
    def area(self) -> QWidget:
        """The widget that paints."""
        return self._area

    def childCount(self) -> int:
        return len(self.items())

    def child(self, index: int) -> QAccessibleInterface | None:  # type: ignore[override]
        if not 0 <= index < self.childCount():
            return None
        while len(self._children) <= index:
            made = ItemInterface(self, len(self._children))
            QAccessible.registerAccessibleInterface(made)
            self._children.append(made)
        return self._children[index]

    def indexOfChild(self, child: QAccessibleInterface) -> int:
        return child.number if isinstance(child, ItemInterface) and child.owner is self else -1

    def childAt(self, x: int, y: int) -> QAccessibleInterface | None:  # type: ignore[override]
        point = painted_on(self._area).mapFromGlobal(QPoint(x, y))
        for number, item in enumerate(self.items()):
            if item.rect.contains(point):
                return self.child(number)
        return None

    def release(self) -> None:
        """Take the children out of Qt's registry."""
        for child in self._children:
            QAccessible.deleteAccessibleInterface(QAccessible.uniqueId(child))
        self._children.clear()


class ItemInterface(QAccessibleInterface):
    """The item at a place in its area's list."""

    def __init__(self, owner: AreaInterface, number: int) -> None:
        super().__init__()
        self.owner = owner
        self.number = number

    def isValid(self) -> bool:
        return shiboken6.isValid(self.owner.area)

    def object(self) -> QObject | None:  # type: ignore[override]
        return None

    def window(self) -> QWindow | None:  # type: ignore[override]
        return self.owner.area.window().windowHandle() if self.isValid() else None

    def parent(self) -> QAccessibleInterface | None:  # type: ignore[override]
        return self.owner if self.isValid() else None

    def child(self, index: int) -> QAccessibleInterface | None:  # type: ignore[override]
        return None

    def childAt(self, x: int, y: int) -> QAccessibleInterface | None:  # type: ignore[override]
        return None

    def childCount(self) -> int:
        return 0

    def indexOfChild(self, child: QAccessibleInterface) -> int:
        return -1

    def rect(self) -> QRect:
        item = self.owner.item(self.number)
        if item is None:
            return QRect()
        return QRect(painted_on(self.owner.area).mapToGlobal(item.rect.topLeft()), item.rect.size())

    def role(self) -> QAccessible.Role:
        item = self.owner.item(self.number)
        return item.role if item is not None else QAccessible.Role.NoRole

    def state(self) -> QAccessible.State:
        state = QAccessible.State()
        item = self.owner.item(self.number)
        # Qt's flags are bits of a struct, which Python sees as whole numbers.
        flags: Any = state
        if item is None:
            flags.invisible = 1
            return state
        flags.selectable = 1
        flags.focusable = 1
        flags.selected = int(item.is_selected)
        flags.focused = int(item.is_focused)
        return state

    def text(self, t: QAccessible.Text) -> str:
        item = self.owner.item(self.number)
        if item is None:
            return ""
        if t is QAccessible.Text.Name:
            return item.name
        return item.description if t in (QAccessible.Text.Description, QAccessible.Text.Value) else ""

    def setText(self, t: QAccessible.Text, text: str) -> None:
        """What is painted cannot be written into."""


def painted_on(area: QWidget) -> QWidget:
    """The widget whose coordinates an area's items have."""
    return area.viewport() if isinstance(area, QAbstractScrollArea) else area


@cache
def install_accessible_areas() -> None:
    """Let Qt ask our areas for their items. Needs a QGuiApplication; a second call changes nothing."""
    QAccessible.installFactory(_interface_of)


def announce_items(area: QWidget) -> None:
    """Tell assistive technology that other items are visible or selected now."""
    if QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleEvent(area, QAccessible.Event.VisibleDataChanged))


def _interface_of(_: str, target: QObject) -> QAccessibleInterface | None:
    if not isinstance(target, QWidget) or not isinstance(target, PaintsItems):
        return None
    interface = AreaInterface(target)
    # Qt holds a plain pointer: Python must not collect the interface before the widget goes.
    target.__dict__["_accessible_interface"] = interface
    target.destroyed.connect(_releaser(interface))
    return interface


def _releaser(interface: AreaInterface) -> Callable[[], None]:
    return lambda: interface.release()
