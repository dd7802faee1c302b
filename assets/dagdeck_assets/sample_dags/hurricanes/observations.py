"""Reads the best-track observations and groups them into storms.

Decides which observations belong to one storm, how a storm is summarised, and which observations look wrong.
Does not compare seasons (seasons.py). Called by the pipeline's tasks.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypedDict

DATA_FILE = Path(__file__).parents[1] / "data" / "atlantic_storms_1975_2020.csv.gz"

GALE_KNOTS = 34
HURRICANE_KNOTS = 64
# Lower limits of the Saffir-Simpson categories 1 to 5.
CATEGORY_KNOTS = (64, 83, 96, 113, 137)
# A name is used again after years, never after days.
SAME_STORM_GAP = timedelta(days=5)
SYNOPTIC_HOURS = (0, 6, 12, 18)
PLAUSIBLE_PRESSURE_HPA = (860, 1030)
PLAUSIBLE_SPEED_KNOTS = 65.0
EARTH_RADIUS_NAUTICAL_MILES = 3440.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Where and how strong a storm was at one moment; winds in knots, pressures in hectopascals."""

    name: str
    observed_at: datetime
    status: str
    latitude: float
    longitude: float
    wind: int
    pressure: int


class Storm(TypedDict):
    """One storm's summary, as it travels between tasks.

    ``ace`` is the accumulated cyclone energy in 10⁴ kn², ``track`` has one [longitude, latitude, wind] per 12 hours.
    """

    name: str
    season: int
    first_seen: str
    days: float
    peak_wind: int
    lowest_pressure: int
    category: int
    ace: float
    track: list[list[float]]


class Finding(TypedDict):
    """One observation that looks wrong, and why."""

    name: str
    observed_at: str
    problem: str


def read_observations(first_year: int, last_year: int, path: Path = DATA_FILE) -> list[Observation]:
    """The observations of some years, both included, in the file's order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return [
            _observation(row) for row in csv.DictReader(lines) if first_year <= int(row["observed_at"][:4]) <= last_year
        ]


def _observation(row: dict[str, str]) -> Observation:
    return Observation(
        name=row["name"],
        observed_at=datetime.fromisoformat(row["observed_at"]),
        status=row["status"],
        latitude=float(row["latitude"]),
        longitude=float(row["longitude"]),
        wind=int(row["wind_knots"]),
        pressure=int(row["pressure_hpa"]),
    )


def storms_of(observations: Iterable[Observation]) -> Iterator[list[Observation]]:
    """The observations of each storm, in time order; a storm may go on into a new year."""
    by_name: dict[str, list[Observation]] = {}
    for observation in observations:
        by_name.setdefault(observation.name, []).append(observation)
    for history in by_name.values():
        history.sort(key=lambda observation: observation.observed_at)
        current = history[:1]
        for previous, observation in itertools.pairwise(history):
            if observation.observed_at - previous.observed_at > SAME_STORM_GAP:
                yield current
                current = []
            current.append(observation)
        yield current


def summarise(history: list[Observation]) -> Storm:
    """One storm's summary out of its observations in time order."""
    first, last = history[0], history[-1]
    peak_wind = max(observation.wind for observation in history)
    half_days = [observation for observation in history if observation.observed_at.hour in (0, 12)] or [first]
    return Storm(
        name=first.name,
        season=first.observed_at.year,
        first_seen=first.observed_at.isoformat(),
        days=round((last.observed_at - first.observed_at) / timedelta(days=1), 2),
        peak_wind=peak_wind,
        lowest_pressure=min(observation.pressure for observation in history),
        category=category(peak_wind),
        ace=round(accumulated_energy(history), 4),
        track=[[point.longitude, point.latitude, float(point.wind)] for point in half_days],
    )


def category(wind: int) -> int:
    """The Saffir-Simpson category of a wind in knots; 0 below hurricane force."""
    return sum(wind >= limit for limit in CATEGORY_KNOTS)


def accumulated_energy(history: Iterable[Observation]) -> float:
    """Accumulated cyclone energy: the squares of six-hourly winds of gale force or more, in 10⁴ kn²."""
    return 1e-4 * sum(
        observation.wind**2
        for observation in _without_repeats(history)
        if observation.observed_at.hour in SYNOPTIC_HOURS and observation.wind >= GALE_KNOTS
    )


def _without_repeats(history: Iterable[Observation]) -> Iterator[Observation]:
    """Only the first of several observations of one time: a landfall is often listed beside the regular one."""
    seen = None
    for observation in history:
        if observation.observed_at != seen:
            yield observation
        seen = observation.observed_at


def inspect(history: list[Observation]) -> Iterator[Finding]:
    """What looks wrong in one storm's observations in time order."""
    for previous, observation in zip([None, *history], history, strict=False):
        problem = _problem(previous, observation)
        if problem:
            yield Finding(name=observation.name, observed_at=observation.observed_at.isoformat(), problem=problem)


def _problem(previous: Observation | None, observation: Observation) -> str | None:
    low, high = PLAUSIBLE_PRESSURE_HPA
    if not low <= observation.pressure <= high:
        return f"a pressure of {observation.pressure} hPa"
    is_hurricane = observation.status == "hurricane"
    if is_hurricane != (observation.wind >= HURRICANE_KNOTS):
        return f"called a {observation.status} at {observation.wind} knots"
    if previous is None:
        return None
    hours = (observation.observed_at - previous.observed_at) / timedelta(hours=1)
    if hours <= 0:
        return "observed twice at the same time; only the first counts"
    speed = distance(previous, observation) / hours
    if speed > PLAUSIBLE_SPEED_KNOTS:
        return f"moved at {speed:.0f} knots since the observation before"
    return None


def distance(one: Observation, other: Observation) -> float:
    """The great-circle distance between two observations in nautical miles."""
    latitude, other_latitude = math.radians(one.latitude), math.radians(other.latitude)
    half_north = (other_latitude - latitude) / 2
    half_east = math.radians(other.longitude - one.longitude) / 2
    chord = math.sin(half_north) ** 2 + math.cos(latitude) * math.cos(other_latitude) * math.sin(half_east) ** 2
    return 2 * EARTH_RADIUS_NAUTICAL_MILES * math.asin(math.sqrt(chord))
