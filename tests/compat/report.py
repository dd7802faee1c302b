"""A campaign's verdicts as a table for people and as JSON for machines.

Decides their form only. Called by `__main__`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.compat.campaign import Campaign, Outcome, Verdict
from tests.compat.expectations import COMPARABLE


def as_json(campaign: Campaign, verdicts: Sequence[Verdict]) -> dict[str, object]:
    """The score. `beyond` tells of what is checked without being part of it."""
    scored = [each for each in verdicts if each.kind in COMPARABLE]
    others = [each for each in verdicts if each.kind not in COMPARABLE]
    return {
        "corpus": campaign.corpus.name,
        "parsed": campaign.parsed,
        "comparable": len(scored),
        "matched": sum(each.outcome is Outcome.MATCHED for each in scored),
        "differing": {each.dag_id: _text(each) for each in scored if each.outcome is not Outcome.MATCHED},
        "import_errors": campaign.import_errors,
        "beyond": {
            "comparable": len(others),
            "matched": sum(each.outcome is Outcome.MATCHED for each in others),
            "differing": {each.dag_id: _text(each) for each in others if each.outcome is not Outcome.MATCHED},
        },
        "seconds": {each.dag_id: round(each.seconds, 2) for each in verdicts},
    }


def write(path: Path, campaign: Campaign, verdicts: Sequence[Verdict]) -> None:
    """Write the JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(campaign, verdicts), indent=2, ensure_ascii=False) + "\n")


def show(campaign: Campaign, verdicts: Sequence[Verdict]) -> None:
    """Print the table and the score."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=180)
    table = Table(title=campaign.corpus.name, title_justify="left")
    for heading in ("DAG", "expectation", "outcome", "seconds", "what differs"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left", overflow="fold")
    for each in verdicts:
        seconds = f"{each.seconds:.1f}" if each.seconds else ""
        table.add_row(each.dag_id, each.kind.value, each.outcome.value, seconds, each.text)
    console.print(table)
    for name, text in campaign.import_errors.items():
        console.print(f"not parsed: {name}: {text.strip().splitlines()[-1] if text.strip() else ''}", markup=False)
    score = as_json(campaign, verdicts)
    console.print(f"parsed {score['parsed']}, comparable {score['comparable']}, matched {score['matched']}")


def _text(verdict: Verdict) -> str:
    return f"{verdict.outcome.value}: {verdict.text}" if verdict.outcome is not Outcome.DIFFERS else verdict.text
