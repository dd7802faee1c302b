"""Loading a DAG file and finding the DAGs in it.

Decides how a file is imported and which of its objects are its DAGs. Does not serialise or store them, and
does not record what an import reads (the DAG processor does). Called by the DAG processor's parsing child and
by runners, both in processes that hold no credentials, since it runs users' code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from dagdeck import airflow_layer, configuration, plugins, scope
from dagdeck.dags import DAG
from dagdeck_core.errors import UserError

MODULE_PREFIX = "dagdeck_dag_file_"
_TRACE_LIMIT = 64_000
_imported_here: set[str] = set()
"""Names of modules that were imported while a DAG file was loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFailure:
    """Why a file gave no DAGs.

    `file` is relative to the root; `line` is the line of the file itself that failed, where there is one.
    """

    file: str
    line: int | None
    message: str
    stack_trace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFile:
    """What a DAG file gave: its DAGs, or why there are none."""

    dags: tuple[DAG, ...]
    failures: tuple[ImportFailure, ...]


def load_file(path: str | Path, root: str | Path, *, fresh: bool = True) -> LoadedFile:
    """Import the DAG file at `path` inside `root` and collect its DAGs.

    With `fresh`, modules of the root that an earlier call imported are imported again. Never raises for what
    the file does wrong: that is in `failures`. SystemExit counts as a failure; KeyboardInterrupt passes through.
    """
    airflow_layer.install()
    configuration.note_dags_folder(str(root))
    path, root = Path(path).resolve(), Path(root).resolve()
    file = path.relative_to(root).as_posix()
    if fresh:
        forget_modules(root)
    name = module_name(file)
    known = set(sys.modules)
    try:
        plugins.load(root, fresh=fresh)
        with _importable(root, path.parent), scope.registering() as registered:
            module = _import(name, path)
            dags = _dags_of(module, registered)
        for dag in dags:
            dag.fileloc = str(path)
        failures = _duplicates(dags, file)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a DAG file raises is its author's to see
        sys.modules.pop(name, None)
        dags, failures = [], [_failure(error, path, root)]
    _imported_here.update(set(sys.modules) - known)
    return LoadedFile(dags=() if failures else tuple(dags), failures=tuple(failures))


def module_name(file: str) -> str:
    """The name under which a DAG file is imported: the same in every process, unique per file."""
    digest = hashlib.sha1(file.encode(), usedforsecurity=False).hexdigest()[:12]
    stem = "".join(char if char.isalnum() else "_" for char in Path(file).stem)
    return f"{MODULE_PREFIX}{digest}_{stem}"


def forget_modules(root: Path) -> None:
    """Drop modules of `root` that DAG files have imported, so that the next import reads them again.

    What was there before the first DAG file stays: an environment may lie inside the DAG folder.
    """
    for name in sorted(_imported_here):
        if _comes_from(sys.modules.get(name), root):
            del sys.modules[name]
            _imported_here.discard(name)
    importlib.invalidate_caches()


def _import(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("this is no Python file", file=str(path), remedy="A DAG file's name ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # A cached .pyc may be older than a file that was rewritten within its mtime's resolution.
    spec.loader.exec_module(module)
    return module


def _dags_of(module: ModuleType, registered: list[DAG]) -> list[DAG]:
    """DAGs at the module's top level and those that registered themselves, each once, in this order."""
    found: dict[int, DAG] = {id(value): value for value in vars(module).values() if isinstance(value, DAG)}
    found.update({id(dag): dag for dag in registered})
    return list(found.values())


def _duplicates(dags: list[DAG], file: str) -> list[ImportFailure]:
    seen: dict[str, DAG] = {}
    failures = []
    for dag in dags:
        if dag.dag_id in seen:
            message = f"{file}: dag_id: two DAGs of this file have the same id (found {dag.dag_id!r}). Rename one"
            failures.append(ImportFailure(file=file, line=None, message=message, stack_trace=message))
        seen[dag.dag_id] = dag
    return failures


def _failure(error: BaseException, path: Path, root: Path) -> ImportFailure:
    file = path.relative_to(root).as_posix()
    line = None
    if isinstance(error, SyntaxError) and error.filename:
        where = Path(error.filename)
        line = error.lineno if where == path else _line_in(error, path)
        place = where.relative_to(root).as_posix() if where.is_relative_to(root) else error.filename
        message = f"{place}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    else:
        line = _line_in(error, path)
        at = f"{file}, line {line}" if line else file
        message = f"{at}: {type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return ImportFailure(file=file, line=line, message=message, stack_trace=trace[-_TRACE_LIMIT:])


def _line_in(error: BaseException, path: Path) -> int | None:
    """The innermost line of the DAG file itself in the traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    """The folders at the end of sys.path: the root stays there, since tasks may import later on."""
    added = [str(folder) for folder in dict.fromkeys(folders) if str(folder) not in sys.path]
    sys.path.extend(added)
    try:
        yield
    finally:
        for folder in added[1:]:
            if folder in sys.path:
                sys.path.remove(folder)


def _comes_from(module: object, root: Path) -> bool:
    """Whether a module, or a package without a file of its own, lies inside `root`."""
    places = [getattr(module, "__file__", None)]
    try:
        places += list(getattr(module, "__path__", None) or ())
    except Exception:  # noqa: BLE001, S110 - some modules are objects that raise at any attribute
        pass
    return any(isinstance(place, str) and Path(place).is_relative_to(root) for place in places)
