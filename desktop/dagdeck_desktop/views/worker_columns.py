"""The columns of lists of workers.

Decides what each cell says and how it is drawn. Used by the Workers page, and by Home with fewer of them.
"""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QPainter

from dagdeck_client.models import Worker
from dagdeck_desktop.charts.sparkline import paint_sparkline
from dagdeck_desktop.tables import Column
from dagdeck_desktop.theme import FontRole, Theme
from dagdeck_desktop.viewmodels.wording import bytes_text, percent_text
from dagdeck_desktop.viewmodels.workers import WorkersModel
from dagdeck_desktop.views.cells import paint_two_lines

_PERCENT_ROOM = 52


def worker_columns(theme: Theme, model: WorkersModel, *, is_small: bool = False) -> list[Column[Worker]]:
    """Name with queues, slots, CPU over time, memory; without memory, and narrower, in a small list."""

    def name(painter: QPainter, rect: QRect, worker: Worker) -> None:
        said = worker.state if worker.state != "active" else ", ".join(worker.queues)
        paint_two_lines(painter, rect, theme, worker.name, said)

    def slots(painter: QPainter, rect: QRect, worker: Worker) -> None:
        paint_slots(painter, rect, theme, worker)

    def cpu(painter: QPainter, rect: QRect, worker: Worker) -> None:
        values = model.series(worker.worker_id, "cpu")
        text = percent_text(round(worker.cpu, 2)) if worker.cpu is not None else "–"
        painter.setFont(theme.font(FontRole.FIGURES))
        painter.setPen(theme.tokens.text_1)
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)
        box = QRectF(rect.left(), rect.top() + 12, max(0, rect.width() - _PERCENT_ROOM), rect.height() - 24)
        paint_sparkline(painter, box, values[-120:], theme.tokens.accent, from_zero=True, least_span=0.2)

    columns: list[Column[Worker]] = [
        Column(title="Worker", text=lambda each: each.name, paint=name, stretches=True, sort_key=_by_name),
        Column(
            title="Slots",
            text=lambda each: f"{each.running} of {each.slots}",
            paint=slots,
            sort_key=lambda each: each.running / max(1, each.slots),
            width=84 if is_small else 120,
        ),
        Column(
            title="CPU",
            text=lambda each: percent_text(each.cpu),
            paint=cpu,
            sort_key=lambda each: each.cpu,
            width=116 if is_small else 150,
        ),
    ]
    if not is_small:
        columns.append(
            Column(
                title="Memory",
                text=lambda each: bytes_text(each.memory_used),
                sort_key=lambda each: each.memory_used,
                width=92,
                is_number=True,
            )
        )
    return columns


def paint_slots(painter: QPainter, rect: QRect, theme: Theme, worker: Worker) -> None:
    """A bar of slots in use, and the numbers."""
    tokens = theme.tokens
    middle = rect.center().y()
    text = f"{worker.running} / {worker.slots}"
    painter.save()
    painter.setFont(theme.font(FontRole.FIGURES))
    painter.setPen(tokens.text_1)
    upper = QRect(rect.left(), middle - 18, rect.width(), 18)
    painter.drawText(upper, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    track = QRectF(rect.left(), middle + 5, rect.width(), 6)
    painter.setBrush(tokens.border_strong)
    painter.drawRoundedRect(track, 3, 3)
    share = min(1.0, worker.running / worker.slots) if worker.slots else 0.0
    if share > 0:
        painter.setBrush(tokens.warning if worker.state != "active" else tokens.accent)
        painter.drawRoundedRect(QRectF(track.left(), track.top(), max(6.0, track.width() * share), 6), 3, 3)
    painter.restore()


def _by_name(worker: Worker) -> tuple[str, int]:
    return worker.name.casefold(), worker.worker_id
