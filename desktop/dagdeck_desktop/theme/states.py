"""How the states of tasks and runs look: colour, glyph, icon and the words for people.

Decides these for each state; colour is never the only sign. Does not decide which state something is in. Read by
`tokens`, `theme`, the graph, tables and pills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PySide6.QtGui import QColor

from dagdeck_core.states import DagRunState, TaskInstanceState
from dagdeck_desktop.theme.glyphs import StateGlyph

ShownState = TaskInstanceState
"""What is drawn: run states have the look of the task states of the same name."""

_T = TaskInstanceState

LIGHT_STATES: Mapping[ShownState, str] = {
    _T.NONE: "#DEDEE2",
    _T.SCHEDULED: "#B3D2DF",
    _T.QUEUED: "#7C838F",
    _T.RUNNING: "#006FD3",
    _T.SUCCESS: "#21A85E",
    _T.FAILED: "#C00B0F",
    _T.UP_FOR_RETRY: "#EFB008",
    _T.UP_FOR_RESCHEDULE: "#0A8F9E",
    _T.DEFERRED: "#614199",
    _T.AWAITING_INPUT: "#D6278A",
    _T.SKIPPED: "#C895B9",
    _T.UPSTREAM_FAILED: "#602200",
    _T.REMOVED: "#154E4F",
    _T.RESTARTING: "#8F7BE8",
}

DARK_STATES: Mapping[ShownState, str] = {
    _T.NONE: "#343B46",
    _T.SCHEDULED: "#315269",
    _T.QUEUED: "#A7B3C0",
    _T.RUNNING: "#499EF3",
    _T.SUCCESS: "#55D692",
    _T.FAILED: "#E34648",
    _T.UP_FOR_RETRY: "#FEC83F",
    _T.UP_FOR_RESCHEDULE: "#35B9C9",
    _T.DEFERRED: "#8146BF",
    _T.AWAITING_INPUT: "#F26DB6",
    _T.SKIPPED: "#A25880",
    _T.UPSTREAM_FAILED: "#F68854",
    _T.REMOVED: "#5F9799",
    _T.RESTARTING: "#B5A4FF",
}

GLYPHS: Mapping[ShownState, StateGlyph] = {
    _T.NONE: StateGlyph.DASHED_OUTLINE,
    _T.SCHEDULED: StateGlyph.OUTLINE,
    _T.QUEUED: StateGlyph.DOTS,
    _T.RUNNING: StateGlyph.PLAY,
    _T.SUCCESS: StateGlyph.PLAIN,
    _T.FAILED: StateGlyph.CROSS,
    _T.UP_FOR_RETRY: StateGlyph.OPEN_RING,
    _T.UP_FOR_RESCHEDULE: StateGlyph.CLOCK,
    _T.DEFERRED: StateGlyph.PAUSE,
    _T.AWAITING_INPUT: StateGlyph.QUESTION,
    _T.SKIPPED: StateGlyph.SLASH,
    _T.UPSTREAM_FAILED: StateGlyph.EXCLAMATION,
    _T.REMOVED: StateGlyph.DASH,
    _T.RESTARTING: StateGlyph.DOUBLE_CHEVRON,
}

ICONS: Mapping[ShownState, str] = {
    _T.NONE: "circle-dashed",
    _T.SCHEDULED: "calendar-clock",
    _T.QUEUED: "hourglass",
    _T.RUNNING: "loader-circle",
    _T.SUCCESS: "circle-check",
    _T.FAILED: "circle-x",
    _T.UP_FOR_RETRY: "rotate-cw",
    _T.UP_FOR_RESCHEDULE: "clock",
    _T.DEFERRED: "pause",
    _T.AWAITING_INPUT: "circle-question-mark",
    _T.SKIPPED: "skip-forward",
    _T.UPSTREAM_FAILED: "circle-alert",
    _T.REMOVED: "circle-minus",
    _T.RESTARTING: "repeat",
}

LABELS: Mapping[ShownState, str] = {
    _T.NONE: "No status",
    _T.SCHEDULED: "Scheduled",
    _T.QUEUED: "Queued",
    _T.RUNNING: "Running",
    _T.SUCCESS: "Success",
    _T.FAILED: "Failed",
    _T.UP_FOR_RETRY: "Up for retry",
    _T.UP_FOR_RESCHEDULE: "Up for reschedule",
    _T.DEFERRED: "Deferred",
    _T.AWAITING_INPUT: "Awaiting input",
    _T.SKIPPED: "Skipped",
    _T.UPSTREAM_FAILED: "Upstream failed",
    _T.REMOVED: "Removed",
    _T.RESTARTING: "Restarting",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTone:
    """The colours of a state's pill: its tinted ground, the text and icon on it, and its edge."""

    ground: QColor
    text: QColor
    border: QColor


def shown_state(state: TaskInstanceState | DagRunState | str | None) -> ShownState:
    """The state whose look to use; one that this desktop does not know looks like "no status"."""
    if state is None:
        return TaskInstanceState.NONE
    try:
        return TaskInstanceState(str(state))
    except ValueError:
        return TaskInstanceState.NONE


def state_label(state: TaskInstanceState | DagRunState | str | None) -> str:
    """The words for people; a state that this desktop does not know is shown as the server spells it."""
    if state is None:
        return LABELS[TaskInstanceState.NONE]
    known = shown_state(state)
    if known is TaskInstanceState.NONE and str(state) != known.value:
        return str(state).replace("_", " ").capitalize()
    return LABELS[known]
