"""What the bundles hold: the specifications' common part.

Decides modules, data and what is left out. Users' code never runs in a bundle's own Python, so `dagdeck` and
`dagdeck_task` are only in the runner's wheels. Does not decide what is made smaller afterwards (`trimming`).
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

ROOT = Path(__file__).resolve().parents[2]
ENTRY = str(Path(__file__).with_name("programs.py"))
WITHOUT_OPENGL = str(Path(__file__).with_name("without_opengl.py"))
WHEELS = Path(os.environ.get("DAGDECK_RUNNER_WHEELS", ROOT / "build" / "runner_wheels"))
PATHS = [str(ROOT / folder) for folder in ("common", "daemons", "desktop", "assets")]

VERSION = os.environ.get("DAGDECK_BUILD_VERSION", "0")
ICON = os.environ.get("DAGDECK_BUILD_ICON")
"""An icon file of the system's kind; None on Linux, where the package has them."""
INFO_PLIST = {
    "CFBundleDisplayName": "DagDeck",
    "CFBundleShortVersionString": VERSION,
    "LSApplicationCategoryType": "public.app-category.developer-tools",
    "LSMinimumSystemVersion": "12.0",
    "NSHighResolutionCapable": True,
    "NSRequiresAquaSystemAppearance": False,
    "CFBundleDocumentTypes": [
        {
            "CFBundleTypeName": "DagDeck connection",
            "CFBundleTypeRole": "Viewer",
            "LSHandlerRank": "Owner",
            "LSItemContentTypes": ["org.dagdeck.connection"],
        }
    ],
    "UTExportedTypeDeclarations": [
        {
            "UTTypeIdentifier": "org.dagdeck.connection",
            "UTTypeDescription": "DagDeck connection",
            "UTTypeConformsTo": ["public.plain-text"],
            "UTTypeTagSpecification": {
                "public.filename-extension": ["dagdeck"],
                "public.mime-type": ["application/vnd.dagdeck.connection+toml"],
            },
        }
    ],
}
"""What macOS is told of the application: sharp and dark where the screen is, and that it opens connection files."""

# Some of their modules hold the shapes of messages, which the daemons import by themselves.
_USER_SIDE = ("dagdeck_worker.runner", "dagdeck_worker.triggerer")
_PARSING = ("dagdeck_master.dag_processor.child", "dagdeck_master.dag_processor.importing")
DAEMON_PACKAGES = ("dagdeck_core", "dagdeck_io", "dagdeck_client", "dagdeck_master", "dagdeck_worker", "dagdeckd")

# pydoc stays: pyqtgraph imports it.
NOT_NEEDED = [
    *("dagdeck", "dagdeck_task", *_PARSING),
    *("tkinter", "turtle", "idlelib", "lib2to3", "ensurepip", "test", "unittest.mock"),
    *("IPython", "matplotlib", "pandas", "scipy", "PIL", "pytest", "hypothesis", "mypy", "ruff", "setuptools", "pip"),
    *("numpy.f2py", "numpy.testing", "numpy.distutils", "numpy._core._multiarray_tests"),
    *("numpy.random", "numpy.fft"),
    *("sqlalchemy.dialects.oracle", "sqlalchemy.dialects.mssql", "sqlalchemy.dialects.postgresql"),
    *("readline", "curses", "xmlrpc", "pyqtgraph.opengl", "pyqtgraph.examples", "pyqtgraph.jupyter"),
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
        "DBus",
        # Stood in for: see without_opengl.py.
        "OpenGL",
        "OpenGLWidgets",
    )
]
# Libraries and plugins that Qt would bring for what no part of the window uses: other displays than X11, Wayland and
# the one without any, devices read past them, GTK's theme (the portal's tells the same), formats of no icon of ours.
QT_FILES_NOT_NEEDED = (
    *("libQt6Quick", "libQt6Qml", "libQt6Pdf", "libQt6VirtualKeyboard", "libQt6Test", "libQt6Sql", "libQt6Designer"),
    *("libqpdf", "libqtvirtualkeyboard", "libqeglfs", "libqlinuxfb", "libqvnc", "libqminimal", "libQt6EglFS"),
    *("libqvkkhrdisplay", "libqevdev", "libqtuiotouch", "libqgtk3", "libvulkan-server", "libdrm-egl-server"),
    *("libivi-shell", "libfullscreen-shell", "libwl-shell-plugin", "libqconnman", "libqglib", "libqnetworkmanager"),
    *("libqtiff", "libqwebp", "libqtga", "libqwbmp", "libqicns", "libqjpeg", "libqgif"),
)
# Part of every system with a window, and tied to others of it: a copy would have to fit those.
SYSTEM_LIBRARIES = ("libX11.so", "libX11-xcb.so", "libdbus-1.so")


