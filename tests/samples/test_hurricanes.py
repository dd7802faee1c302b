"""The sample pipeline's computing: storms out of observations, seasons out of storms, a page out of seasons."""

from __future__ import annotations

import html.parser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hurricanes.observations import Observation, Storm


def _observation(
    hours: float = 0, *, wind: int = 70, status: str = "hurricane", longitude: float = -60.0, pressure: int = 980
) -> Observation:
    from hurricanes.observations import Observation

    return Observation(
        name="Ada",
        observed_at=datetime(2001, 9, 1, tzinfo=UTC) + timedelta(hours=hours),
        status=status,
        latitude=20.0,
        longitude=longitude,
        wind=wind,
        pressure=pressure,
    )


def _storm(season: int, wind: int, ace: float = 1.0, pressure: int = 950) -> Storm:
    from hurricanes.observations import Storm, category

    return Storm(
        name=f"S{wind}",
        season=season,
        first_seen=f"{season}-09-01T00:00:00+00:00",
        days=3.0,
        peak_wind=wind,
        lowest_pressure=pressure,
        category=category(wind),
        ace=ace,
        track=[[-60.0, 20.0, float(wind)], [-61.0, 21.0, float(wind)]],
    )


def test_the_data_are_complete() -> None:
    from hurricanes.observations import read_observations, storms_of

    rows = read_observations(1975, 2020)
    assert len(rows) == 11_859
    assert {row.observed_at.year for row in rows} == set(range(1975, 2021))
    assert {row.observed_at.utcoffset() for row in rows} == {timedelta(0)}
    assert sum(len(history) for history in storms_of(rows)) == len(rows)


def test_only_the_years_asked_for_are_read() -> None:
    from hurricanes.observations import read_observations

    assert {row.observed_at.year for row in read_observations(1980, 1981)} == {1980, 1981}


def test_known_storms_come_out_right() -> None:
    from hurricanes.observations import read_observations, storms_of, summarise

    storms = {
        (storm["name"], storm["season"]): storm for storm in map(summarise, storms_of(read_observations(2005, 2005)))
    }
    assert (storms["Katrina", 2005]["peak_wind"], storms["Katrina", 2005]["lowest_pressure"]) == (150, 902)
    assert (storms["Wilma", 2005]["category"], storms["Wilma", 2005]["lowest_pressure"]) == (5, 882)
    assert storms["Katrina", 2005]["first_seen"].startswith("2005-08-23")


def test_a_name_used_again_after_years_is_another_storm() -> None:
    from hurricanes.observations import storms_of

    early, late = _observation(0), _observation(24 * 365 * 6)
    assert [len(history) for history in storms_of([late, early, _observation(6)])] == [2, 1]


@pytest.mark.parametrize(
    ("wind", "expected"), [(63, 0), (64, 1), (82, 1), (83, 2), (96, 3), (113, 4), (136, 4), (137, 5), (160, 5)]
)
def test_categories_begin_where_the_scale_says(wind: int, expected: int) -> None:
    from hurricanes.observations import category

    assert category(wind) == expected


def test_energy_counts_six_hourly_gales_once() -> None:
    from hurricanes.observations import accumulated_energy

    landfall_listed_twice = [_observation(0, wind=100), _observation(0, wind=100)]
    between_hours, too_weak = _observation(3, wind=100), _observation(6, wind=33)
    assert accumulated_energy([*landfall_listed_twice, between_hours, too_weak]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        ({"hours": 6.0, "pressure": 800}, "a pressure of 800 hPa"),
        ({"hours": 6.0, "wind": 50}, "called a hurricane at 50 knots"),
        ({"hours": 6.0, "status": "tropical storm"}, "called a tropical storm at 70 knots"),
        ({"hours": 0.0}, "observed twice at the same time; only the first counts"),
        ({"hours": 1.0, "longitude": -50.0}, "moved at 564 knots since the observation before"),
    ],
)
def test_odd_observations_are_found(odd: dict[str, float], problem: str) -> None:
    from hurricanes.observations import inspect

    findings = list(inspect([_observation(0), _observation(**odd)]))  # type: ignore[arg-type]
    assert [finding["problem"] for finding in findings] == [problem]


def test_a_plausible_storm_has_no_findings() -> None:
    from hurricanes.observations import inspect

    assert list(inspect([_observation(0), _observation(6, longitude=-61.0), _observation(12, longitude=-62.0)])) == []


def test_seasons_without_a_storm_are_there() -> None:
    from hurricanes.seasons import seasons_of

    seasons = seasons_of([_storm(2001, 120), _storm(2001, 50), _storm(2003, 70)], 2001, 2003)
    assert [(s["year"], s["storms"], s["hurricanes"], s["major"], s["ace"]) for s in seasons] == [
        (2001, 2, 1, 1, 2.0),
        (2002, 0, 0, 0, 0.0),
        (2003, 1, 1, 0, 1.0),
    ]


def test_the_strongest_are_ranked_by_wind_then_pressure() -> None:
    from hurricanes.seasons import strongest_of

    weaker, deep, shallow = _storm(2001, 90), _storm(2002, 100, pressure=930), _storm(2003, 100, pressure=960)
    assert strongest_of([weaker, shallow, deep], 2) == [deep, shallow]


def test_the_page_is_whole_and_shows_every_storm(tmp_path: Path) -> None:
    from hurricanes import report
    from hurricanes.observations import Finding
    from hurricanes.seasons import Summary, decade_of, seasons_of

    storms = [_storm(year, 60 + year % 100) for year in range(2001, 2007)]
    seasons = seasons_of(storms, 2001, 2006)
    summary = Summary(
        seasons=seasons,
        decades=[decade_of(seasons, storms)],
        strongest=storms[:3],
        tracks=storms,
        suspects=[Finding(name="<Ada>", observed_at="2001-09-01T00:00:00+00:00", problem="odd & wrong")],
        caveats=["Mind the <gap>."],
        observations=60,
    )
    path = report.write(report.render(summary), tmp_path / "new" / "folder")
    page = path.read_text(encoding="utf-8")
    assert page.count('class="track') == len(storms)
    assert "&lt;Ada&gt;" in page
    assert "odd &amp; wrong" in page
    assert "Mind the &lt;gap&gt;." in page
    assert _unbalanced_tags(page) == []
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def _unbalanced_tags(page: str) -> list[str]:
    """Tags that were opened and not closed, or closed in the wrong place."""

    class Checker(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.wrong: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag != "meta":
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if not self.open or self.open.pop() != tag:
                self.wrong.append(tag)

    checker = Checker()
    checker.feed(page)
    return [*checker.wrong, *checker.open]
