"""Ignore files: both syntaxes, as tables of path and verdict."""

from __future__ import annotations

import pytest

from dagdeck_core.errors import UserError
from dagdeck_io.bundles.ignore import IgnoreSyntax, is_ignored, parse_ignore_file

GLOB_CASES = [
    ("*.csv", "data/a.csv", False, True),
    ("*.csv", "a.csv.py", False, False),
    ("scratch", "scratch", True, True),
    ("scratch", "deep/scratch", True, True),
    ("scratch", "scratchpad", True, False),
    ("scratch/", "scratch", False, False),
    ("scratch/", "scratch", True, True),
    ("/top.py", "top.py", False, True),
    ("/top.py", "deep/top.py", False, False),
    ("lib/*.py", "lib/a.py", False, True),
    ("lib/*.py", "lib/deep/a.py", False, False),
    ("lib/*.py", "other/lib/a.py", False, False),
    ("lib/**/a.py", "lib/a.py", False, True),
    ("lib/**/a.py", "lib/x/y/a.py", False, True),
    ("**/tests", "a/b/tests", True, True),
    ("logs/**", "logs/a/b", False, True),
    ("dag_?.py", "dag_1.py", False, True),
    ("dag_?.py", "dag_12.py", False, False),
    ("dag_[0-3].py", "dag_2.py", False, True),
    ("dag_[!0-3].py", "dag_2.py", False, False),
    ("dag_[!0-3].py", "dag_9.py", False, True),
    ("a.py", "abpy", False, False),
    (r"\#odd.py", "#odd.py", False, True),
    ("trailing   ", "trailing", False, True),
    ("# a comment", "# a comment", False, False),
    ("", "", False, False),
    ("*.py\n!keep.py", "keep.py", False, False),
    ("*.py\n!keep.py", "drop.py", False, True),
    ("!keep.py\n*.py", "keep.py", False, True),
]


@pytest.mark.parametrize(("text", "path", "is_folder", "ignored"), GLOB_CASES)
def test_glob_lines_mean_what_they_mean_in_a_gitignore(text: str, path: str, is_folder: bool, ignored: bool) -> None:
    rules = parse_ignore_file(text, file=".dagdeckignore")
    assert is_ignored(rules, path, is_folder) is ignored


@pytest.mark.parametrize(
    ("text", "path", "ignored"),
    [
        ("project_a", "x/project_a/dag.py", True),
        (r"tenant_\d", "tenant_7.py", True),
        (r"tenant_\d", "tenant_x.py", False),
        ("^lib", "lib/a.py", True),
        ("^lib", "my/lib/a.py", False),
        ("lib  # helpers", "lib", True),
    ],
)
def test_regexp_lines_are_searched_in_the_path(text: str, path: str, ignored: bool) -> None:
    rules = parse_ignore_file(text, file=".airflowignore", syntax=IgnoreSyntax.REGEXP)
    assert is_ignored(rules, path, False) is ignored


def test_a_nested_file_speaks_only_about_its_own_folder() -> None:
    rules = parse_ignore_file("/a.py\n^b", file="sub/.dagdeckignore", base="sub/")
    assert is_ignored(rules, "sub/a.py", False)
    assert not is_ignored(rules, "a.py", False)
    regexps = parse_ignore_file("^b", file="sub/.dagdeckignore", base="sub/", syntax=IgnoreSyntax.REGEXP)
    assert is_ignored(regexps, "sub/b.py", False)
    assert not is_ignored(regexps, "b.py", False)


def test_a_file_may_name_its_own_syntax() -> None:
    rules = parse_ignore_file("# syntax: regexp\n^x+$", file=".dagdeckignore")
    assert is_ignored(rules, "xxx", False)
    with pytest.raises(UserError, match=r"line 1.*unknown ignore syntax.*'perl'.*Write glob or regexp"):
        parse_ignore_file("# syntax: perl", file=".dagdeckignore")


def test_a_pattern_that_cannot_be_read_names_file_and_line() -> None:
    with pytest.raises(UserError, match=r"sub/\.airflowignore: line 2: .*found '\('"):
        parse_ignore_file("fine\n(", file="sub/.airflowignore", syntax=IgnoreSyntax.REGEXP)
