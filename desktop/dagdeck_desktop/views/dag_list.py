"""The list of DAGs: filter bar, pause switch, tags, last runs, next run.

Decides layout and columns. Does not decide what passes a filter (`viewmodels.dag_list`). Registered by `views`.
"""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from dagdeck_client.models import DagDetails, DagRun
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.tables import RowModel, RowTable
from dagdeck_desktop.viewmodels.dag_list import DagFilter, DagListModel, DagRow
from dagdeck_desktop.viewmodels.wording import count_text
from dagdeck_desktop.views.dag_actions import DagActions
from dagdeck_desktop.views.dag_columns import SWITCH_COLUMN, DagColumns
from dagdeck_desktop.views.page import Page
from dagdeck_desktop.views.trigger_dialog import TriggerDialog
from dagdeck_desktop.widgets import Card, EmptyState, label, search_field

ROW_HEIGHT = 54
LONG_LIST = 500
GATHER_MS = 250
_CHIPS = (("", "All"), ("failed", "Failed"), ("running", "Running"), ("queued", "Queued"), ("success", "Success"))
_PAUSED = (("Active and paused", None), ("Active", False), ("Paused", True))


class DagListPage(Page):
    """All DAGs of the cluster."""

    def __init__(self, context: DesktopContext, actions: DagActions) -> None:
        self._actions = actions
        self.model = DagListModel(context.api, context.feed)
        super().__init__(context, "DAGs", self.model)
        columns = DagColumns(context.theme, context.icons, self.model.switching)
        self.table_model: RowModel[DagRow] = RowModel(columns.all(), lambda row: row.dag.dag_id)
        self.table = RowTable(context.theme, self.table_model, "DAGs", row_height=ROW_HEIGHT, opens_by_click=False)
        self.nothing_found = EmptyState(
            context.theme, context.icons, "search", "No DAG passes the filter", "Change or clear the filter above."
        )
        self.nothing_found.add_button("Clear the filter", self.clear_filter, "x")
        empty = EmptyState(
            context.theme,
            context.icons,
            "workflow",
            "No DAGs yet",
            "Put Python files that define DAGs into the cluster's DAG folder; they appear here within seconds.",
        )
        self.set_content(self._content(), empty)
        self._typing = QTimer(self, singleShot=True, interval=80)
        self._typing.timeout.connect(self.show_rows)
        self.search.textChanged.connect(lambda _text: self._typing.start())
        self.table.cell_clicked.connect(self._clicked)
        self.table.opened.connect(self._open)
        self.table.menu_wanted.connect(self._menu)
        self.table.current_changed.connect(lambda _row: context.actions.refresh())
        self._gathering = QTimer(self, singleShot=True, interval=GATHER_MS)
        self._gathering.timeout.connect(self.show_rows)
        self.model.changed.connect(self._changed)
        self.model.params_came.connect(self._ask_run)
        self.model.run_started.connect(self._show_run)
        # "in 3 m" must not stand still.
        self._clock = QTimer(self, interval=10_000)
        self._clock.timeout.connect(self.table.viewport().update)
        self._clock.start()
        self.show_rows()

    def _content(self) -> QWidget:
        content = QWidget(self)
        column = QVBoxLayout(content)
        margin = self.context.theme.metrics.page_margin
        column.setContentsMargins(margin, 0, margin, margin)
        column.setSpacing(12)
        column.addLayout(self._filter_bar())
        card = Card(margin=1, gap=0)
        card.body.addWidget(self.table, 1)
        card.body.addWidget(self.nothing_found, 1)
        column.addWidget(card, 1)
        return content

    def _filter_bar(self) -> QHBoxLayout:
        bar = QHBoxLayout()
        bar.setSpacing(8)
        self.search = search_field("Filter by name, owner or tag", self.context.icons, self)
        self.search.setMinimumWidth(200)
        self.search.setMaximumWidth(340)
        bar.addWidget(self.search, 1)
        self.chips = QButtonGroup(self)
        self.chips.setExclusive(True)
        self._chip_of: dict[str, QPushButton] = {}
        for state, text in _CHIPS:
            chip = QPushButton(text, self)
            chip.setCheckable(True)
            chip.setChecked(state == "")
            chip.setProperty("kind", "chip")
            chip.setCursor(Qt.CursorShape.PointingHandCursor)
            self.chips.addButton(chip)
            self._chip_of[state] = chip
            bar.addWidget(chip)
        self.chips.buttonClicked.connect(lambda _button: self.show_rows())
        bar.addStretch(1)
        self.count_label = label("", "tertiary", self)
        bar.addWidget(self.count_label)
        self.tag_box = QComboBox(self)
        self.tag_box.setAccessibleName("Tag")
        self.tag_box.addItem("All tags", "")
        self.tag_box.currentIndexChanged.connect(lambda _index: self.show_rows())
        self.paused_box = QComboBox(self)
        self.paused_box.setAccessibleName("Active or paused")
        for text, value in _PAUSED:
            self.paused_box.addItem(text, value)
        self.paused_box.currentIndexChanged.connect(lambda _index: self.show_rows())
        bar.addWidget(self.tag_box)
        bar.addWidget(self.paused_box)
        return bar

    # ------------------------------------------------------------ what is shown

    @property
    def wanted(self) -> DagFilter:
        """The filter as it is set now."""
        state = next((key for key, chip in self._chip_of.items() if chip.isChecked()), "")
        return DagFilter(
            text=self.search.text(),
            state=state,
            paused=self.paused_box.currentData(),
            tag=self.tag_box.currentData() or "",
        )

    def clear_filter(self) -> None:
        """Show all DAGs."""
        self.search.clear()
        self._chip_of[""].setChecked(True)
        self.tag_box.setCurrentIndex(0)
        self.paused_box.setCurrentIndex(0)
        self.show_rows()

    def _changed(self) -> None:
        """Show a change at once; those of a long list a few times a second, as it is looked through anew each time."""
        if len(self.model.rows) < LONG_LIST or not self.table_model.rows:
            self.show_rows()
        elif not self._gathering.isActive():
            self._gathering.start()

    def show_rows(self) -> None:
        """Fill the table anew from the model and the filter."""
        if not self.show_phase(is_empty=not self.model.rows):
            return
        self._show_tags()
        rows = self.model.filtered(self.wanted)
        self.table_model.set_rows(rows)
        self.table.setVisible(bool(rows))
        self.nothing_found.setVisible(not rows)
        total = len(self.model.rows)
        self.count_label.setText(
            count_text(total, "DAG") if len(rows) == total else f"{len(rows):,} of {count_text(total, 'DAG')}"
        )
        counts = self.model.state_counts()
        for state, text in _CHIPS[1:]:
            number = counts[state]
            self._chip_of[state].setText(f"{text}  {number:,}" if number else text)
        self.table.viewport().update()

    def _show_tags(self) -> None:
        tags = ["", *self.model.tags]
        if [self.tag_box.itemData(number) for number in range(self.tag_box.count())] == tags:
            return
        chosen = self.tag_box.currentData() or ""
        self.tag_box.blockSignals(True)
        self.tag_box.clear()
        for tag in tags:
            self.tag_box.addItem(tag or "All tags", tag)
        self.tag_box.setCurrentIndex(max(0, self.tag_box.findData(chosen)))
        self.tag_box.blockSignals(False)

    # ------------------------------------------------------------ what a person does

    def _clicked(self, row: DagRow, column: int) -> None:
        if column == SWITCH_COLUMN:
            self.model.set_paused(row.dag.dag_id, not row.dag.is_paused)
        else:
            self._open(row)

    def _open(self, row: DagRow) -> None:
        self.context.window.open_page("dag", dag_id=row.dag.dag_id)

    def _menu(self, row: DagRow, point: QPoint) -> None:
        self.table.set_current_key(row.dag.dag_id)
        self.context.actions.menu(["dag.trigger", None, "dag.pause", "dag.unpause"], self).popup(point)

    @property
    def dag_id(self) -> str:
        """The DAG with the cursor."""
        row = self.table.current
        return row.dag.dag_id if row is not None else ""

    @property
    def is_dag_paused(self) -> bool:
        """Whether that DAG is paused."""
        row = self.table.current
        return row is not None and row.dag.is_paused

    def is_shown(self) -> bool:
        """True while the page is in front."""
        return self.isVisible()

    def trigger(self) -> None:
        """Ask for params and start a run of the DAG with the cursor."""
        self.model.ask_params(self.dag_id)

    def set_paused(self, is_paused: bool) -> None:
        """Pause the DAG with the cursor, or let it run."""
        self.model.set_paused(self.dag_id, is_paused)

    def _ask_run(self, details: DagDetails) -> None:
        dialog = TriggerDialog(self.context, details.dag_id, details.params or {}, self.window())
        dialog.accepted_run.connect(
            lambda conf, run_id, note: self.model.trigger(details.dag_id, conf, run_id=run_id, note=note)
        )
        dialog.open()

    def _show_run(self, run: DagRun) -> None:
        self.context.window.open_page("dag", dag_id=run.dag_id, run_id=run.dag_run_id)

    def showEvent(self, event: QShowEvent) -> None:
        self._actions.set_target(self)
        super().showEvent(event)