_LEXERS = ("_mapping", "python", "data", "special")


def hidden_imports(packages: tuple[str, ...]) -> list[str]:
    """Modules that are imported by name only: every command imports what it needs when it is called."""
    found = [module for package in packages for module in collect_submodules(package, filter=_is_wanted)]
    return [*found, "pymysql", "redis", "argon2"] if "dagdeckd" in packages else found


def _is_wanted(module: str) -> bool:
    return not module.startswith((*_USER_SIDE, *_PARSING))


def data_files(packages: tuple[str, ...]) -> list[tuple[str, str]]:
    """Package data, the migrations' source, the distribution's metadata, and the runner's wheels."""
    found = _metadata()
    if "dagdeckd" in packages:
        if not any(WHEELS.glob("dagdeck_runner-*.whl")):
            raise SystemExit(f"there are no runner wheels in {WHEELS}: run packaging/runner/build_wheels.py first")
        found += collect_data_files("dagdeck_io")
        # Alembic reads them as files.
        found += collect_data_files("dagdeck_io.db.migrations", include_py_files=True, excludes=["**/__pycache__"])
        found += [(str(_wheel_archive()), ".")]
        found += collect_data_files("dagdeck_master")
    if "dagdeck_desktop" in packages:
        found += collect_data_files("dagdeck_desktop")
    # The sample DAGs are Python files that are copied, not imported.
    found += collect_data_files("dagdeck_assets", include_py_files=True, excludes=["**/__pycache__"])
    return found


def _metadata() -> list[tuple[str, str]]:
    """The distribution's metadata, by which programs know their version: that of the build, which may be another."""
    version = os.environ.get("DAGDECK_BUILD_VERSION")
    ((installed, target),) = copy_metadata("dagdeck")
    if not version:
        return [(installed, target)]
    made = ROOT / "build" / "packages" / "metadata" / f"dagdeck-{version}.dist-info"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    text = (Path(installed) / "METADATA").read_text(encoding="utf-8")
    (made / "METADATA").write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", text, count=1), encoding="utf-8")
    return [(str(made), made.name)]


def _wheel_archive() -> Path:
    """The runner's wheels as one archive: the same libraries for several Pythons take half the space together."""
    archive = ROOT / "build" / "packages" / "runner_wheels.tar.xz"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz") as target, tempfile.TemporaryDirectory() as folder:
        # Those of one package stand side by side.
        for wheel in sorted(WHEELS.glob("*.whl")):
            loose = Path(folder, wheel.name)
            with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(loose, "w", zipfile.ZIP_STORED) as stored:
                for entry in source.infolist():
                    stored.writestr(entry, source.read(entry), zipfile.ZIP_STORED)
            target.add(loose, arcname=wheel.name)
            loose.unlink()
    return archive


def without_unneeded_files(entries: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Files to collect, less what only unused parts of Qt and pyqtgraph need: translations, QML, other plugins."""
    return [
        entry
        for entry in entries
        if not Path(entry[0]).name.startswith((*QT_FILES_NOT_NEEDED, *SYSTEM_LIBRARIES))
        and not any(folder in entry[0] for folder in ("/translations/", "/qml/", "pyqtgraph/icons/peegee"))
        and not _is_of_another_version(entry[0])
    ]


def _is_of_another_version(target: str) -> bool:
    """True for the checkout's metadata, which is found by itself, when the build is of another version."""
    version = os.environ.get("DAGDECK_BUILD_VERSION")
    found = re.match(r"dagdeck-([^/]+)\.dist-info", target)
    return bool(version and found and found[1] != version)


def without_unneeded_modules(entries: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Modules to collect, less the colouring of programming languages that rich brings along by pygments."""
    return [
        entry
        for entry in entries
        if not entry[0].startswith("pygments.lexers.") or entry[0].rpartition(".")[2] in _LEXERS
    ]
