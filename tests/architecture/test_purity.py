"""dagdeck_core decides alike every time: it reads no clock and never depends on the order of a set.

import-linter keeps impure modules out; what is left is checked here: methods that read the clock, environment or hash,
and iteration over sets, whose order differs from process to process.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import modules

CLOCKS = frozenset({"now", "utcnow", "today"})
IMPURE_BUILTINS = frozenset({"open", "input", "print", "hash", "id", "exec", "eval"})
SET_MAKERS = frozenset({"set", "frozenset"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_TYPES = frozenset({"set", "frozenset", "AbstractSet", "Set", "MutableSet"})
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
# What does not care in which order it gets its arguments' items.
ORDER_BLIND = frozenset({"sorted", "set", "frozenset", "len", "any", "all", "min", "max", "sum", "isinstance"})
# What makes something ordered out of what it gets.
ORDER_TAKERS = frozenset({"list", "tuple", "enumerate", "iter", "zip", "map", "filter", "reversed", "next", "deque"})

CORE = list(modules("common/dagdeck_core"))


def clock_reads(tree: ast.AST) -> Iterator[str]:
    """Where a module reads the clock or something else that differs from run to run."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield f"line {node.lineno}: .{node.func.attr}()"
        if isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS:
            yield f"line {node.lineno}: {node.func.id}()"


class SetIterations(ast.NodeVisitor):
    """Collects places where a module goes through a set in the set's own order.

    A name or attribute counts as a set when it is annotated as one, or assigned from an expression that makes one.
    """

    def __init__(self, tree: ast.AST) -> None:
        self.found: list[str] = []
        self._sets: set[str] = set()
        self._blind: set[ast.AST] = set()
        self._collect_sets(tree)
        self.visit(tree)

    def _collect_sets(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and _is_set_type(node.annotation):
                self._sets.add(_name(node.target))
            elif isinstance(node, ast.arg) and node.annotation and _is_set_type(node.annotation):
                self._sets.add(node.arg)
            elif isinstance(node, ast.Assign) and self._is_set(node.value):
                self._sets.update(_name(target) for target in node.targets)
        self._sets.discard("")

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in SET_METHODS:
                return self._is_set(node.func.value)
            return isinstance(node.func, ast.Name) and node.func.id in SET_MAKERS
        if isinstance(node, ast.BinOp) and isinstance(node.op, SET_OPERATORS):
            return self._is_set(node.left) or self._is_set(node.right)
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body) or self._is_set(node.orelse)
        return _name(node) in self._sets

    def _note(self, node: ast.expr) -> None:
        self.found.append(f"line {node.lineno}: {ast.unparse(node)}")

    def visit_Call(self, node: ast.Call) -> None:
        called = _name(node.func)
        for argument in node.args:
            if called in ORDER_BLIND:
                self._blind.add(argument)
            elif (called in ORDER_TAKERS or called in {"join", "fromkeys", "extend"}) and self._is_set(argument):
                self._note(argument)
        if isinstance(node.func, ast.Attribute) and called == "pop" and not node.args and self._is_set(node.func.value):
            self._note(node.func.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        if self._is_set(node.iter):
            self._note(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        if self._is_set(node.value):
            self._note(node.value)
        self.generic_visit(node)

    def _visit_comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        if node not in self._blind:
            for generator in node.generators:
                if self._is_set(generator.iter):
                    self._note(generator.iter)
        self.generic_visit(node)

    visit_ListComp = _visit_comprehension
    visit_GeneratorExp = _visit_comprehension
    visit_DictComp = _visit_comprehension


def _name(node: ast.expr) -> str:
    """The last word of a name or an attribute."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_set_type(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Subscript):
        return _is_set_type(annotation.value)
    if isinstance(annotation, ast.BinOp):
        return _is_set_type(annotation.left) or _is_set_type(annotation.right)
    return _name(annotation) in SET_TYPES


def test_the_core_was_found() -> None:
    assert len(CORE) > 10


def test_the_core_reads_no_clock() -> None:
    assert [(m.name, found) for m in CORE if (found := list(clock_reads(m.tree())))] == []


def test_the_core_never_goes_through_a_set_in_its_own_order() -> None:
    assert [(m.name, found) for m in CORE if (found := SetIterations(m.tree()).found)] == []


@pytest.mark.parametrize(
    "text",
    [
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "ready = {a for a in b}\n[x for x in ready]",
        "def f(ready: frozenset[int]): return list(ready)",
        "def f(ready: set[int] | None):\n    for x in ready: pass",
        "class A:\n    ready: set[int]\n    def f(self): return tuple(self.ready - self.gone)",
        "ready: set[int] = set()\nready.pop()",
        "ready = set()\nprint(*ready)",
        "ready = set(a)\n','.join(ready | other)",
        "ready = set(a)\n{x: 1 for x in ready.union(b)}",
        "ready = set(a)\ndict.fromkeys(ready)",
    ],
)
def test_the_rule_about_sets_finds(text: str) -> None:
    assert len(SetIterations(ast.parse(text)).found) == 1


@pytest.mark.parametrize(
    "text",
    [
        "for x in sorted(set(y)): pass",
        "ready = set(a)\nif x in ready: ready.add(x); ready.discard(y)",
        "ready = set(a)\nsorted(x.id for x in ready)",
        "ready = set(a)\nany(x.id for x in ready)",
        "ready = set(a)\n{x.id for x in ready}",
        "ready = [1]\nfor x in ready: pass",
        "stack: list[int] = []\nstack.pop()",
    ],
)
def test_the_rule_about_sets_spares(text: str) -> None:
    assert SetIterations(ast.parse(text)).found == []


def test_the_rule_about_clocks_itself() -> None:
    assert list(clock_reads(ast.parse("datetime.now(UTC)\nprint(1)"))) == ["line 1: .now()", "line 2: print()"]
    assert list(clock_reads(ast.parse("now = later\nself.now"))) == []
