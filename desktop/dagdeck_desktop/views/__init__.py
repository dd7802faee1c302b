"""The pages of the control center.

Decides which pages there are and their order in the rail. Does not decide navigation (`shell`). Called by `__main__`.
"""

from __future__ import annotations

from collections.abc import Callable

from dagdeck_desktop.context import DesktopContext

PAGES: tuple[Callable[[DesktopContext], None], ...] = ()
"""One function per page; each calls `context.window.add_page`."""


def register_pages(context: DesktopContext) -> None:
    """Add every page to the window."""
    for register in PAGES:
        register(context)
