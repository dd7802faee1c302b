"""Lists of runs as Home shows them: a row each, which opens its run, and as many as there is room for.

Decides the look of a row and of a list without any. Does not decide which runs are in it (`viewmodels.home`). Used by
`home`.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from dagdeck_client.models import DagRun
from dagdeck_core.states import DagRunState
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.viewmodels.home import age_of
from dagdeck_desktop.viewmodels.wording import distance_text, duration_text
from dagdeck_desktop.views.run_table import started_by
from dagdeck_desktop.widgets import Card, IconLabel, StatePill, label
from dagdeck_desktop.widgets.header import ElidedLabel

MOST_ROWS = 6
ROW_HEIGHT = 40
HEAD_HEIGHT = 44
_PILL_ROOM = 96


class RunRow(QPushButton):
    """One run in a list; a click opens it."""

    def __init__(self, context: DesktopContext, parent: QWidget | None = None, *, is_wide: bool = False) -> None:
        super().__init__(parent)
        self._context = context
        self.setProperty("kind", "row")
        self.setFixedHeight(ROW_HEIGHT)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 16, 0)
        row.setSpacing(8)
        self._pill: StatePill | None = None
        self._sign = IconLabel(context.theme, context.icons, "circle-dashed", 16, "text_3", self)
        self._sign.setVisible(not is_wide)
        place = QWidget(self)
        place.setVisible(is_wide)
        if is_wide:
            # The names of runs in different states begin at one line.
            place.setFixedWidth(_PILL_ROOM)
            inside = QHBoxLayout(place)
            inside.setContentsMargins(0, 0, 0, 0)
            self._pill = StatePill(context.theme, context.icons, None, place)
            inside.addWidget(self._pill)
            inside.addStretch(1)
        self._name = ElidedLabel("", "body", self)
        self._when = label("", "tertiary", self)
        self._length = label("", "secondary", self)
        self._length.setMinimumWidth(64)
        self._is_wide = is_wide
        if is_wide:
            self._when.setMinimumWidth(72)
            self._when.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._length.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._about = ElidedLabel("", "secondary", self)
        self._about.setVisible(is_wide)
        row.addWidget(self._sign)
        row.addWidget(place)
        row.addWidget(self._name, 5)
        row.addWidget(self._about, 4)
        row.addWidget(self._when)
        row.addWidget(self._length)
        for widget in (self._sign, place, self._name, self._about, self._when, self._length):
            widget.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._run: DagRun | None = None
        self.clicked.connect(self._open)

    def set_run(self, run: DagRun) -> None:
        """Show a run."""
        self._run = run
        if self._pill is not None:
            self._pill.set_state(run.state)
        self._sign.set_state(run.state)
        self._name.setText(run.dag_id)
        self._about.setText(started_by(run))
        length = duration_text(age_of(run))
        is_over = run.state not in (DagRunState.RUNNING, DagRunState.QUEUED)
        when = distance_text(run.end_date or run.run_after) if is_over else ""
        # In a small list the title says how it stands; of when and how long, the one that matters there is enough.
        self._when.setText(when if self._is_wide else "")
        self._length.setText((length if self._is_wide else when) if is_over else f"for {length}")
        self.setToolTip(f"{run.dag_id}\n{run.dag_run_id}")
        said = f"{when}, took {length}" if is_over else f"for {length}"
        self.setAccessibleName(f"{run.dag_id}, {self._context.theme.state_label(run.state)}, {said}")

    def _open(self) -> None:
        if self._run is not None:
            self._context.window.open_page("dag", dag_id=self._run.dag_id, run_id=self._run.dag_run_id)


class RunList(Card):
    """A titled list of runs with a sentence for when it is empty. One that fills shows as many as it has room for;
    others are as high as their rows."""

    def __init__(
        self, context: DesktopContext, title: str, nothing: str, most: int = MOST_ROWS, *, fills: bool = False
    ) -> None:
        super().__init__(margin=0, gap=0)
        self._context = context
        self._most = most
        self._fills = fills
        self._runs: Sequence[DagRun] = ()
        head = QWidget(self)
        head.setFixedHeight(HEAD_HEIGHT)
        line = QHBoxLayout(head)
        line.setContentsMargins(16, 0, 16, 0)
        line.setSpacing(8)
        line.addWidget(label(title, "section", head))
        self._count = label("", "tertiary", head)
        line.addWidget(self._count)
        line.addStretch(1)
        self.body.addWidget(head)
        self._nothing = label(nothing, "tertiary", self)
        self._nothing.setContentsMargins(16, 0, 16, 16)
        self.body.addWidget(self._nothing)
        self._rows: list[RunRow] = []
        self._more = label("", "tertiary", self)
        self._more.setContentsMargins(16, 8, 16, 12)
        self.body.addWidget(self._more)
        self.body.addStretch(1)
        down = QSizePolicy.Policy.Expanding if fills else QSizePolicy.Policy.Preferred
        self.setSizePolicy(QSizePolicy.Policy.Preferred, down)

    def set_runs(self, runs: Sequence[DagRun]) -> None:
        """Show the first of these, and how many there are."""
        self._runs = runs
        self._show()

    @property
    def shown(self) -> list[str]:
        """The accessible names of the rows that are shown."""
        return [row.accessibleName() for row in self._rows if not row.isHidden()]

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(hint.width(), HEAD_HEIGHT + 5 * ROW_HEIGHT) if self._fills else hint

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return QSize(hint.width(), self.minimumSizeHint().height()) if self._fills else hint

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fills:
            self._show()

    def _room(self) -> int:
        """How many rows can be shown."""
        if not self._fills:
            return self._most
        return max(1, min(self._most, (self.height() - HEAD_HEIGHT - 2) // ROW_HEIGHT))

    def _show(self) -> None:
        runs, number = self._runs, min(self._room(), len(self._runs))
        while len(self._rows) < number:
            row = RunRow(self._context, self, is_wide=self._fills)
            self.body.insertWidget(2 + len(self._rows), row)
            self._rows.append(row)
        for at, row in enumerate(self._rows):
            if at < number:
                row.set_run(runs[at])
            row.setVisible(at < number)
        self._nothing.setVisible(not runs)
        self._count.setText(f"{len(runs):,}" if runs and not self._fills else "")
        self._more.setText(f"and {len(runs) - number:,} more")
        self._more.setVisible(len(runs) > number and not self._fills)
