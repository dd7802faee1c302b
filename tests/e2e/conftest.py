"""Fixtures of the end-to-end tests: clusters of real processes, and their logs beside every failure.

Decides what a failing test shows. Called by pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ClusterUnderTest

DAGS = Path(__file__).parent / "dags"
_clusters: list[ClusterUnderTest] = []


@pytest.fixture(scope="session")
def known_clusters() -> list[ClusterUnderTest]:
    """Clusters whose logs a failure shows; module fixtures add theirs."""
    return _clusters


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[ClusterUnderTest]:
    """A standalone cluster of this test's own, not yet started."""
    with ClusterUnderTest(tmp_path) as cluster:
        _clusters.append(cluster)
        yield cluster
    _clusters.remove(cluster)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Put the daemons' last words under a failure."""
    report = yield
    if report.failed and item.get_closest_marker("e2e"):  # type: ignore[attr-defined]
        for cluster in _clusters:
            report.sections.append((f"daemons of {cluster.folder}", cluster.logs()))  # type: ignore[attr-defined]
    return report
