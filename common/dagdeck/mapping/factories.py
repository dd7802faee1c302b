"""What decorated functions have in common: `.partial()` and the checks of `.expand()`.

Decides how arguments of the function are kept and refused. What a call or an expansion makes is the factories' own
business. Base of the `@task` and `@task_group` factories.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from dagdeck.mapping.expand_inputs import ExpandedLists, refuse_duplicates
from dagdeck.mapping.signatures import check_names


class ExpandableFactory(ABC):
    """A decorated function, and arguments that its calls and expansions give it as well."""

    function: Callable[..., Any]
    given: Mapping[str, Any]

    @abstractmethod
    def override(self, **arguments: Any) -> Self:
        """The same function, made with other arguments of what it makes."""

    def partial(self, **arguments: Any) -> Self:
        """A factory whose calls and expansions give the function these arguments as well.

        Raises UserError for arguments that the function does not take or that are given twice.
        """
        check_names(self.function, "partial", arguments)
        refuse_duplicates(self.given, arguments, "duplicate partial")
        twin = self.override()
        twin.given = {**self.given, **arguments}
        return twin

    def _expanded_lists(self, mapped: Mapping[str, Any]) -> ExpandedLists:
        """The arguments of `expand()`. Raises UserError for those that cannot be mapped, or are given already."""
        check_names(self.function, "expand", mapped)
        refuse_duplicates(self.given, mapped, "mapping already partial")
        return ExpandedLists(mapped)
