"""The DAG files of this folder on a standalone cluster: every task ends in the state that Airflow gives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat import stage
from tests.compat.campaign import Campaign, Outcome
from tests.compat.corpus import own_dags
from tests.e2e.harness import ClusterUnderTest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterUnderTest]:
    """A standalone cluster with these files."""
    with stage.cluster(own_dags(), tmp_path_factory.mktemp("compat"), standalone=True) as this:
        yield this


def test_every_dag_ends_as_on_airflow(cluster: ClusterUnderTest) -> None:
    said: list[str] = []
    with cluster.client() as client:
        campaign = Campaign(cluster, own_dags(), client=client, say=said.append, limit=60)
        verdicts = campaign.run()
    assert campaign.import_errors == {}
    assert {each.dag_id: each.text for each in verdicts if each.outcome is not Outcome.MATCHED} == {}
    assert len(verdicts) == len(campaign.wanted) >= 50
