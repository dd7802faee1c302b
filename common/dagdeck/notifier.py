"""BaseNotifier: a callback that sends a message, with templated fields.

Decides how a notifier is rendered and called. Subclassed by notifiers; given to on_*_callback arguments.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from dagdeck.context import Context


class BaseNotifier:
    """Base of notifiers. `template_fields` are rendered with the context before `notify` is called."""

    template_fields: Sequence[str] = ()
    template_ext: Sequence[str] = ()
    template_fields_renderers: ClassVar[dict[str, str]] = {}

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments

    @property
    def log(self) -> logging.Logger:
        """The notifier's logger."""
        return logging.getLogger(f"{type(self).__module__}.{type(self).__qualname__}")

    @abstractmethod
    def notify(self, context: Context) -> None:
        """Send the message."""

    def __call__(self, *args: Any) -> None:
        """Render the template fields of a copy of this notifier and send. Called with the context."""
        from dagdeck.templating import render

        context = args[0]
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for field in self.template_fields:
            value = getattr(twin, field, None)
            if value:
                setattr(twin, field, render(value, context, context["task"]))
        twin.notify(context)
