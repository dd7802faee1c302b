"""Figures of daemons through the database: written over, read back, and never in the way."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.measures import SHORT, Histogram, ProcessorFigures, SchedulerFigures
from dagdeck_io.db.engine import Database
from dagdeck_io.db.measurements import DAG_PROCESSOR, SCHEDULER, Measurements, read_measured
from dagdeck_io.db.tables import measurement
from tests.contract.store_world import StoreWorld


def figures(files: int) -> ProcessorFigures:
    parses = Histogram.over(SHORT)
    parses.observe(0.02)
    return ProcessorFigures(
        rounds={"quiet": 3}, parses=parses, publishing=Histogram.over(SHORT), files=files, last_published=1.5
    )


@pytest.fixture
def publishing(stores: StoreWorld, store_database: Database) -> Measurements:
    return store_database.measurements(DAG_PROCESSOR, "here:1")


def test_the_last_figures_are_read(publishing: Measurements, store_database: Database) -> None:
    with store_database.reading() as connection:
        assert read_measured(connection, DAG_PROCESSOR, ProcessorFigures) is None
    for files in (1, 2):
        publishing.publish(figures(files))
    store_database.measurements(DAG_PROCESSOR, "there:2").publish(figures(3))
    with store_database.reading() as connection:
        found = read_measured(connection, DAG_PROCESSOR, ProcessorFigures)
        count = connection.execute(sa.select(sa.func.count()).select_from(measurement)).scalar_one()
        assert read_measured(connection, SCHEDULER, SchedulerFigures) is None
    assert found is not None
    assert (found.owner, found.figures, count) == ("there:2", figures(3), 1)
    assert found.process.cpu_seconds > 0


def test_figures_of_another_version_s_form_are_left_out(publishing: Measurements, store_database: Database) -> None:
    publishing.publish(figures(1))
    with store_database.reading() as connection:
        assert read_measured(connection, DAG_PROCESSOR, SchedulerFigures) is None
    for text in ("{}", "no JSON"):
        with store_database.writing() as connection:
            connection.execute(measurement.update().values(figures=text))
        with store_database.reading() as connection:
            assert read_measured(connection, DAG_PROCESSOR, ProcessorFigures) is None


def test_a_database_that_is_away_costs_the_figures_only(
    publishing: Measurements, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_arguments: object, **_options: object) -> None:
        raise EnvironmentFault("the database is away")

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(type(publishing.connection), "run", away)
    publishing.publish(figures(1))
    assert "the database is away" in caplog.text
