"""Fixtures of the end-to-end tests, and the daemons' logs beside every failure.

Decides what a failing test shows. Called by pytest.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ClusterUnderTest

DAGS = Path(__file__).parent / "dags"
Reports = Generator[None, pytest.TestReport, pytest.TestReport]


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[ClusterUnderTest]:
    """A standalone cluster of this test's own, not yet started."""
    with ClusterUnderTest(tmp_path) as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Reports:
    """Put the daemons' last words under a failure."""
    report = yield
    for cluster in list(ClusterUnderTest.opened):
        if report.failed:
            report.sections.append((f"daemons of {cluster.folder}", cluster.logs()))
        if cluster.is_closed:
            ClusterUnderTest.opened.remove(cluster)
    return report
