"""Writes the generated parts of the documentation: states and their moves, and what bounds every table.

Decides how the transition tables of dagdeck_core.states look as Mermaid diagrams and as Markdown tables, and the limits
of dagdeck_io.db.limits with their settings. Does not decide which moves are legal or what the limits are. Called by
`./dev docs`; tests/architecture/test_docs.py calls it to check that the page is up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from dagdeck_core import states
from dagdeck_io.db.limits import FOLDER_LIMITS, TABLE_LIMITS
from dagdeck_io.settings.model import SETTINGS
from dagdeck_io.settings.render import default_text

PAGE = Path(__file__).with_name("architecture.md")
RETENTION = Path(__file__).with_name("retention.md")
State = TypeVar("State", bound=StrEnum)

# Moves that people and new dag versions cause lead from almost everywhere to almost everywhere: the diagrams leave
# them out, the tables have them. "cleared;" stays: it is the only way into restarting.
INTERVENTIONS = (
    "cleared, ",
    "cleared before",
    "a person marked it",
    "the dag version no longer has it",
    "a later dag version has it again",
)


def diagram(moves: Mapping[State, Mapping[State, str]], terminal: Sequence[State]) -> Iterator[str]:
    """A Mermaid state diagram of the moves that happen without anybody's intervention."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(iter(moves))}"
    for old, following in moves.items():
        for new, reason in following.items():
            if reason != "cleared" and not reason.startswith(INTERVENTIONS):
                yield f"    {old} --> {new}: {_label(reason)}"
    for state in terminal:
        yield f"    {state} --> [*]"
    yield "```"


def _label(reason: str) -> str:
    # A semicolon ends a statement of Mermaid, a colon starts a label.
    return reason.replace(";", ",").replace(":", " -").replace(", or a person marked it", "")


def table(moves: Mapping[State, Mapping[State, str]]) -> Iterator[str]:
    """All legal moves as a Markdown table."""
    yield "| from | to | when |"
    yield "|---|---|---|"
    for old, following in moves.items():
        for new, reason in following.items():
            yield f"| `{old}` | `{new}` | {reason} |"


def task_instance_diagram() -> Iterator[str]:
    """What a task instance goes through."""
    terminal = [state for state in states.TaskInstanceState if states.is_terminal(state)]
    return diagram(states.TASK_INSTANCE_MOVES, terminal)


def dag_run_diagram() -> Iterator[str]:
    """What a dag run goes through."""
    return diagram(states.DAG_RUN_MOVES, (states.DagRunState.SUCCESS, states.DagRunState.FAILED))


PARTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "task-instance-diagram": task_instance_diagram,
    "task-instance-moves": lambda: table(states.TASK_INSTANCE_MOVES),
    "dag-run-diagram": dag_run_diagram,
    "dag-run-moves": lambda: table(states.DAG_RUN_MOVES),
}


def limits() -> Iterator[str]:
    """What bounds every table and folder, with the settings' defaults."""
    yield "| what | limit | |"
    yield "|---|---|---|"
    for limit in (*TABLE_LIMITS, *FOLDER_LIMITS):
        named = ", ".join(f"`{name}`" if "<" in name or " " not in name else name for name in limit.of)
        bounds = "<br>".join(f"`{name}` = {default_text(SETTINGS[name])}" for name in limit.settings)
        yield f"| {named} | {bounds} | {limit.how} |"


PAGES: Mapping[Path, Mapping[str, Callable[[], Iterator[str]]]] = {PAGE: PARTS, RETENTION: {"limits": limits}}


def regenerate(page: str, path: Path = PAGE) -> str:
    """The page with every generated part written anew.  Raises ValueError when a part's markers are missing."""
    for name, part in PAGES[path].items():
        begin, end = f"<!-- begin generated {name} -->", f"<!-- end generated {name} -->"
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", flags=re.DOTALL)
        text = "\n".join((begin, *part(), end))
        # The text is not a template: a backslash in it stands for itself.
        page, count = pattern.subn(text.replace("\\", r"\\"), page)
        if count != 1:
            raise ValueError(f"{path.name} has the markers of {name} {count} times: it must have them once")
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with ``--check`` only say whether it is up to date; gives the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation again")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page is out of date")
    options = parser.parse_args(arguments)
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = regenerate(before, page)
        if before == after:
            continue
        if options.check:
            print(f"{page.name} is out of date: run ./dev docs", file=sys.stderr)
            return 1
        page.write_text(after, encoding="utf-8")
        print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
