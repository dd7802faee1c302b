"""What tests of the desktop share: Qt without a display, our fonts, one theme, and warnings of Qt that fail.

Decides where a test's settings and profiles go (a folder of its own). Does not start daemons. Called by pytest.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

# Before the first import of Qt's widgets; a test that needs a real window starts a process of its own.
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.pop("QT_SCALE_FACTOR", None)

import pytest
from PySide6.QtWidgets import QApplication

from dagdeck_desktop.collection import GuiThreadCollector, collect_what_is_due
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.theme import Appearance, Theme, load_fonts

HERE = Path(__file__).parent
# What the platform without a display says of itself, not of us.
UNSUPPORTED = "This plugin does not support"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What Qt complains about is a defect of ours."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("qt_log_level_fail") is None:
            item.add_marker(pytest.mark.qt_log_level_fail("WARNING"))
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.qt_log_ignore(UNSUPPORTED, extend=True))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, profiles and logs of a test stay in its folder."""
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    return tmp_path


@pytest.fixture(scope="package", autouse=True)
def collector(qapp: QApplication) -> Iterator[None]:
    """As in the program: Python collects cycles in the GUI thread only."""
    gc.collect()
    gc.freeze()
    collector = GuiThreadCollector(qapp)
    yield
    collector.deleteLater()
    gc.unfreeze()
    gc.enable()


@pytest.fixture(autouse=True)
def collected(collector: None) -> Iterator[None]:
    """Where no event loop runs for long, between tests."""
    yield
    collect_what_is_due()


@pytest.fixture
def dressed(qapp: QApplication) -> Iterator[Theme]:
    """The light theme, applied to the application as it is in the program."""
    load_fonts()
    theme = Theme(Appearance.LIGHT)
    theme.apply_to(qapp)
    yield theme
    theme.deleteLater()


@pytest.fixture
def theme(dressed: Theme) -> Theme:
    """The light theme; `set_appearance` shows the dark one."""
    return dressed


@pytest.fixture
def icons(theme: Theme) -> Icons:
    """Icons in the theme's colours."""
    return Icons(theme, theme)
