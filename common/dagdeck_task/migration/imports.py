"""A DAG file read without being loaded: what it imports of Airflow, and which old names of the context it uses.

Decides which of them DagDeck has not. Used by `files`; a file whose first import fails is still told about all others.
"""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from collections.abc import Iterator

from dagdeck.context import REMOVED_KEYS
from dagdeck_task.migration.findings import Use

_OLD_NAME = re.compile(r"\b(" + "|".join(sorted(REMOVED_KEYS, key=len, reverse=True)) + r")\b")
_AMBIGUOUS = frozenset({"conf"})
"""Names that mean something else more often than not."""


def parse(text: str) -> ast.Module | None:
    """The file's syntax tree; None when it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def written_for(tree: ast.Module | None) -> str:
    """Which system the file was written for, judging by what it imports."""
    modules = {module for module, _, _ in _imports(tree)}
    if any(module.partition(".")[0] == "dagdeck" for module in modules):
        return "DagDeck"
    new = ("airflow.sdk", "airflow.providers.standard")
    return "Airflow 3" if any(module.startswith(new) for module in modules) else "Airflow 2"


def unsupported(tree: ast.Module | None) -> tuple[Use, ...]:
    """Imports of Airflow that lead nowhere. Provider packages count when they are not installed here."""
    found = []
    for module, name, line in _imports(tree):
        if module.partition(".")[0] != "airflow" or name == "*":
            continue
        problem = _problem(module, name)
        if problem:
            found.append(Use(line=line, name=f"{module}.{name}" if name else module, advice=problem))
    return tuple(found)


def old_names(tree: ast.Module | None) -> tuple[Use, ...]:
    """Names of Airflow 2's context in templates, subscripts and parameters, each once."""
    found: dict[str, int] = {}
    for name, line in _old_names(tree):
        found.setdefault(name, line)
    return tuple(
        Use(line=line, name=f"{name} in the context", advice=f"Write {REMOVED_KEYS[name]}")
        for name, line in found.items()
    )


def _imports(tree: ast.Module | None) -> Iterator[tuple[str, str, int]]:
    """Module, name ("" for the module itself) and line of every import that is not made for type checkers or tried."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                yield node.module, alias.name, node.lineno


def _executed(tree: ast.Module | None) -> Iterator[ast.AST]:
    """The tree's nodes, without blocks for type checkers and without attempts that have a plan B."""
    waiting: list[ast.AST] = [tree] if tree is not None else []
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Try) and any(_catches_imports(handler) for handler in node.handlers):
            waiting.extend([*node.orelse, *node.finalbody])
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    caught = "" if handler.type is None else ast.dump(handler.type)
    return handler.type is None or any(name in caught for name in ("ImportError", "ModuleNotFound", "'Exception'"))


def _problem(module: str, name: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = importlib.import_module(module)
            if name and not hasattr(found, name):
                importlib.import_module(f"{module}.{name}")
    except ImportError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a provider package may fail in any way
        return f"importing it fails: {type(error).__name__}: {error}"
    return ""


def _old_names(tree: ast.Module | None) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in REMOVED_KEYS and node.value not in _AMBIGUOUS:
                yield node.value, node.lineno
            elif "{{" in node.value or "{%" in node.value:
                for found in _OLD_NAME.findall(node.value):
                    if found not in _AMBIGUOUS:
                        yield found, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                if argument.arg in REMOVED_KEYS and argument.arg not in _AMBIGUOUS:
                    yield argument.arg, argument.lineno


__all__ = ["old_names", "parse", "unsupported", "written_for"]
