"""The named colours and sizes that everything on screen is made of, for the light and the dark appearance.

Decides their values; nothing else in the desktop writes a colour as a literal. Does not decide which appearance is
shown (`theme`). Read by everything that paints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtGui import QColor

from dagdeck_desktop.theme.states import DARK_STATES, LIGHT_STATES, ShownState


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Sizes in logical pixels."""

    page_margin: int = 20
    card_gap: int = 12
    panel_margin: int = 16
    inner_gap: int = 8
    card_radius: int = 8
    node_radius: int = 7
    control_radius: int = 6
    cell_radius: int = 3
    pill_radius: int = 12
    rail_width: int = 76
    control_height: int = 30
    row_height: int = 36
    log_row_height: int = 20
    node_width: int = 200
    node_height: int = 46
    node_stripe: int = 5
    rail_icon: int = 20
    state_icon: int = 18
    button_icon: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The colours of one appearance. `states` holds one for every state that is shown."""

    is_dark: bool
    bg: QColor
    surface: QColor
    canvas: QColor
    border: QColor
    border_strong: QColor
    text_1: QColor
    text_2: QColor
    text_3: QColor
    accent: QColor
    accent_hover: QColor
    accent_ground: QColor
    on_accent: QColor
    edge: QColor
    grid_dot: QColor
    hover: QColor
    pressed: QColor
    shadow: QColor
    danger: QColor
    danger_ground: QColor
    warning: QColor
    warning_ground: QColor
    positive: QColor
    positive_ground: QColor
    info: QColor
    search_hit: QColor
    states: Mapping[ShownState, QColor] = field(repr=False)
    metrics: Metrics


def _tokens(*, is_dark: bool, states: Mapping[ShownState, str], shadow: QColor, **colors: str) -> Tokens:
    made: dict[str, Any] = {name: QColor(value) for name, value in colors.items()}
    of_states = {state: QColor(value) for state, value in states.items()}
    return Tokens(is_dark=is_dark, states=of_states, shadow=shadow, metrics=Metrics(), **made)


LIGHT = _tokens(
    is_dark=False,
    states=LIGHT_STATES,
    shadow=QColor(16, 24, 40, 20),
    bg="#F5F6F8",
    surface="#FFFFFF",
    canvas="#FAFBFC",
    border="#DFE3E8",
    border_strong="#C5CBD3",
    text_1="#1A1F27",
    text_2="#55606E",
    text_3="#7A8594",
    accent="#2F5FD0",
    accent_hover="#2852B8",
    accent_ground="#E8EEFC",
    on_accent="#FFFFFF",
    edge="#AEB6C1",
    grid_dot="#DDE1E7",
    hover="#EEF0F4",
    pressed="#E3E7ED",
    danger="#C00B0F",
    danger_ground="#FBE3E4",
    warning="#8A5A00",
    warning_ground="#FFF3D6",
    positive="#157A43",
    positive_ground="#DDF3E6",
    info="#0B63B8",
    search_hit="#FFE08A",
)

DARK = _tokens(
    is_dark=True,
    states=DARK_STATES,
    shadow=QColor(0, 0, 0, 90),
    bg="#101318",
    surface="#181C23",
    canvas="#13171D",
    border="#2A303A",
    border_strong="#3D4552",
    text_1="#E7EAEF",
    text_2="#A3ADBA",
    text_3="#758090",
    accent="#7BA3FF",
    accent_hover="#92B3FF",
    accent_ground="#22304F",
    on_accent="#0E1524",
    edge="#535D6B",
    grid_dot="#262C35",
    hover="#202630",
    pressed="#29303C",
    danger="#FF7B7D",
    danger_ground="#3A1E22",
    warning="#FFC83F",
    warning_ground="#362C14",
    positive="#55D692",
    positive_ground="#15301F",
    info="#6DB3F7",
    search_hit="#6B5310",
)
