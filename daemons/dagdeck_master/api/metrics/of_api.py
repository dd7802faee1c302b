"""Figures of the control API's own process.

Decides which. Called by `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagdeck_core.measures import ProcessFigures
from dagdeck_io.process_figures import process_figures
from dagdeck_master.api.context import ApiContext
from dagdeck_master.api.metrics.exposition import Exposition


def add(out: Exposition, context: ApiContext) -> None:
    """Version, requests, live views, database connections."""
    out.gauge("dagdeck_build_info", "The version of this control API", [({"version": context.version}, 1)])
    _add_requests(out, context)
    out.gauge(
        "dagdeck_api_streams", "Open event streams, as of desktops and their live views", context.streams.open_streams
    )
    out.gauge("dagdeck_api_streams_limit", "The most of them (api.max_streams)", context.settings.api.max_streams)
    out.gauge(
        "dagdeck_api_database_connections_in_use", "Pooled connections at work now", context.database.connections_in_use
    )
    out.gauge(
        "dagdeck_api_database_connections_limit",
        "The most of them (database.pool_size and pool_overflow together)",
        context.settings.database.pool_size + context.settings.database.pool_overflow,
    )


def _add_requests(out: Exposition, context: ApiContext) -> None:
    requests = context.requests
    out.counter(
        "dagdeck_api_requests_total",
        "Answered requests by method and status",
        [
            ({"method": method, "status": status}, number)
            for (method, status), number in sorted(requests.counts.items())
        ],
    )
    out.histogram(
        "dagdeck_api_request_duration_seconds", "From a request to the beginning of its answer", requests.durations
    )


def add_processes(out: Exposition, others: Mapping[str, ProcessFigures]) -> None:
    """What the system says of this process and of `others`, by the name of each."""
    every = [({"process": name}, each) for name, each in {"api": process_figures(), **others}.items()]
    out.gauge(
        "dagdeck_process_start_time_seconds",
        "When the process started, in Unix time",
        [(labels, each.started_at) for labels, each in every],
    )
    out.counter(
        "dagdeck_process_cpu_seconds_total",
        "Processor time of the process",
        [(labels, each.cpu_seconds) for labels, each in every],
    )
    out.gauge(
        "dagdeck_process_resident_memory_bytes",
        "Memory of the process",
        [(labels, each.resident_bytes) for labels, each in every],
    )
    out.gauge(
        "dagdeck_process_open_fds", "Open files of the process", [(labels, each.open_files) for labels, each in every]
    )
