"""Adds storms up to seasons and decades.

Decides what is counted and compared. Does not read files (observations.py) or draw (report.py). Called by the
pipeline's tasks.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import TypedDict

from hurricanes.observations import Finding, Storm

MAJOR_CATEGORY = 3


class Season(TypedDict):
    """One year's storms in numbers."""

    year: int
    storms: int
    hurricanes: int
    major: int
    ace: float


class Decade(TypedDict):
    """Some years' seasons in numbers; means and medians are per season."""

    label: str
    first_year: int
    last_year: int
    storms: int
    hurricanes: int
    major: int
    median_ace: float
    strongest: str
    share_major: float


class Summary(TypedDict):
    """Everything that the report shows."""

    seasons: list[Season]
    decades: list[Decade]
    strongest: list[Storm]
    tracks: list[Storm]
    suspects: list[Finding]
    caveats: list[str]
    observations: int


def seasons_of(storms: Iterable[Storm], first_year: int, last_year: int) -> list[Season]:
    """One entry for each year, also for one without a storm."""
    seasons = {
        year: Season(year=year, storms=0, hurricanes=0, major=0, ace=0.0) for year in range(first_year, last_year + 1)
    }
    for storm in storms:
        season = seasons[storm["season"]]
        season["storms"] += 1
        season["hurricanes"] += storm["category"] >= 1
        season["major"] += storm["category"] >= MAJOR_CATEGORY
        season["ace"] = round(season["ace"] + storm["ace"], 4)
    return list(seasons.values())


def strongest_of(storms: Iterable[Storm], count: int) -> list[Storm]:
    """The storms of the strongest wind; among equals the one of the lowest pressure first."""
    return sorted(storms, key=lambda storm: (-storm["peak_wind"], storm["lowest_pressure"], storm["name"]))[:count]


def decade_of(seasons: Sequence[Season], strongest: Sequence[Storm]) -> Decade:
    """Comparable numbers for some consecutive seasons."""
    first_year, last_year = seasons[0]["year"], seasons[-1]["year"]
    hurricanes = sum(season["hurricanes"] for season in seasons)
    major = sum(season["major"] for season in seasons)
    champion = strongest[0]
    return Decade(
        label=f"{first_year}-{last_year}",
        first_year=first_year,
        last_year=last_year,
        storms=sum(season["storms"] for season in seasons),
        hurricanes=hurricanes,
        major=major,
        median_ace=round(statistics.median(season["ace"] for season in seasons), 1),
        strongest=f"{champion['name']} ({champion['season']}, {champion['peak_wind']} kn)",
        share_major=round(major / hurricanes, 3) if hurricanes else 0.0,
    )


def caveats_for(suspects: Sequence[Finding], observations: int) -> list[str]:
    """What a reader should know about the data, in sentences."""
    by_name: dict[str, int] = {}
    for finding in suspects:
        by_name[finding["name"]] = by_name.get(finding["name"], 0) + 1
    worst = sorted(by_name, key=lambda name: (-by_name[name], name))[:5]
    share = len(suspects) / observations if observations else 0.0
    return [
        f"{len(suspects)} of {observations} observations ({share:.2%}) look wrong.",
        "Most of them belong to " + ", ".join(f"{name} ({by_name[name]})" for name in worst) + ".",
    ]
