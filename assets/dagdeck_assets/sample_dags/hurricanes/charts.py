"""Draws the report's charts as SVG.

Decides scales, marks and labels; colours come from the page's style sheet, so that a chart follows light and dark.
Does not know the page around it (report.py, its only caller, does).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from hurricanes.observations import Storm
from hurricanes.seasons import Season

WIDTH = 960
MAP_BOUNDS = (-108.0, 6.0, -8.0, 54.0)  # west, south, east, north
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_BOTTOM, MARGIN_TOP = 44, 10, 26, 12


def track_map(storms: Iterable[Storm]) -> str:
    """Where storms went: one line per storm, the strongest on top."""
    west, south, east, north = MAP_BOUNDS
    # One degree of longitude is this much shorter than one of latitude in the middle of the map.
    squeeze = math.cos(math.radians((south + north) / 2))
    scale = WIDTH / ((east - west) * squeeze)
    height = round((north - south) * scale)

    def place(longitude: float, latitude: float) -> str:
        return f"{(longitude - west) * squeeze * scale:.1f},{(north - latitude) * scale:.1f}"

    parts = list(_graticule(place))
    for storm in sorted(storms, key=lambda storm: storm["peak_wind"]):
        points = " ".join(place(longitude, latitude) for longitude, latitude, _wind in storm["track"])
        title = f"{storm['name']} {storm['season']}, {storm['peak_wind']} kn"
        parts.append(
            f'<polyline class="track c{storm["category"]}" points="{points}"><title>{escape(title)}</title></polyline>'
        )
    return _svg(height, "Tracks of all storms, coloured by their strongest category", parts)


def _graticule(place: Callable[[float, float], str]) -> Iterable[str]:
    west, south, east, north = MAP_BOUNDS
    for longitude in range(-100, -5, 10):
        yield f'<polyline class="grid" points="{place(longitude, south)} {place(longitude, north)}"/>'
        x, y = place(longitude, south).split(",")
        yield f'<text class="tick" x="{x}" y="{float(y) - 5:.1f}" text-anchor="middle">{-longitude}°W</text>'
    for latitude in range(10, 55, 10):
        yield f'<polyline class="grid" points="{place(west, latitude)} {place(east, latitude)}"/>'
        x, y = place(west, latitude).split(",")
        yield f'<text class="tick" x="{float(x) + 4:.1f}" y="{float(y) - 4:.1f}">{latitude}°N</text>'


def season_bars(seasons: Sequence[Season], height: int = 240) -> str:
    """How many storms each season had: all of them, hurricanes within, major hurricanes within."""
    top = max(season["storms"] for season in seasons)
    step = 5
    scale = _Scale(seasons, top=math.ceil(top / step) * step, height=height)
    parts = list(scale.axes(step))
    for index, season in enumerate(seasons):
        title = (
            f"{season['year']}: {season['storms']} storms, {season['hurricanes']} hurricanes, {season['major']} major"
        )
        layers = (("storms", season["storms"]), ("hurricanes", season["hurricanes"]), ("major", season["major"]))
        bars = "".join(scale.bar(index, value, kind) for kind, value in layers if value)
        parts.append(f"<g><title>{escape(title)}</title>{bars}</g>")
    return _svg(height, "Storms, hurricanes and major hurricanes by season", parts)


def energy_bars(seasons: Sequence[Season], height: int = 220) -> str:
    """The accumulated cyclone energy of each season, with the mean of the five seasons around it."""
    top = max(season["ace"] for season in seasons)
    step = 50
    scale = _Scale(seasons, top=math.ceil(top / step) * step, height=height)
    parts = list(scale.axes(step))
    for index, season in enumerate(seasons):
        title = f"{season['year']}: {season['ace']:.0f}"
        parts.append(f"<g><title>{escape(title)}</title>{scale.bar(index, season['ace'], 'energy')}</g>")
    means = [
        (index, sum(season["ace"] for season in seasons[index - 2 : index + 3]) / 5)
        for index in range(2, len(seasons) - 2)
    ]
    points = " ".join(f"{scale.middle(index):.1f},{scale.y(mean):.1f}" for index, mean in means)
    parts.append(f'<polyline class="mean" points="{points}"/>')
    return _svg(height, "Accumulated cyclone energy by season, with a five-season mean", parts)


class _Scale:
    """Maps seasons to places along x and values to heights along y."""

    def __init__(self, seasons: Sequence[Season], *, top: float, height: int) -> None:
        self._seasons = seasons
        self._top = top
        self._floor = height - MARGIN_BOTTOM
        self._unit = (self._floor - MARGIN_TOP) / top if top else 0.0
        self._slot = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / len(seasons)

    def y(self, value: float) -> float:
        return self._floor - value * self._unit

    def middle(self, index: int) -> float:
        return MARGIN_LEFT + (index + 0.5) * self._slot

    def bar(self, index: int, value: float, kind: str) -> str:
        width = self._slot * 0.72
        return (
            f'<rect class="{kind}" x="{self.middle(index) - width / 2:.1f}" y="{self.y(value):.1f}" '
            f'width="{width:.1f}" height="{value * self._unit:.1f}" rx="1.5"/>'
        )

    def axes(self, step: int) -> Iterable[str]:
        for value in range(0, int(self._top) + 1, step):
            y = self.y(value)
            yield f'<line class="grid" x1="{MARGIN_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="tick" x="{MARGIN_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        for index, season in enumerate(self._seasons):
            if season["year"] % 5 == 0:
                place = f'x="{self.middle(index):.1f}" y="{self._floor + 18}"'
                yield f'<text class="tick" {place} text-anchor="middle">{season["year"]}</text>'


def _svg(height: int, label: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">\n{body}\n</svg>'
