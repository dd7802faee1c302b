"""Rules about each module: it says what it is for, it has a telling name, and it stays small."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.source_tree import PRODUCT_FOLDERS, Module, modules

MOST_LINES_OF_A_FILE = 600
MOST_LINES_OF_A_FUNCTION = 80
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common", "stuff"})

PRODUCT = list(modules(*PRODUCT_FOLDERS))
EVERYTHING = [*PRODUCT, *modules("tests")]


def complaint_about_docstring(module: Module) -> str | None:
    """Why a module's docstring does not do; an empty file needs none."""
    if not module.text.strip():
        return None
    docstring = ast.get_docstring(module.tree())
    if not docstring:
        return "has no docstring"
    first = docstring.splitlines()[0]
    if not re.search(r"[.:!?]$", first) or len(first) < 15:
        return f"does not begin with a sentence on one line: {first!r}"
    return None


def complaint_about_name(module: Module) -> str | None:
    """Why a module's name does not do."""
    words = set(re.split(r"[_./]", module.name.removesuffix(".py").removeprefix("common/")))
    empty = sorted(words & EMPTY_NAMES)
    return f"is called after nothing in particular ({', '.join(empty)})" if empty else None


def complaints_about_size(module: Module) -> list[str]:
    """Which parts of a module are too long."""
    found = []
    lines = len(module.text.splitlines())
    if lines > MOST_LINES_OF_A_FILE:
        found.append(f"has {lines} lines, at most {MOST_LINES_OF_A_FILE} do")
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                found.append(f"{node.name}() has {length} lines, at most {MOST_LINES_OF_A_FUNCTION} do")
    return found


def test_the_product_was_found() -> None:
    assert {"common/dagdeck_core/states.py", "docs/generate.py"} <= {module.name for module in PRODUCT}


def test_every_module_begins_with_what_it_is_for() -> None:
    assert [(m.name, told) for m in EVERYTHING if (told := complaint_about_docstring(m))] == []


def test_every_module_has_a_telling_name() -> None:
    assert [(m.name, told) for m in EVERYTHING if (told := complaint_about_name(m))] == []


def test_files_and_functions_stay_small() -> None:
    assert [(m.name, told) for m in PRODUCT if (told := complaints_about_size(m))] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ('"""Decides what a claim is.\n\nAnd more."""\n', None),
        ("x = 1\n", "has no docstring"),
        ('"""Claims"""\n', "does not begin with a sentence on one line: 'Claims'"),
    ],
)
def test_the_rule_about_docstrings_itself(text: str, expected: str | None) -> None:
    assert complaint_about_docstring(Module(path=EVERYTHING[0].path, text=text)) == expected


def test_the_rule_about_names_itself() -> None:
    here = EVERYTHING[0].path.parent
    bad = Module(path=here / "time_utils.py", text="")
    good = Module(path=here / "time_zones.py", text="")
    assert complaint_about_name(bad) == "is called after nothing in particular (utils)"
    assert complaint_about_name(good) is None


def test_the_rule_about_sizes_itself() -> None:
    long_function = "def f():\n" + "    pass\n" * MOST_LINES_OF_A_FUNCTION
    long_file = "x = 1\n" * (MOST_LINES_OF_A_FILE + 1)
    path = EVERYTHING[0].path
    assert len(complaints_about_size(Module(path=path, text=long_function))) == 1
    assert len(complaints_about_size(Module(path=path, text=long_file))) == 1
    assert complaints_about_size(Module(path=path, text="def f():\n    pass\n")) == []


def complaints_about_urls(module: Module) -> list[str]:
    """Where a module takes a server's URL without what other settings say about TLS."""
    return [
        f"line {node.lineno}: connect to settings.database.address, not to .url"
        for node in ast.walk(module.tree())
        if isinstance(node, ast.Attribute)
        and node.attr == "url"
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "database"
    ]


def test_what_connects_to_the_database_knows_what_is_said_about_tls() -> None:
    written_anew = "daemons/dagdeckd/grants.py"  # the account's own URL, for people
    found = {m.name: told for m in PRODUCT if m.name != written_anew and (told := complaints_about_urls(m))}
    assert found == {}


def test_a_url_without_tls_is_found() -> None:
    module = Module(path=PRODUCT[0].path, text="open_database(settings.database.url)\n")
    assert complaints_about_urls(module)
