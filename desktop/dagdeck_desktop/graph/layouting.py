"""Lays a graph out in a thread of Qt's pool and hands the finished scene over, so that the window never waits.

Decides that only the newest request counts. Small graphs are laid out at once, for a thread would only make them
flicker. Used by `area`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal

from dagdeck_core.errors import Bug, DagDeckError
from dagdeck_core.layout import Direction, LayoutGroup, LayoutNode, lay_out
from dagdeck_desktop.graph.model import Edge
from dagdeck_desktop.graph.scene import GraphScene

AT_ONCE = 120
"""Up to this many nodes are laid out in the calling thread: 20 ms at most."""


class LayoutRunner(QObject):
    """Makes scenes. `finished` carries a GraphScene and the seconds it took, `failed` a DagDeckError."""

    finished = Signal(object, float)
    failed = Signal(object)
    _done = Signal(int, object, float)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._newest = 0
        self._is_busy = False
        self._done.connect(self._take)

    @property
    def is_busy(self) -> bool:
        """True while a scene is being made."""
        return self._is_busy

    def start(
        self, nodes: Sequence[LayoutNode], edges: Sequence[Edge], groups: Sequence[LayoutGroup], direction: Direction
    ) -> None:
        """Make a scene; one that is still being made is dropped."""
        self._newest += 1
        self._is_busy = True
        job = _Job(self, self._newest, nodes, edges, groups, direction)
        if len(nodes) <= AT_ONCE:
            job.run()
        else:
            QThreadPool.globalInstance().start(job)

    def cancel(self) -> None:
        """Drop what is being made."""
        self._newest += 1
        self._is_busy = False

    def hand_over(self, number: int, result: GraphScene | DagDeckError, seconds: float) -> None:
        """Called by the job in its thread."""
        self._done.emit(number, result, seconds)

    def _take(self, number: int, result: GraphScene | DagDeckError, seconds: float) -> None:
        if number != self._newest:
            return
        self._is_busy = False
        if isinstance(result, GraphScene):
            self.finished.emit(result, seconds)
        else:
            self.failed.emit(result)


class _Job(QRunnable):
    def __init__(
        self,
        runner: LayoutRunner,
        number: int,
        nodes: Sequence[LayoutNode],
        edges: Sequence[Edge],
        groups: Sequence[LayoutGroup],
        direction: Direction,
    ) -> None:
        super().__init__()
        self._runner = runner
        self._number = number
        self._input = (nodes, edges, groups, direction)

    def run(self) -> None:
        nodes, edges, groups, direction = self._input
        began = time.perf_counter()
        result: GraphScene | DagDeckError
        try:
            result = GraphScene(lay_out(nodes, edges, groups, direction=direction))
        except DagDeckError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - in a pool's thread it would be lost
            result = Bug(f"the graph could not be laid out: {type(error).__name__}: {error}")
            result.__cause__ = error
        try:
            self._runner.hand_over(self._number, result, time.perf_counter() - began)
        except RuntimeError:
            # The window was closed meanwhile: nobody waits for this scene.
            return
