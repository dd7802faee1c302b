"""The project's own modules, as the rules about code see them.

Decides which files count as product and which as tests. Called by the tests of this folder.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT_FOLDERS = ("common", "daemons", "desktop", "assets", "docs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Python file of the project."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """The path as a person would name it."""
        return self.path.relative_to(ROOT).as_posix()

    def tree(self) -> ast.Module:
        """The parsed module."""
        return ast.parse(self.text, filename=self.name)


def modules(*folders: str) -> Iterator[Module]:
    """All modules in some folders of the checkout, in order of their names."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Module(path=path, text=path.read_text(encoding="utf-8"))
