"""Writes the pipeline's report: one HTML page that needs nothing but itself.

Decides the page's text, tables and colours, light and dark. Draws no chart (charts.py does) and computes nothing
(seasons.py does). Called by the pipeline's last task.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from hurricanes import charts
from hurricanes.observations import Finding, Storm
from hurricanes.seasons import Decade, Summary

FILE_NAME = "atlantic-hurricanes.html"
SOURCE = "NOAA, National Hurricane Center: Atlantic hurricane best tracks (HURDAT2), a work of the US government"

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b2230; --faint: #667085; --line: #e3e7ee;
  --c0: #8fa3bf; --c1: #4aa3df; --c2: #2bb5a0; --c3: #e3a21a; --c4: #e5672e; --c5: #c02942; --energy: #6d83f2; }
@media (prefers-color-scheme: dark) { :root {
  --page: #10141b; --card: #181e28; --text: #e6eaf2; --faint: #93a0b5; --line: #2a3342;
  --c0: #5b6f8c; --c1: #58b4ee; --c2: #3ccdb6; --c3: #f0b53a; --c4: #f57c45; --c5: #e84a63; --energy: #8497ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 Inter, system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.02em; }
h2 { font-size: 17px; margin: 0 0 12px; }
p.lead { color: var(--faint); margin: 0 0 26px; max-width: 70ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 22px 24px;
  margin-bottom: 20px; overflow-x: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin-bottom: 20px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 14px 18px; }
.figure b { display: block; font-size: 26px; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.figure span, footer, .legend { color: var(--faint); font-size: 13px; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--line); stroke-width: 1; fill: none; }
.tick { fill: var(--faint); font-size: 11px; }
.track { fill: none; stroke-width: 1.4; stroke-linecap: round; stroke-linejoin: round; opacity: 0.75; }
.track:hover { stroke-width: 4; opacity: 1; }
.c0 { stroke: var(--c0); opacity: 0.35; } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); stroke-width: 2; }
.storms { fill: var(--c0); opacity: 0.55; } .hurricanes { fill: var(--c1); } .major { fill: var(--c4); }
.energy { fill: var(--energy); opacity: 0.7; } .mean { fill: none; stroke: var(--c4); stroke-width: 2.5; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 12px 0 0; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px;
  vertical-align: -1px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--faint); font-weight: 500; font-size: 13px; }
th, td { padding: 7px 22px 7px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; }
"""


def render(summary: Summary) -> str:
    """The whole page."""
    first, last = summary["seasons"][0]["year"], summary["seasons"][-1]["year"]
    title = f"Atlantic hurricanes {first}-{last}"
    body = "\n".join(
        (
            f"<h1>{title}</h1>",
            f'<p class="lead">{summary["observations"]:,} observations of {len(summary["tracks"])} storms, '
            f"computed decade by decade and put together by a DagDeck pipeline.</p>",
            _figures(summary),
            _section("Where they went", charts.track_map(summary["tracks"]) + _legend(_CATEGORIES)),
            _section("Storms by season", charts.season_bars(summary["seasons"]) + _legend(_COUNTS)),
            _section(
                "Accumulated cyclone energy by season (10⁴ kn²)",
                charts.energy_bars(summary["seasons"]) + _legend(_ENERGY),
            ),
            _section("By decade", _decade_table(summary["decades"])),
            _section("The strongest storms", _storm_table(summary["strongest"])),
            _section("How good the data are", _quality(summary["suspects"], summary["caveats"])),
            f"<footer>Source: {escape(SOURCE)}.</footer>",
        )
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def write(page: str, directory: Path) -> Path:
    """Store the page in a folder, which is made if need be; a reader never sees half a page."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / FILE_NAME
    partial = directory / f".{FILE_NAME}.{os.getpid()}"
    partial.write_text(page, encoding="utf-8")
    partial.replace(target)
    return target.resolve()


_CATEGORIES = (
    ("c0", "below hurricane force"),
    *((f"c{number}", f"category {number}") for number in range(1, 6)),
)
_COUNTS = (("c0", "storms"), ("c1", "of these hurricanes"), ("c4", "of these major (category 3 and more)"))
_ENERGY = (("energy", "season"), ("c4", "mean of five seasons"))


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    items = "".join(f'<li><i style="background:var(--{colour})"></i>{escape(label)}</li>' for colour, label in entries)
    return f'<ul class="legend">{items}</ul>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>"


def _figures(summary: Summary) -> str:
    hurricanes = sum(season["hurricanes"] for season in summary["seasons"])
    major = sum(season["major"] for season in summary["seasons"])
    busiest = max(summary["seasons"], key=lambda season: season["storms"])
    champion = summary["strongest"][0]
    figures = (
        (f"{len(summary['tracks'])}", "storms"),
        (f"{hurricanes}", "hurricanes"),
        (f"{major}", "major hurricanes"),
        (f"{busiest['year']}", f"busiest season, {busiest['storms']} storms"),
        (f"{champion['peak_wind']} kn", f"strongest wind, {champion['name']} {champion['season']}"),
    )
    cards = "".join(
        f'<div class="figure"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in figures
    )
    return f'<div class="figures">{cards}</div>'


def _decade_table(decades: Sequence[Decade]) -> str:
    rows = [
        (
            decade["label"],
            str(decade["storms"]),
            str(decade["hurricanes"]),
            f"{decade['major']} ({decade['share_major']:.0%})",
            f"{decade['median_ace']:.0f}",
            decade["strongest"],
        )
        for decade in decades
    ]
    headings = ("Seasons", "Storms", "Hurricanes", "Major", "Median energy", "Strongest")
    return _table(headings, rows, numbers=(1, 2, 3, 4))


def _storm_table(storms: Sequence[Storm]) -> str:
    rows = [
        (
            storm["name"],
            str(storm["season"]),
            str(storm["category"]),
            f"{storm['peak_wind']} kn",
            f"{storm['lowest_pressure']} hPa",
            f"{storm['days']:.1f}",
            f"{storm['ace']:.1f}",
        )
        for storm in storms
    ]
    headings = ("Storm", "Season", "Category", "Wind", "Pressure", "Days", "Energy")
    return _table(headings, rows, numbers=(1, 2, 3, 4, 5, 6))


def _quality(suspects: Sequence[Finding], caveats: Sequence[str]) -> str:
    if not suspects:
        return "<p>Every observation passed the checks.</p>"
    told = "".join(f"<p>{escape(caveat)}</p>" for caveat in caveats)
    rows = [(finding["name"], finding["observed_at"][:16], finding["problem"]) for finding in suspects]
    note = "" if caveats else f"<p>{len(rows)} observations look odd, few enough to be of no consequence.</p>"
    return told + note + _table(("Storm", "Time (UTC)", "What is odd"), rows, numbers=())


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int]) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if index in numbers else ''}>{escape(value)}</{tag}>"
            for index, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', headings)}</tr></thead><tbody>{body}</tbody></table>"
