"""The sample pipeline: 46 years of Atlantic hurricanes, decade by decade, into one page.

It reads the observations, works on the decades side by side, checks the quality of the data and takes another branch
if it is poor, compares the decades and writes a report. The computing is in the folder hurricanes/ beside this file;
here is only how the tasks hang together. Read by the DAG processor; run it with `./dev demo`.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagdeck import DAG, Param, TaskGroup, get_current_context, task
from hurricanes import observations, report, seasons
from hurricanes.observations import Finding, Storm
from hurricanes.seasons import Decade, Season, Summary

DECADES = ((1975, 1979), (1980, 1989), (1990, 1999), (2000, 2009), (2010, 2020))
STRONGEST_SHOWN = 12


@task
def take_inventory() -> dict[str, int]:
    """Count the observations of each decade, and so find out early whether the data file is complete."""
    counts = {f"{first}-{last}": len(observations.read_observations(first, last)) for first, last in DECADES}
    for label, count in counts.items():
        print(f"{label}: {count} observations")
        if count == 0:
            raise ValueError(f"{observations.DATA_FILE.name} has no observation of {label}")
    return counts


@task
def collect_storms(first_year: int, last_year: int) -> list[Storm]:
    """Group a decade's observations into storms."""
    rows = observations.read_observations(first_year, last_year)
    storms = [observations.summarise(history) for history in observations.storms_of(rows)]
    print(f"{len(rows)} observations of {len(storms)} storms")
    return storms


@task
def inspect_observations(first_year: int, last_year: int) -> list[Finding]:
    """Look for observations that cannot be right."""
    rows = observations.read_observations(first_year, last_year)
    findings = [finding for history in observations.storms_of(rows) for finding in observations.inspect(history)]
    for finding in findings:
        print(f"{finding['name']} at {finding['observed_at']}: {finding['problem']}")
    return findings


@task
def measure_seasons(storms: list[Storm], first_year: int, last_year: int) -> list[Season]:
    """Count storms and add up their energy, season by season."""
    return seasons.seasons_of(storms, first_year, last_year)


@task
def rank_storms(storms: list[Storm]) -> list[Storm]:
    """Find a decade's strongest storms."""
    strongest = seasons.strongest_of(storms, STRONGEST_SHOWN)
    print("strongest:", ", ".join(f"{storm['name']} {storm['season']}" for storm in strongest[:5]))
    return strongest


@task
def sum_up(measured: list[Season], strongest: list[Storm]) -> Decade:
    """Put a decade into one line."""
    return seasons.decade_of(measured, strongest)


@task
def gather_findings(findings: list[list[Finding]]) -> list[Finding]:
    """Put the findings of all decades together."""
    return [finding for decade in findings for finding in decade]


@task.branch
def judge_quality(suspects: list[Finding], inventory: dict[str, int]) -> str:
    """Go on as it is, or write caveats first, by the share of observations that look wrong."""
    share = len(suspects) / sum(inventory.values())
    tolerated = get_current_context()["params"]["tolerated_share"]
    print(f"{share:.3%} of the observations look wrong, {tolerated:.3%} are tolerated")
    return "accept_data" if share <= tolerated else "write_caveats"


@task
def accept_data() -> list[str]:
    """Nothing needs to be said about the data."""
    return []


@task
def write_caveats(suspects: list[Finding], inventory: dict[str, int]) -> list[str]:
    """Say in words what is wrong with the data."""
    return seasons.caveats_for(suspects, sum(inventory.values()))


@task(trigger_rule="none_failed_min_one_success")
def compare_decades(
    decades: list[Decade],
    measured: list[list[Season]],
    ranked: list[list[Storm]],
    storms: list[list[Storm]],
    suspects: list[Finding],
    inventory: dict[str, int],
    caveats: list[str] | None,
) -> Summary:
    """Bring the decades together; ``caveats`` is None when their branch was not taken."""
    return Summary(
        seasons=[season for decade in measured for season in decade],
        decades=decades,
        strongest=seasons.strongest_of((storm for decade in ranked for storm in decade), STRONGEST_SHOWN),
        tracks=[storm for decade in storms for storm in decade],
        suspects=suspects,
        caveats=caveats or [],
        observations=sum(inventory.values()),
    )


@task(retries=1, retry_delay=timedelta(seconds=2))
def write_report(summary: Summary) -> str:
    """Write the page and give its path."""
    chosen = get_current_context()["params"]["output_dir"]
    directory = Path(chosen).expanduser() if chosen else default_directory()
    path = report.write(report.render(summary), directory)
    print(f"the report is {path} ({path.stat().st_size:,} bytes)")
    return str(path)


def default_directory() -> Path:
    """The user's own data folder, or a temporary one where there is none."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    directory = Path(home) / "dagdeck" / "reports"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / "dagdeck-reports"
    return directory if os.access(directory, os.W_OK) else Path(tempfile.gettempdir()) / "dagdeck-reports"


with DAG(
    dag_id="atlantic_hurricanes",
    description="46 years of Atlantic hurricanes, decade by decade, into one page",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["sample"],
    params={
        "output_dir": Param(
            None,
            type=["null", "string"],
            title="Folder of the report",
            description="Where the page is written; empty: the data folder of the user who runs the worker.",
        ),
        "tolerated_share": Param(
            0.01,
            type="number",
            minimum=0,
            maximum=1,
            title="Tolerated share",
            description="The share of odd observations above which the report carries caveats.",
        ),
    },
) as dag:
    inventory = take_inventory()
    all_storms, all_findings, all_measured, all_ranked, all_decades = [], [], [], [], []
    for first, last in DECADES:
        with TaskGroup(group_id=f"seasons_{first}_{last}"):
            storms = collect_storms(first, last)
            findings = inspect_observations(first, last)
            inventory >> [storms, findings]
            measured = measure_seasons(storms, first, last)
            ranked = rank_storms(storms)
            decade = sum_up(measured, ranked)
        all_storms.append(storms)
        all_findings.append(findings)
        all_measured.append(measured)
        all_ranked.append(ranked)
        all_decades.append(decade)

    suspects = gather_findings(all_findings)
    judgement = judge_quality(suspects, inventory)
    accepted = accept_data()
    caveats = write_caveats(suspects, inventory)
    judgement >> [accepted, caveats]
    summary = compare_decades(all_decades, all_measured, all_ranked, all_storms, suspects, inventory, caveats)
    accepted >> summary
    write_report(summary)
