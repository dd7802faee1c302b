"""The trial of the packages, as far as it can be tried without one: the guide's commands exist, changes are noticed."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from dagdeck_client.cli.root import cli as dagdeck
from dagdeckd.cli import dagdeckd

ROOT = Path(__file__).resolve().parents[2]
TRIAL = ROOT / "packaging" / "trial"
GUIDE = ROOT / "docs" / "administration.md"
PROGRAMS: dict[str, click.Command] = {"dagdeck": dagdeck, "dagdeckd": dagdeckd}
# A program's name where a command begins: not in a path, in a package's name, or as an argument of another program.
_CALL = re.compile(r"(?:^|-- |until |\| |\$\()(dagdeckd?) ([^|;)>\n]*)", re.MULTILINE)


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the trial, which is no part of the product."""
    monkeypatch.syspath_prepend(str(TRIAL))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_the_guide_is_read_in_order(part: Any, tmp_path: Path) -> None:
    page = tmp_path / "guide.md"
    page.write_text("# T\n## A\n```sh root\none\ntwo\n```\n```toml\n[x]\n```\n## B\n```sql database\nSELECT 1;\n```\n")
    blocks = part("guide").blocks_of(page)
    assert [(each.section, each.actor, each.text, each.line) for each in blocks] == [
        ("A", "root", "one\ntwo\n", 3),
        ("B", "database", "SELECT 1;\n", 11),
    ]
    page.write_text("```sh nobody\n```\n")
    with pytest.raises(ValueError, match="nobody"):
        part("guide").blocks_of(page)
    page.write_text("```sh root\n")
    with pytest.raises(ValueError, match="does not end"):
        part("guide").blocks_of(page)


def test_the_guide_has_something_for_everybody(part: Any) -> None:
    blocks = part("guide").blocks_of(GUIDE)
    assert {each.actor for each in blocks} == set(part("guide").ACTORS)


def test_the_guides_blocks_are_shell(part: Any) -> None:
    for block in part("guide").blocks_of(GUIDE):
        if block.actor != "database":
            subprocess.run(["sh", "-n"], input=block.text, text=True, timeout=10, check=True)


def test_every_command_of_the_guide_exists(part: Any) -> None:
    calls = [call for block in part("guide").blocks_of(GUIDE) for call in _CALL.findall(block.text)]
    assert len(calls) >= 12
    assert [complaint for call in calls if (complaint := complaint_about(*call))] == []


def complaint_about(program: str, rest: str) -> str:
    """What is wrong with a command line, by the program's own definition; "" when nothing is."""
    command: click.Command = PROGRAMS[program]
    words = shlex.split(rest.replace("'", ""))
    while words:
        word = words.pop(0)
        names = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if word.startswith("-"):
            if word not in names and word not in ("--help", "-o"):
                return f"{program} {rest}: {command.name} has no {word}"
            option = names.get(word)
            if isinstance(option, click.Option) and not (option.is_flag or option.count) and words:
                words.pop(0)
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{program} {rest}: there is no command {word}"
            command = found
    return ""


def test_a_wrong_command_is_noticed() -> None:
    assert complaint_about("dagdeckd", "db upgrade") == ""
    assert "no command" in complaint_about("dagdeckd", "db grow")
    assert "has no --fast" in complaint_about("dagdeckd", "db upgrade --fast")


def test_a_change_of_what_packages_are_made_from_is_noticed(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = part("fingerprint")
    for path in ("packaging/linux/deb/postinst", "docs/administration.md", "requirements/dev.lock"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("one")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(fingerprint, "RECORD", tmp_path / "tried.txt")
    assert not fingerprint.is_tried()
    fingerprint.record()
    assert fingerprint.is_tried()
    (tmp_path / "packaging/linux/deb/postinst").write_text("two")
    assert not fingerprint.is_tried()
    (tmp_path / "packaging/linux/deb/postinst").write_text("one")
    assert fingerprint.is_tried()
    (tmp_path / "common.py").write_text("the product's own code is tried by its tests")
    assert fingerprint.is_tried()


def test_outputs_in_the_transcript_are_short_and_plain(part: Any) -> None:
    transcript = part("transcript")
    long = "\n".join(f"line {number}\x1b[0m" for number in range(100))
    lines = transcript.shortened(long).splitlines()
    assert lines[0] == "line 0"
    assert lines[15] == "… 70 lines …"
    assert lines[-1] == "line 99"
    assert len(lines) == 31
    assert transcript.shortened("SHA-256 " + ":".join(["AB"] * 32)) == "SHA-256 …\n"


def test_a_failed_check_ends_the_trial(part: Any, tmp_path: Path) -> None:
    transcript = part("transcript").Transcript("T")
    transcript.check("this is so", True)
    transcript.check("and this", True)
    with pytest.raises(part("transcript").TrialFailed, match="not so: that; found: 5"):
        transcript.check("that", False, 5)
    with pytest.raises(part("transcript").TrialFailed, match="exit code 3"):
        transcript.step("#", "false", part("clean_system").Done(code=3, output="oh"), 0.1)
    transcript.write(tmp_path / "page.md")
    assert "- [x] this is so\n- [x] and this\n" in (tmp_path / "page.md").read_text()
