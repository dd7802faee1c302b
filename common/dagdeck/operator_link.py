"""BaseOperatorLink: a link that an operator offers beside its tasks.

Decides what such a link is made of. Its name is stored with the task. Subclassed by operators and plugins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar


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
