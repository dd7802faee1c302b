"""Figures of daemons on their way to whoever shows them: one row per kind of daemon, overwritten by who leads.

Decides the row. Does not decide what is counted (`dagdeck_core.measures`) or how it is shown (the control API's
metrics). Nothing depends on it: a row that is lost or late is a gap in a chart. Written by the scheduler and the DAG
processor every few seconds, read by the control API when somebody asks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_core.measures import ProcessFigures
from dagdeck_io.db.dialects import GuardMiss, HotConnection, with_retry
from dagdeck_io.db.faults import Contention, DuplicateRow
from dagdeck_io.db.tables import measurement
from dagdeck_io.process_figures import process_figures

_log = logging.getLogger(__name__)
F = TypeVar("F")
SCHEDULER, DAG_PROCESSOR = "scheduler", "dag_processor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one kind of daemon published last. `at` is by the database's clock."""

    owner: str
    at: datetime
    figures: Any
    process: ProcessFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Publishes the figures of daemon `name`, which `owner` is now. Used by one thread."""

    connection: HotConnection
    name: str
    owner: str

    def publish(self, figures: msgspec.Struct) -> None:
        """Overwrite the row. Never raises for a database that does not answer: the next one comes soon."""
        try:
            self._write(msgspec.json.encode({"figures": figures, "process": process_figures()}).decode())
        except (EnvironmentFault, Contention, DuplicateRow) as error:
            _log.debug("the figures of the %s were not published: %s", self.name, error)

    def _write(self, text: str) -> None:
        script = self.connection.script()
        name, owner, now = script.text(self.name), script.text(self.owner), script.dialect.now
        figures = script.text(text)
        script.add(
            f"UPDATE measurement SET owner = {owner}, measured_at = {now}, figures = {figures} WHERE name = {name}",
            expect=1,
        )
        try:
            with_retry(lambda: self.connection.run(script))
        except GuardMiss:
            self._insert(text)

    def _insert(self, text: str) -> None:
        script = self.connection.script()
        row = f"{script.text(self.name)}, {script.text(self.owner)}, {script.dialect.now}, {script.text(text)}"
        script.add(f"INSERT INTO measurement (name, owner, measured_at, figures) VALUES ({row})")
        with_retry(lambda: self.connection.run(script))


def read_measured(connection: sa.Connection, name: str, kind: type[F]) -> Measured | None:
    """What the daemon published last, its figures as a `kind`; None for nothing, or of another version's form."""
    row = connection.execute(sa.select(measurement).where(measurement.c.name == name)).one_or_none()
    if row is None:
        return None
    try:
        parts = msgspec.json.decode(row.figures, type=dict[str, msgspec.Raw])
        return Measured(
            owner=row.owner,
            at=row.measured_at,
            figures=msgspec.json.decode(parts["figures"], type=kind),
            process=msgspec.json.decode(parts["process"], type=ProcessFigures),
        )
    except (msgspec.DecodeError, KeyError) as error:
        _log.debug("the figures of the %s cannot be read: %s", name, error)
        return None
