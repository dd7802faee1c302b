"""Cycles are collected, and in the GUI thread only."""

from __future__ import annotations

import gc
import threading
import weakref

from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from dagdeck_desktop.collection import collect_what_is_due


class Cycle(QObject):
    """An object that only a collection frees."""

    def __init__(self) -> None:
        super().__init__()
        self.itself = self


def test_automatic_collection_is_off() -> None:
    assert not gc.isenabled()


def test_another_thread_that_allocates_frees_no_qt_object() -> None:
    freed_in: list[int] = []
    weakref.finalize(Cycle(), lambda: freed_in.append(threading.get_ident()))
    worker = threading.Thread(target=lambda: [[] for _ in range(50_000)])
    worker.start()
    worker.join()
    assert freed_in == []
    gc.collect()
    assert freed_in == [threading.get_ident()]


def test_the_timer_frees_what_is_due(qtbot: QtBot) -> None:
    freed: list[bool] = []
    weakref.finalize(Cycle(), lambda: freed.append(True))
    kept = [[] for _ in range(gc.get_threshold()[0] + 100)]  # type: ignore[var-annotated]
    collect_what_is_due()
    assert freed == [True]
    assert kept
