"""The Workers page: every worker with its load, live charts of the chosen one, what it runs, and the queues.

Decides layout and which worker is looked at. Does not collect samples (`viewmodels.workers`). Registered by `views`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSplitter, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from dagdeck_client.models import Queue, Worker
from dagdeck_desktop.charts import Sparkline
from dagdeck_desktop.charts.live_chart import LiveChart, Series
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.tables import Column, RowModel, RowTable
from dagdeck_desktop.viewmodels.wording import (
    bytes_text,
    count_text,
    distance_text,
    full_time_text,
    percent_text,
)
from dagdeck_desktop.viewmodels.workers import RunningTask, WorkersModel
from dagdeck_desktop.views.cards import FigureCard, card_row
from dagdeck_desktop.views.page import Page
from dagdeck_desktop.views.worker_actions import WorkerActions
from dagdeck_desktop.views.worker_columns import worker_columns
from dagdeck_desktop.widgets import Card, EmptyState, button, confirm, label
from dagdeck_desktop.widgets.header import ElidedLabel

ROW_HEIGHT = 52
SUM_MS = 250


def _whole(value: float) -> str:
    """A number of tasks; nothing for what lies between two."""
    return f"{round(value)}" if abs(value - round(value)) < 1e-6 else ""


_CHARTS: tuple[tuple[str, tuple[tuple[str, str, str], ...], Callable[[float], str], float], ...] = (
    ("CPU", (("cpu", "CPU", "accent"),), lambda value: f"{value * 100:.0f} %", 1.08),
    ("Memory", (("memory", "Memory", "info"),), lambda value: f"{value * 100:.0f} %", 1.08),
    ("Load", (("load", "Load, 1 minute", "warning"),), lambda value: f"{value:.1f}", 1.0),
    (
        "Network",
        (("received", "Received", "accent"), ("sent", "Sent", "positive")),
        lambda value: f"{bytes_text(value)}/s",
        1024.0,
    ),
    ("Tasks", (("running", "Running", "positive"),), _whole, 4.0),
)


class WorkersPage(Page):
    """All workers, and one of them closely."""

    def __init__(self, context: DesktopContext, actions: WorkerActions) -> None:
        self._actions = actions
        self.model = WorkersModel(context.api, context.feed)
        super().__init__(context, "Workers", self.model)
        self.chosen: int | None = None
        self._wanted: int | None = None
        self.charts: dict[str, tuple[LiveChart, tuple[str, ...]]] = {}
        self._add_cards()
        empty = EmptyState(
            context.theme,
            context.icons,
            "server",
            "No workers",
            "Nothing takes tasks now. Start a worker: dagdeckd worker",
        )
        self.set_content(self._content(), empty)
        self._summing = QTimer(self, singleShot=True, interval=SUM_MS)
        self._summing.timeout.connect(self._show_sums)
        self.model.changed.connect(self.show_state)
        self.model.sampled.connect(self._sampled)
        self.model.tasks_changed.connect(self._show_tasks)
        self.show_state()

    def open_route(self, params: Mapping[str, str]) -> None:
        """Look at the worker that a route names."""
        wanted = params.get("worker_id", "")
        if wanted.isdigit():
            self._wanted = int(wanted)
            self.show_state()

    # ------------------------------------------------------------ layout

    def _add_cards(self) -> None:
        theme = self.context.theme
        self.slots_card = FigureCard("Slots in use", self)
        self.cpu_card = FigureCard("CPU", self)
        self.memory_card = FigureCard("Memory", self)
        self.queue_card = FigureCard("Waiting in queues", self)
        self.curves = {
            "running": Sparkline(theme, "positive", self, from_zero=True, least_span=1.0),
            "cpu": Sparkline(theme, "accent", self, from_zero=True, least_span=0.2),
            "memory": Sparkline(theme, "info", self, from_zero=True, least_span=0.2),
        }
        self.slots_card.set_picture(self.curves["running"])
        self.cpu_card.set_picture(self.curves["cpu"])
        self.memory_card.set_picture(self.curves["memory"])

    def _content(self) -> QWidget:
        content = QWidget(self)
        column = QVBoxLayout(content)
        margin, gap = self.context.theme.metrics.page_margin, self.context.theme.metrics.card_gap
        column.setContentsMargins(margin, 0, margin, margin)
        column.setSpacing(gap)
        column.addLayout(card_row(self.slots_card, self.cpu_card, self.memory_card, self.queue_card, gap=gap))
        splitter = QSplitter(Qt.Orientation.Horizontal, self)
        splitter.setHandleWidth(gap)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(self._lists())
        splitter.addWidget(self._closely())
        splitter.setStretchFactor(0, 5)
        splitter.setStretchFactor(1, 6)
        splitter.setSizes([520, 640])
        column.addWidget(splitter, 1)
        return content

    def _lists(self) -> QWidget:
        side = QWidget(self)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(self.context.theme.metrics.card_gap)
        self.table = RowTable(
            self.context.theme,
            RowModel(worker_columns(self.context.theme, self.model), lambda worker: worker.worker_id),
            "Workers",
            row_height=ROW_HEIGHT,
        )
        self.table.current_changed.connect(lambda worker: self._choose(worker.worker_id if worker else None))
        self.table.menu_wanted.connect(self._menu)
        column.addWidget(_titled("Workers", self.table), 3)
        columns: list[Column[Queue]] = [
            Column(title="Queue", text=lambda queue: queue.name, stretches=True),
            Column(
                title="Waiting",
                text=lambda queue: f"{queue.depth:,}" if queue.depth is not None else "unknown",
                width=90,
                is_number=True,
            ),
            Column(title="Workers", text=lambda queue: f"{queue.workers:,}", width=90, is_number=True),
        ]
        self.queues = RowTable(self.context.theme, RowModel(columns, lambda queue: queue.name), "Queues")
        column.addWidget(_titled("Queues", self.queues), 1)
        return side

    def _closely(self) -> QWidget:
        self.detail = QStackedWidget(self)
        nothing = EmptyState(
            self.context.theme, self.context.icons, "activity", "Choose a worker", "Its load and tasks are shown here."
        )
        self.detail.addWidget(nothing)
        self.detail.addWidget(self._worker_card())
        return self.detail

    def _worker_card(self) -> QWidget:
        context = self.context
        card = Card(margin=0, gap=0)
        head = QHBoxLayout()
        head.setContentsMargins(16, 10, 12, 4)
        head.setSpacing(8)
        self.name = ElidedLabel("", "section", self)
        self.facts = ElidedLabel("", "tertiary", self)
        self.drain = button("Drain", context.icons, "power", parent=self)
        self.drain.clicked.connect(self.switch_draining)
        head.addWidget(self.name)
        head.addWidget(self.facts, 1)
        head.addWidget(self.drain)
        more = QToolButton(self)
        more.setAccessibleName("Actions on the worker")
        more.setToolTip("Drain or resume the worker, or copy the command line for it")
        context.icons.bind(more, "ellipsis", 18)
        more.clicked.connect(lambda: self._popup(more.mapToGlobal(QPoint(0, more.height() + 4))))
        head.addWidget(more)
        card.body.addLayout(head)
        grid = QGridLayout()
        grid.setContentsMargins(12, 4, 12, 4)
        grid.setSpacing(8)
        for number, (title, lines, shown, top) in enumerate(_CHARTS):
            grid.addWidget(self._chart(title, lines, shown, top), number // 2, number % 2)
        grid.addWidget(self._legend(), 2, 1)
        card.body.addLayout(grid, 5)
        card.body.addWidget(_pad(label("Running tasks", "section", self)))
        self.tasks = RowTable(
            context.theme, RowModel(self._task_columns(), lambda task: task.ti_id), "Running tasks", opens_by_click=True
        )
        self.tasks.opened.connect(self._open_task)
        self.idle = _pad(label("This worker runs nothing now.", "tertiary", self))
        card.body.addWidget(self.idle)
        card.body.addWidget(self.tasks, 2)
        return card

    def _chart(
        self, title: str, lines: tuple[tuple[str, str, str], ...], shown: Callable[[float], str], top: float
    ) -> QWidget:
        box = QWidget(self)
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(_pad(label(title, "secondary", box), 4))
        series = [Series(name=name, token=token, is_filled=len(lines) == 1) for _key, name, token in lines]
        base = 1024.0 if title == "Network" else 10.0
        chart = LiveChart(self.context.theme, series, shown, box, name=title, least_top=top, window=180.0, base=base)
        chart.setMinimumHeight(96)
        column.addWidget(chart, 1)
        self.charts[title] = (chart, tuple(key for key, _name, _token in lines))
        return box

    def _legend(self) -> QWidget:
        box = QWidget(self)
        grid = QGridLayout(box)
        grid.setContentsMargins(12, 16, 0, 0)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        self.figures: dict[str, ElidedLabel] = {}
        for number, key in enumerate(("Slots", "Memory", "Network", "Version", "Seen")):
            grid.addWidget(label(key, "secondary", box), number, 0)
            self.figures[key] = ElidedLabel("–", "body", box)
            grid.addWidget(self.figures[key], number, 1)
        grid.setRowStretch(5, 1)
        return box

    def _task_columns(self) -> list[Column[RunningTask]]:
        return [
            Column(title="Task", text=task_name, stretches=True, sort_key=task_name),
            Column(
                title="Running for",
                text=lambda task: (
                    distance_text(task.instance.start_date).removesuffix(" ago")
                    if task.instance is not None and task.instance.start_date is not None
                    else "–"
                ),
                width=100,
            ),
            Column(title="CPU", text=lambda task: percent_text(round(task.cpu, 2)), width=80, is_number=True),
            Column(title="Memory", text=lambda task: bytes_text(task.memory), width=90, is_number=True),
        ]

    # ------------------------------------------------------------ what is shown

    def show_state(self) -> None:
        """Show the model's state as it is now."""
        model = self.model
        if not self.show_phase(is_empty=not model.workers):
            return
        self.table.row_model.set_rows(model.listed())
        self.queues.row_model.set_rows(model.queues)
        if self._wanted in model.workers:
            self._choose(self._wanted)
            self._wanted = None
        if self.chosen not in model.workers:
            self._choose(next(iter(model.listed())).worker_id)
        self.table.set_current_key(self.chosen)
        self._show_cards()
        self._show_worker()

    def _show_cards(self) -> None:
        model = self.model
        used, slots = model.slots
        self.slots_card.set_figure(f"{used:,}", f"of {count_text(slots, 'slot')}")
        cpu, memory = model.share("cpu"), model.share("memory")
        workers = count_text(len(model.workers), "worker")
        self.cpu_card.set_figure(percent_text(round(cpu, 3) if cpu is not None else None), f"mean of {workers}")
        used_bytes = sum(worker.memory_used or 0 for worker in model.workers.values())
        total_bytes = sum(worker.memory_total or 0 for worker in model.workers.values())
        said = f"{bytes_text(used_bytes)} of {bytes_text(total_bytes)}" if total_bytes else "no samples yet"
        self.memory_card.set_figure(percent_text(round(memory, 3) if memory is not None else None), said)
        waiting = model.waiting
        self.queue_card.set_figure(
            f"{waiting:,}" if waiting is not None else "–",
            count_text(len(model.queues), "queue") if waiting is not None else "the queue does not tell",
        )
        for name, curve in self.curves.items():
            curve.set_values(model.mean_series(name)[-180:])

    def _choose(self, worker_id: int | None) -> None:
        if worker_id is None or worker_id == self.chosen:
            return
        self.chosen = worker_id
        moments = self.model.moments(worker_id)
        for chart, names in self.charts.values():
            chart.clear()
            rows = [self.model.series(worker_id, name) for name in names]
            for number, moment in enumerate(moments.tolist()):
                chart.append(moment, [float(row[number]) for row in rows])
        self._show_worker()
        self._show_tasks()

    def _sampled(self, worker_id: int) -> None:
        if worker_id == self.chosen:
            moment = float(self.model.moments(worker_id)[-1])
            for chart, names in self.charts.values():
                chart.append(moment, [float(self.model.series(worker_id, name)[-1]) for name in names])
            self._show_worker()
        # A hundred workers send a hundred samples a second: what sums them up is shown a few times a second.
        if not self._summing.isActive():
            self._summing.start()

    def _show_sums(self) -> None:
        self.table.row_model.set_rows(self.model.listed())
        self._show_cards()

    def _show_worker(self) -> None:
        worker = self.model.workers.get(self.chosen) if self.chosen is not None else None
        self.detail.setCurrentIndex(0 if worker is None else 1)
        if worker is None:
            return
        self.name.setText(worker.name)
        since = f", started {distance_text(worker.started_at)}" if worker.started_at is not None else ""
        self.facts.setText(f"{worker.hostname}, process {worker.pid or '–'}{since}")
        self.facts.setToolTip(full_time_text(worker.started_at))
        is_draining = worker.state == "draining"
        self.drain.setText("\u2009Resume" if is_draining else "\u2009Drain")
        self.drain.setAccessibleName(f"{'Resume' if is_draining else 'Drain'} {worker.name}")
        self.drain.setEnabled(worker.worker_id not in self.model.switching)
        network = f"{bytes_text(worker.net_received)}/s in, {bytes_text(worker.net_sent)}/s out"
        values = {
            "Slots": f"{worker.running} of {worker.slots} in use" + (", draining" if is_draining else ""),
            "Memory": f"{bytes_text(worker.memory_used)} of {bytes_text(worker.memory_total)}",
            "Network": network if worker.net_received is not None else "–",
            "Version": worker.version or "–",
            "Seen": distance_text(worker.last_seen_at),
        }
        for key, text in values.items():
            self.figures[key].setText(text)

    def _show_tasks(self) -> None:
        tasks = self.model.tasks.get(self.chosen, ()) if self.chosen is not None else ()
        self.tasks.row_model.set_rows(tasks)
        self.tasks.setVisible(bool(tasks))
        self.idle.setVisible(not tasks)

    # ------------------------------------------------------------ what a person does

    def switch_draining(self) -> None:
        """Ask, then let the chosen worker take nothing new; or let it take work again at once."""
        worker = self.model.workers.get(self.chosen) if self.chosen is not None else None
        if worker is None:
            return
        if worker.state == "draining":
            self.model.set_draining(worker.worker_id, False)
            return
        text = f"{worker.name} finishes what it runs and takes nothing new until it is resumed."
        if confirm(self.window(), f"Drain {worker.name}?", text, "Drain"):
            self.model.set_draining(worker.worker_id, True)

    @property
    def worker_id(self) -> int | None:
        """The worker that is looked at; None once it is gone."""
        return self.chosen if self.chosen in self.model.workers else None

    @property
    def is_draining(self) -> bool:
        """Whether that worker takes nothing new."""
        worker = self.model.workers.get(self.chosen) if self.chosen is not None else None
        return worker is not None and worker.state == "draining"

    def is_shown(self) -> bool:
        """True while the page is in front."""
        return self.isVisible()

    def _menu(self, worker: Worker, point: QPoint) -> None:
        self.table.set_current_key(worker.worker_id)
        self._popup(point)

    def _popup(self, point: QPoint) -> None:
        menu = self.context.actions.menu(("worker.drain", "worker.resume"), self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(point)

    def showEvent(self, event: QShowEvent) -> None:
        self._actions.set_target(self)
        super().showEvent(event)

    def _open_task(self, task: RunningTask) -> None:
        ti = task.instance
        if ti is not None:
            self.context.window.open_page("dag", dag_id=ti.dag_id, run_id=ti.dag_run_id, task_id=ti.task_id)


def task_name(task: RunningTask) -> str:
    """A running task's DAG and name, or its id until that is known."""
    ti = task.instance
    if ti is None:
        return task.ti_id
    return f"{ti.dag_id} · {ti.task_id}" + (f" [{ti.map_index}]" if ti.map_index >= 0 else "")


def _titled(title: str, inside: QWidget) -> Card:
    card = Card(margin=0, gap=0)
    card.body.addWidget(_pad(label(title, "section")))
    card.body.addWidget(inside, 1)
    card.body.setContentsMargins(1, 1, 1, 1)
    return card


def _pad(widget: QWidget, side: int = 14) -> QWidget:
    widget.setContentsMargins(side, 10, side, 6)
    return widget
