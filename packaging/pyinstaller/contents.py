"""What the bundles hold: the specifications' common part.

Decides modules, data and what is left out. Users' code never runs in a bundle's own Python, so `dagdeck` and
`dagdeck_task` are only in the runner's wheels. Nothing is stripped: stripped libraries of numpy do not load.
"""

from __future__ import annotations

import os
from pathlib import Path

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

ROOT = Path(__file__).resolve().parents[2]
ENTRY = str(Path(__file__).with_name("programs.py"))
WHEELS = Path(os.environ.get("DAGDECK_RUNNER_WHEELS", ROOT / "build" / "runner_wheels"))
PATHS = [str(ROOT / folder) for folder in ("common", "daemons", "desktop", "assets")]

# Some of their modules hold the shapes of messages, which the daemons import by themselves.
_USER_SIDE = ("dagdeck_worker.runner", "dagdeck_worker.triggerer")
_PARSING = ("dagdeck_master.dag_processor.child", "dagdeck_master.dag_processor.importing")
DAEMON_PACKAGES = ("dagdeck_core", "dagdeck_io", "dagdeck_client", "dagdeck_master", "dagdeck_worker", "dagdeckd")

# pydoc stays: pyqtgraph imports it.
NOT_NEEDED = [
    *("dagdeck", "dagdeck_task", *_PARSING),
    *("tkinter", "turtle", "idlelib", "lib2to3", "ensurepip", "test", "unittest.mock"),
    *("IPython", "matplotlib", "pandas", "scipy", "PIL", "pytest", "hypothesis", "mypy", "ruff", "setuptools", "pip"),
    *("numpy.f2py", "numpy.testing", "numpy.distutils"),
]
NO_DESKTOP = ["PySide6", "shiboken6", "pyqtgraph", "numpy", "keyring", "dagdeck_desktop"]
# Of Qt only what the window imports; these come by hooks or by plugins.
QT_NOT_NEEDED = [
    f"PySide6.Qt{name}"
    for name in (
        "Qml",
        "Quick",
        "QuickWidgets",
        "Pdf",
        "PdfWidgets",
        "Sql",
        "Test",
        "Designer",
        "UiTools",
        "Help",
        "Xml",
    )
]
# Libraries and plugins that Qt would bring for what no part of the window uses.
QT_FILES_NOT_NEEDED = (
    *("libQt6Quick", "libQt6Qml", "libQt6Pdf", "libQt6VirtualKeyboard", "libQt6Test", "libQt6Sql", "libQt6Designer"),
    *("libqpdf", "libqtvirtualkeyboard", "libqeglfs", "libqlinuxfb", "libqvnc", "libqminimalegl", "libQt6EglFS"),
    *("libqtiff", "libqwebp", "libqtga", "libqwbmp", "libqicns"),
)


def hidden_imports(packages: tuple[str, ...]) -> list[str]:
    """Modules that are imported by name only: every command imports what it needs when it is called."""
    found = [module for package in packages for module in collect_submodules(package, filter=_is_wanted)]
    return [*found, "pymysql", "redis", "argon2"] if "dagdeckd" in packages else found


def _is_wanted(module: str) -> bool:
    return not module.startswith((*_USER_SIDE, *_PARSING))


def data_files(packages: tuple[str, ...]) -> list[tuple[str, str]]:
    """Package data, the migrations' source, the distribution's metadata, and the runner's wheels."""
    found = copy_metadata("dagdeck")
    if "dagdeckd" in packages:
        if not any(WHEELS.glob("dagdeck_runner-*.whl")):
            raise SystemExit(f"there are no runner wheels in {WHEELS}: run packaging/runner/build_wheels.py first")
        found += collect_data_files("dagdeck_io")
        # Alembic reads them as files.
        found += collect_data_files("dagdeck_io.db.migrations", include_py_files=True, excludes=["**/__pycache__"])
        found += [(str(wheel), "runner_wheels") for wheel in sorted(WHEELS.glob("*.whl"))]
        found += collect_data_files("dagdeck_master")
    if "dagdeck_desktop" in packages:
        found += collect_data_files("dagdeck_desktop")
    # The sample DAGs are Python files that are copied, not imported.
    found += collect_data_files("dagdeck_assets", include_py_files=True, excludes=["**/__pycache__"])
    return found


def without_unneeded_qt(entries: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Files to collect, less what only unused parts of Qt need: translations, QML, other plugins."""
    return [
        entry
        for entry in entries
        if not Path(entry[0]).name.startswith(QT_FILES_NOT_NEEDED)
        and "/translations/" not in entry[0]
        and "/qml/" not in entry[0]
    ]
