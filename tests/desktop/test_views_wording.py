"""The words for times, lengths, sizes and counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dagdeck_desktop.viewmodels import wording

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.042, "42 ms"),
        (0.9999, "1.0 s"),
        (9.96, "10.0 s"),
        (42, "42 s"),
        (59.6, "1 m 00 s"),
        (761, "12 m 41 s"),
        (11_100, "3 h 05 m"),
        (100_000, "1 d 3 h"),
    ],
)
def test_lengths(seconds: float | None, text: str) -> None:
    assert wording.duration_text(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0:00"), (187, "3:07"), (3_725, "1:02:05")])
def test_what_counts(seconds: float, text: str) -> None:
    assert wording.clock_text(seconds) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [(0.2, "now"), (-5, "5 s ago"), (185, "in 3 m"), (-7_300, "2 h ago"), (90_000, "in 1 d")],
)
def test_distances(away: float, text: str) -> None:
    assert wording.distance_text(NOW + timedelta(seconds=away), NOW) == text
    assert wording.distance_text(None, NOW) == "–"


def test_times_have_a_date_only_on_other_days() -> None:
    assert wording.time_text(NOW, NOW, UTC) == "12:00:00"
    assert wording.time_text(NOW - timedelta(days=1), NOW, UTC) == "2026-11-22 12:00"
    assert wording.full_time_text(NOW, UTC) == "2026-11-23 12:00:00 UTC"
    assert wording.time_text(None) == wording.full_time_text(None) == "–"


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KB"), (851_443_712, "812 MB"), (25e9, "23.3 GB")],
)
def test_sizes(count: float | None, text: str) -> None:
    assert wording.bytes_text(count) == text


def test_shares_and_counts() -> None:
    assert [wording.percent_text(share) for share in (None, 0.833, 1.0)] == ["–", "83.3 %", "100 %"]
    assert wording.count_text(1, "entry", "entries") == "1 entry"
    assert wording.count_text(1_204, "task") == "1,204 tasks"
