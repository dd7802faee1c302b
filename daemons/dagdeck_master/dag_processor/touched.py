"""What of the bundle an import reads: opened files, listed folders, modules, and what it looked for in vain.

Decides what makes a file depend on another, so that it is parsed again exactly when that may matter. Does
not compare versions (`incremental`). Runs in the parsing child, by an audit hook that sees every open and import.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

_MAX_TOUCHED = 20_000


class TouchRecorder:
    """Records for one file at a time. One per process: an audit hook cannot be removed again."""

    def __init__(self) -> None:
        self._root = ""
        self._paths: set[str] = set()
        self._modules: set[str] = set()
        sys.addaudithook(self._hear)

    def begin(self, root: str) -> None:
        """Forget what was recorded and listen for paths below `root`."""
        self._paths = set()
        self._modules = set()
        self._root = os.path.join(os.path.realpath(root), "")

    def end(self, path: str) -> tuple[str, ...]:
        """Stop, and give what the import of the file `path` touched: relative paths, folders with a slash, sorted.

        Modules that were looked for and not found appear as the files that would have provided them.
        """
        root, self._root = self._root, ""
        touched = {path, *(_relative(found, root) for found in self._paths)}
        for name in sorted(self._modules):
            module = sys.modules.get(name)
            if module is None:
                touched |= _where_it_would_be(name, path)
            elif source := _relative(getattr(module, "__file__", None) or "", root):
                touched.add(source)
        touched.discard("")
        return tuple(sorted(touched)[:_MAX_TOUCHED])

    def forget_modules(self, root: str) -> None:
        """Drop every module that came from `root`, so that the next file's import reads them itself."""
        root = os.path.join(os.path.realpath(root), "")
        for name, module in list(sys.modules.items()):
            locations = [getattr(module, "__file__", None) or ""]
            with contextlib.suppress(Exception):
                locations += list(getattr(module, "__path__", None) or ())
            if any(isinstance(place, str) and place.startswith(root) for place in locations):
                del sys.modules[name]

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._root:
            return
        if event == "import":
            self._modules.add(str(arguments[0]))
        elif event == "open":
            self._note(_absolute(arguments[0]))
        elif event in ("os.listdir", "os.scandir") and not _called_by_import_system():
            self._note(os.path.join(_absolute(arguments[0] if arguments[0] is not None else "."), ""))

    def _note(self, path: str) -> None:
        # The unpacked folder holds no links, so comparing texts is enough.
        if path.startswith(self._root) and not path.endswith(".pyc"):
            self._paths.add(path)


def _relative(path: str, root: str) -> str:
    """`path` relative to `root`, which ends with a slash; the root itself is "/", anything outside is ""."""
    if path == root:
        return "/"
    return path.removeprefix(root) if path.startswith(root) else ""


def _absolute(path: Any) -> str:
    """`path` as absolute text; "" for a file descriptor or something else that names no file."""
    try:
        return os.fsdecode(os.path.abspath(path))
    except (TypeError, ValueError):
        return ""


def _where_it_would_be(name: str, path: str) -> set[str]:
    relative = name.replace(".", "/")
    folder = path.rpartition("/")[0]
    bases = {"", folder + "/" if folder else ""}
    return {f"{base}{relative}{ending}" for base in bases for ending in (".py", "/__init__.py")}


def _called_by_import_system() -> bool:
    """Whether the import system lists a folder for itself: that makes nothing depend on what the folder holds."""
    frame = sys._getframe(2)
    return frame.f_code.co_filename.startswith("<frozen importlib")
