"""BaseOperatorLink: a link that an operator offers beside its tasks.

Decides what such a link is made of, and which links a task has: its operator's and those of plugins. Its name is stored
with the task, its address pushed as an XCom when a try ends (`dagdeck_task.extra_links`). Subclassed by operators and
plugins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from dagdeck import plugins

if TYPE_CHECKING:
    from dagdeck.operator import BaseOperator


class BaseOperatorLink(ABC):
    """Base of links to other systems."""

    operators: ClassVar[list[type]] = []
    """Operator classes that a plugin gives the link to."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What stands on the button."""

    @property
    def xcom_key(self) -> str:
        """The key under which a task may push the address."""
        return f"_link_{type(self).__name__}"

    @abstractmethod
    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address for one task instance."""


def links_of(task: BaseOperator) -> dict[str, Any]:
    """The links of a task by their names. Where a plugin's link has the name of another, it takes its place."""
    return {str(getattr(link, "name", link)): link for link in (*task.operator_extra_links, *plugins.links_for(task))}


def key_of(link: Any) -> str:
    """The key of the XCom that holds a link's address. Links of Airflow 2 do not say one."""
    return str(getattr(link, "xcom_key", None) or f"_link_{type(link).__name__}")
