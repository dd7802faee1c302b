"""The documentation is true where a machine can tell: generated parts are up to date, and links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.source_tree import ROOT

PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "packaging/**/*.md", "assets/**/*.md") for path in ROOT.glob(pattern)
)


@pytest.fixture
def generator() -> ModuleType:
    """docs/generate.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date(generator: ModuleType) -> None:
    for path in generator.PAGES:
        page = path.read_text(encoding="utf-8")
        assert generator.regenerate(page, path) == page, "run ./dev docs"


def test_an_outdated_part_is_written_anew(generator: ModuleType) -> None:
    page = generator.PAGE.read_text(encoding="utf-8")
    outdated = page.replace("`running` | `success`", "`running` | `lost`")
    assert outdated != page
    assert generator.regenerate(outdated) == page


def test_a_page_without_markers_is_refused(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match="it must have them once"):
        generator.regenerate("# A page\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_tests_that_hold_the_claims_about_security_exist() -> None:
    named = re.findall(r"`(tests/[\w/*.]+)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    assert [path for path in named if not list(ROOT.glob(path))] == []
