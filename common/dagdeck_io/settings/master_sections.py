"""Settings of the master's processes: control API, scheduler, DAG processor, retention, supervisor.

Decides these settings' types, defaults, units and bounds. Does not decide where a value comes from (`load`).
Gathered by `model`.
"""

# ruff: noqa: RUF009 - a field of these dataclasses is a declaration, made by option().
from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dagdeck_io.settings.declaration import Derived, Reader, Unit, option

SHORTEST_SCRAPE_TOKEN = 16
"""Characters."""
KB, MB, GB = 1024, 1024**2, 1024**3
MINUTE, HOUR = 60.0, 3600.0


def _check_scrape_token(token: str) -> str | None:
    if not token or (len(token) >= SHORTEST_SCRAPE_TOKEN and token.isascii() and token.isprintable()):
        return None
    return f"a scrape token has {SHORTEST_SCRAPE_TOKEN} printable ASCII characters or more"


def _check_networks(values: tuple[str, ...]) -> str | None:
    import ipaddress

    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            return f"{value!r} is neither an address nor a network such as 10.0.0.0/8"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The control API."""

    READERS: ClassVar = (Reader.API,)

    host: str = option("Address to listen on. Beyond loopback it needs TLS.", default="127.0.0.1")
    port: int = option("TCP port to listen on; 0 takes a free one.", default=8080, low=0, high=65_535)
    tls_certificate: Path | None = option("PEM file with the certificate and its chain.", default=None)
    tls_key: Path | None = option("PEM file with the certificate's key.", default=None)
    tls_next_certificate: Path | None = option(
        "PEM file with the certificate that will follow: clients that pinned the present one are told of it.",
        default=None,
    )
    allow_plain_http: bool = option(
        "Allow HTTP without TLS beyond loopback, as behind a proxy that ends TLS.", default=False
    )
    trusted_proxies: tuple[str, ...] = option(
        "Addresses and networks of proxies whose X-Forwarded-For is believed. Others may send it in vain.",
        default=(),
        check=_check_networks,
    )
    token_hours: float = option(
        "How long a token stays valid when nobody asks for another time.",
        default=24.0,
        unit=Unit.HOURS,
        low=0.01,
        high=87_600,
    )
    longest_token_hours: float = option(
        "The longest time for which a token can be asked for.", default=8_760.0, unit=Unit.HOURS, low=0.01, high=87_600
    )
    action_wait: float = option(
        "How long a request waits until the scheduler has carried out its action.",
        default=5.0,
        unit=Unit.SECONDS,
        low=0,
        high=60,
    )
    max_page: int = option("Most objects in one answer.", default=1000, unit=Unit.COUNT, low=10, high=10_000)
    threads: int = option("Requests answered at the same time.", default=8, unit=Unit.COUNT, low=1, high=256)
    max_request_bytes: int = option("Largest body of a request.", default=4 * MB, unit=Unit.BYTES, low=KB, high=GB)
    requests_per_second: int = option(
        "Requests that one client (a token; without one, an address) may send in a second, on average.",
        default=300,
        unit=Unit.COUNT,
        low=1,
        high=1_000_000,
    )
    sign_ins_per_minute: int = option(
        "Sign-ins from one address in a minute, right or wrong.", default=100, unit=Unit.COUNT, low=1, high=1_000_000
    )
    max_streams: int = option(
        "Most open event streams (live views) of one API process.", default=500, unit=Unit.COUNT, low=1, high=10_000
    )
    max_streams_per_user: int = option(
        "Most open event streams of one user.", default=50, unit=Unit.COUNT, low=1, high=10_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """The scheduler: what runs and when."""

    READERS: ClassVar = (Reader.SCHEDULER,)

    lease_timeout: float = option(
        "A worker whose lease stood still for so long is lost; it stops its own tasks at 0.7 of this.",
        default=20.0,
        unit=Unit.SECONDS,
        low=2,
        high=3600,
        readers=(Reader.SCHEDULER, Reader.WORKER),
    )
    takeover_timeout: float = option(
        "A scheduler whose lease stood still for so long is replaced by a standby.",
        default=10.0,
        unit=Unit.SECONDS,
        low=2,
        high=3600,
    )
    max_rows_per_transaction: int = option(
        "Most rows that one decision transaction writes; larger expansions go on in the next.",
        default=2000,
        unit=Unit.ROWS,
        low=100,
        high=100_000,
    )
    reconcile_interval: float = option(
        "How often runs are compared with the database.", default=5.0, unit=Unit.SECONDS, low=0.1, high=3600
    )
    action_poll: float = option(
        "How often people's actions are looked for when no message announces them.",
        default=1.0,
        unit=Unit.SECONDS,
        low=0.05,
        high=60,
    )
    reoffer_after: float = option(
        "A queued task that nobody claimed for so long is offered again.",
        default=5.0,
        unit=Unit.SECONDS,
        low=0.5,
        high=3600,
    )
    queue_probe_interval: float = option(
        "How often a queue that is down is tried again.",
        default=1.0,
        unit=Unit.SECONDS,
        low=0.1,
        high=300,
        readers=(Reader.SCHEDULER, Reader.WORKER),
    )
    max_mapped_instances: int = option(
        "Most instances that one task is expanded into in one run; a task that would have more fails.",
        default=200_000,
        unit=Unit.COUNT,
        low=1,
        high=1_000_000,
    )
    max_runs_created_per_dag_per_loop: int = option(
        "Most dag runs that are created for one DAG before others have their turn.",
        default=16,
        unit=Unit.COUNT,
        low=1,
        high=10_000,
    )
    partition_mapper_max_downstream_keys: int = option(
        "Most partitions of a DAG to which one asset event leads, unless its mapper says otherwise.",
        default=1000,
        unit=Unit.COUNT,
        low=1,
        high=100_000,
    )
    create_cron_data_intervals: bool = option(
        "Whether a cron text in schedule= makes data intervals as in Airflow 2 (true) or fires at instants (false).",
        default=False,
        readers=(Reader.SCHEDULER, Reader.DAG_PROCESSOR),
    )
    create_delta_data_intervals: bool = option(
        "Whether a timedelta in schedule= makes data intervals as in Airflow 2 (true) or fires at instants (false).",
        default=False,
        readers=(Reader.SCHEDULER, Reader.DAG_PROCESSOR),
    )
    catchup_by_default: bool = option(
        "What a DAG without catchup= does about the intervals that it missed. DAGs with schedule_interval= catch up.",
        default=False,
        readers=(Reader.SCHEDULER, Reader.DAG_PROCESSOR),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DagProcessor:
    """The DAG processor: it turns the DAG folder into stored code and DAGs."""

    READERS: ClassVar = (Reader.DAG_PROCESSOR,)

    scan_interval: float = option(
        "How often the DAG folder is looked at.",
        default=Derived("2 s; standalone 1 s", lambda at: 1.0 if at.standalone else 2.0, 2.0),
        unit=Unit.SECONDS,
        low=0.1,
        high=3600,
    )
    refresh_interval: float = option(
        "How often a DAG file is parsed again that failed, or that asks for Variables or Connections at its top level.",
        default=60.0,
        unit=Unit.SECONDS,
        low=1,
        high=86_400,
    )
    parse_timeout: float = option(
        "Longest time that one DAG file may take to import.", default=30.0, unit=Unit.SECONDS, low=0.1, high=3600
    )
    memory_limit: int = option(
        "Memory that one parsing process may use.", default=GB, unit=Unit.BYTES, low=64 * MB, high=1024 * GB
    )
    parallel_children: int = option("Parsing processes at the same time.", default=2, unit=Unit.COUNT, low=1, high=256)
    max_bundle_bytes: int = option(
        "Largest DAG folder, all files together.",
        default=256 * MB,
        unit=Unit.BYTES,
        low=KB,
        high=16 * GB,
        readers=(Reader.DAG_PROCESSOR, Reader.WORKER),
    )
    max_bundle_files: int = option(
        "Most files in a DAG folder.",
        default=20_000,
        unit=Unit.COUNT,
        low=1,
        high=1_000_000,
        readers=(Reader.DAG_PROCESSOR, Reader.WORKER),
    )
    max_file_bytes: int = option(
        "Largest single file in a DAG folder.",
        default=16 * MB,
        unit=Unit.BYTES,
        low=KB,
        high=GB,
        readers=(Reader.DAG_PROCESSOR, Reader.WORKER),
    )
    max_output_bytes: int = option(
        "Output kept of one parsing process.", default=MB, unit=Unit.BYTES, low=KB, high=64 * MB
    )
    paused_at_creation: bool = option("Whether a new DAG starts paused.", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long history is kept. Removal is by time, in small steps."""

    READERS: ClassVar = (Reader.SCHEDULER,)

    dag_runs_days: float = option(
        "Ended dag runs with all that is theirs; the last run of a DAG in use stays.",
        default=365.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    transitions_days: float = option(
        "Records of state transitions and of earlier tries.",
        default=90.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    rendered_fields_days: float = option(
        "Rendered templates of ended runs.",
        default=90.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    xcoms_days: float = option(
        "XComs of ended runs; a task that is cleared later finds none.",
        default=365.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    callbacks_days: float = option(
        "Callbacks and questions to user code that are done with, and their logs.",
        default=90.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    asset_events_days: float = option(
        "Asset events that no kept run consumed and no DAG waits with.",
        default=365.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    audit_days: float = option(
        "The audit log.",
        default=730.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    actions_days: float = option(
        "Finished actions, by which a repeated request is recognised.",
        default=30.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    workers_days: float = option(
        "Workers that ended.",
        default=90.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    tokens_days: float = option(
        "Tokens that expired or were revoked.",
        default=30.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    code_days: float = option(
        "DAG versions and DAG code that no kept run uses and that newer ones have replaced; a day at least.",
        default=30.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    stale_dags_days: float = option(
        "DAGs that are no longer in the DAG folder, once they have no runs any more.",
        default=365.0,
        unit=Unit.DAYS,
        low=0.01,
        high=36_500,
    )
    archive_folder: Path | None = option(
        "Folder in which old rows are kept as compressed JSON lines before they are deleted; empty: they are not. "
        "Every machine that may run the leading scheduler needs it.",
        default=None,
    )
    archive_days: float = option(
        "How long files of the archive are kept after they were written; 0 for ever.",
        default=0.0,
        unit=Unit.DAYS,
        low=0,
        high=36_500,
    )
    interval: float = option("How often old rows are looked for.", default=HOUR, unit=Unit.SECONDS, low=1, high=86_400)
    rows_per_transaction: int = option(
        "Most rows that one transaction of removal deletes.", default=1000, unit=Unit.ROWS, low=10, high=100_000
    )
    transaction_time: float = option(
        "A transaction of removal that took longer is followed by smaller ones.",
        default=0.05,
        unit=Unit.SECONDS,
        low=0.005,
        high=10,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures for monitoring systems, at `/metrics` of the control API."""

    READERS: ClassVar = (Reader.API,)

    interval: float = option(
        "How often the scheduler and the DAG processor publish their figures.",
        default=10.0,
        unit=Unit.SECONDS,
        low=1,
        high=3600,
        readers=(Reader.SCHEDULER, Reader.DAG_PROCESSOR),
    )
    scrape_token: str = option(
        "Bearer token with which /metrics may be read, and nothing else. Empty: only with the token of a user.",
        default="",
        secret=True,
        check=_check_scrape_token,
    )
    open_on_loopback: bool = option(
        "Whether programs on the API's own machine may read /metrics without a token. Not behind a proxy on it.",
        default=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """The process that starts the others and keeps them running."""

    READERS: ClassVar = (Reader.SUPERVISOR,)

    stop_timeout: float = option(
        "How long a stopping process may take before it is killed.",
        default=20.0,
        unit=Unit.SECONDS,
        low=0.1,
        high=7 * 86_400,
    )
    restart_limit: int = option(
        "Crashes of one process within supervisor.restart_window after which everything is stopped.",
        default=10,
        unit=Unit.COUNT,
        low=0,
        high=10_000,
    )
    restart_window: float = option(
        "Time over which crashes are counted.", default=5 * MINUTE, unit=Unit.SECONDS, low=1, high=86_400
    )
    max_restart_delay: float = option(
        "Longest pause before a crashed process is started again.", default=30.0, unit=Unit.SECONDS, low=0, high=3600
    )
    portable_processes: bool = option(
        "Start the daemons and parse DAG files without the Linux process features, as on other systems.",
        default=False,
        readers=(Reader.SUPERVISOR, Reader.DAG_PROCESSOR),
    )

    @property
    def is_portable(self) -> bool:
        """Whether they are started so: elsewhere than on Linux this also has them end when the supervisor dies."""
        return self.portable_processes or not sys.platform.startswith("linux")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standalone:
    """`dagdeckd standalone` alone."""

    READERS: ClassVar = (Reader.SUPERVISOR,)

    samples: bool = option("Copy the sample DAGs into an empty DAG folder.", default=False)
