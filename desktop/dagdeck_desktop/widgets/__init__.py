"""The small widgets that screens are made of: pills, page headers, placeholders, freshness, cards.

Decides their look and behaviour, not what they show. Used by the shell and by views.
"""

from dagdeck_desktop.widgets.confirmation import confirm
from dagdeck_desktop.widgets.controls import Card, IconLabel, button, label, line, search_field
from dagdeck_desktop.widgets.freshness import FreshnessLabel
from dagdeck_desktop.widgets.header import PageHeader
from dagdeck_desktop.widgets.pill import StatePill
from dagdeck_desktop.widgets.placeholders import ContentStack, EmptyState, ErrorState, LoadingState

__all__ = [
    "Card",
    "ContentStack",
    "EmptyState",
    "ErrorState",
    "FreshnessLabel",
    "IconLabel",
    "LoadingState",
    "PageHeader",
    "StatePill",
    "button",
    "confirm",
    "label",
    "line",
    "search_field",
]
