"""Figures that the leading scheduler and DAG processor published of their own work.

Decides how they are named. Called by `metrics`.
"""

from __future__ import annotations

import sqlalchemy as sa

from dagdeck_core.measures import MachineFigures, ProcessFigures, ProcessorFigures, SchedulerFigures
from dagdeck_io.db.measurements import DAG_PROCESSOR, SCHEDULER, Measured, read_measured
from dagdeck_master.api.metrics.exposition import Exposition
from dagdeck_master.api.queries.cluster import database_now


def add(out: Exposition, connection: sa.Connection) -> dict[str, ProcessFigures]:
    """All that was published; what the system says of these processes is returned, by the name of each."""
    found: dict[str, Measured] = {}
    scheduler = read_measured(connection, SCHEDULER, SchedulerFigures)
    if scheduler is not None:
        found[SCHEDULER] = scheduler
        _add_machine(out, scheduler.figures.machine)
        _add_loop(out, scheduler.figures)
    processor = read_measured(connection, DAG_PROCESSOR, ProcessorFigures)
    if processor is not None:
        found[DAG_PROCESSOR] = processor
        _add_processor(out, processor.figures)
    now = database_now(connection)
    out.gauge(
        "dagdeck_figures_age_seconds",
        "Since the component published the figures that are shown here",
        [({"component": name}, max((now - each.at).total_seconds(), 0.0)) for name, each in found.items()],
    )
    return {name: each.process for name, each in found.items()}


def _add_machine(out: Exposition, figures: MachineFigures) -> None:
    out.counter(
        "dagdeck_task_instance_moves_total",
        "How often a task instance took the state, since the scheduler leads",
        [({"state": state}, number) for state, number in figures.task_moves.items()],
    )
    out.counter(
        "dagdeck_dag_run_moves_total",
        "How often a dag run took the state, since the scheduler leads",
        [({"state": state}, number) for state, number in figures.run_moves.items()],
    )
    out.histogram(
        "dagdeck_dag_run_duration_seconds",
        "From a run's start to its end, by the state in which it ended",
        [({"state": state}, each) for state, each in figures.run_durations.items()],
    )
    out.histogram(
        "dagdeck_dag_run_schedule_delay_seconds",
        "From the moment for which a timetable asked for a run to its creation; runs that catch up count too",
        figures.schedule_delay,
    )
    out.histogram(
        "dagdeck_task_dispatch_latency_seconds",
        "From the decision to queue a task instance until a worker was heard to run it",
        figures.dispatch_latency,
    )
    out.counter("dagdeck_workers_lost_total", "Workers that were declared lost", figures.workers_lost)


def _add_loop(out: Exposition, figures: SchedulerFigures) -> None:
    out.histogram(
        "dagdeck_scheduler_round_duration_seconds", "Rounds of the scheduler's loop, without waiting", figures.rounds
    )
    out.counter(
        "dagdeck_scheduler_failed_commits_total",
        "Rounds that met rows which had changed, and were decided again",
        figures.failed_commits,
    )
    out.counter(
        "dagdeck_scheduler_faults_total",
        "How often the scheduler found the database or the queue away",
        [({"of": "database"}, figures.database_faults), ({"of": "queue"}, figures.queue_faults)],
    )
    out.gauge("dagdeck_scheduler_queue_up", "Whether the scheduler sends hints by the queue", int(figures.queue_is_up))
    out.gauge("dagdeck_scheduler_runs_in_memory", "Dag runs that the scheduler holds", figures.runs_in_memory)


def _add_processor(out: Exposition, figures: ProcessorFigures) -> None:
    out.counter(
        "dagdeck_dag_processor_rounds_total",
        "Looks at the DAG folder, by what they came to",
        [({"result": result}, number) for result, number in figures.rounds.items()],
    )
    out.histogram("dagdeck_dag_file_parse_duration_seconds", "Parses of DAG files", figures.parses)
    out.counter("dagdeck_dag_file_failed_parses_total", "Parses that found an error", figures.failed_parses)
    out.gauge("dagdeck_dag_files", "DAG files in the folder", figures.files)
    out.gauge(
        "dagdeck_dag_files_with_errors", "Files that cannot be used, in whole or in part", figures.files_with_errors
    )
    out.histogram("dagdeck_dag_processor_publish_duration_seconds", "Storing what was parsed", figures.publishing)
    out.gauge(
        "dagdeck_dag_processor_last_published_timestamp_seconds",
        "When the DAGs were stored last, in Unix time",
        [({}, figures.last_published)],
    )
