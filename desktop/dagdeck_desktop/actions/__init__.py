"""Everything a person can do, in one registry that feeds menus, shortcuts, the command palette and "copy as CLI"."""

from dagdeck_desktop.actions.registry import ActionRegistry
from dagdeck_desktop.actions.spec import ActionScope, ActionSpec

__all__ = ["ActionRegistry", "ActionScope", "ActionSpec"]
