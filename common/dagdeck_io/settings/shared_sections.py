"""Settings that several processes read: paths, secrets, database, queue, security, logging.

Decides these settings' types, defaults, units and bounds. Does not decide where a value comes from (`load`).
Gathered by `model`.
"""

# ruff: noqa: RUF009 - a field of these dataclasses is a declaration, made by option().
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dagdeck_io.settings.declaration import Derived, Reader, Unit, option

_QUEUE_SCHEMES = ("redis", "rediss", "embedded+unix", "embedded+tcp")


class LogLevel(StrEnum):
    """The least severe log lines that a daemon writes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a daemon's log lines look."""

    TEXT = "text"
    JSON = "json"


class EmbeddedTransport(StrEnum):
    """What the embedded queue listens on."""

    AUTO = "auto"
    UNIX = "unix"
    TCP = "tcp"


class TlsMode(StrEnum):
    """Whether a connection to a server is encrypted."""

    AUTO = "auto"
    """Beyond this machine, and where a file for TLS is named."""
    REQUIRED = "required"
    OFF = "off"


class BundleSignatures(StrEnum):
    """Whether workers insist on signed bundles."""

    REQUIRED = "required"
    OFF = "off"


class SqliteSynchronous(StrEnum):
    """SQLite's PRAGMA synchronous."""

    FULL = "full"
    NORMAL = "normal"


def _check_object(text: str) -> str | None:
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"this is no JSON: {error}"
    return None if isinstance(found, dict) else "this must be a JSON object"


def _check_database_url(url: str) -> str | None:
    scheme = url.partition("://")[0]
    if "://" not in url:
        return "this is no URL"
    if scheme.split("+")[0] not in ("sqlite", "mysql", "mariadb"):
        return f"the database {scheme!r} is not supported (supported: sqlite, mysql+pymysql, mariadb+pymysql)"
    if scheme in ("sqlite", "mysql+pymysql", "mariadb+pymysql"):
        return None
    return f"the driver of {scheme!r} is not supported (write mysql+pymysql or mariadb+pymysql)"


def _check_queue_url(url: str) -> str | None:
    if url in ("embedded", "off", "off:"):
        return None
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        return f"this is no URL: {error}"
    if scheme in _QUEUE_SCHEMES:
        return None
    return "the queue is one of redis://host:port/0, rediss://host:port/0, embedded, off"


def _check_bundle_keys(keys: tuple[str, ...]) -> str | None:
    wrong = [key for key in keys if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", key)]
    return f"{wrong[0]!r} is no public key; `dagdeckd bundle-keys show` on the master prints it" if wrong else None


def _check_cluster(name: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        return None
    return "a cluster's name has 1 to 63 letters, digits, '.', '_' or '-'"


def _with_tls(url: str, section: Server) -> str:
    """`url` with what `section` says about TLS as parameters; what the URL says itself stays."""
    files = {"tls_ca": section.tls_ca, "tls_certificate": section.tls_certificate, "tls_key": section.tls_key}
    said = {name: str(path) for name, path in files.items() if path is not None}
    if section.tls is not TlsMode.AUTO:
        said["tls"] = section.tls.value
    if not section.tls_verify_identity:
        said["tls_verify_identity"] = "false"
    if not said:
        return url
    parts = urlsplit(url)
    own = parse_qsl(parts.query, keep_blank_values=True)
    query = own + [each for each in said.items() if each[0] not in dict(own)]
    return urlunsplit(parts._replace(query=urlencode(query)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where a daemon keeps its files."""

    home: Path = option(
        "State folder: the embedded database, keys, cached DAG code, sockets.",
        default=Derived("$XDG_DATA_HOME/dagdeck or ~/.local/share/dagdeck", lambda at: at.home, "/var/lib/dagdeck"),
    )
    dags_folder: Path = option(
        "Folder with DAG files; only the DAG processor reads it.",
        default=Derived("<paths.home>/dags", lambda at: at.home / "dags", "/srv/dags"),
        readers=(Reader.SUPERVISOR, Reader.DAG_PROCESSOR),
    )

    @property
    def secret_key_file(self) -> Path:
        """Where `standalone` keeps the key that it made, when security.secret_key is empty."""
        return self.home / "secret.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """How DAG files are taken, under Airflow's names."""

    airflow_layer: bool = option(
        "Whether `import airflow…` in DAG files gets DagDeck's own classes, also where Airflow is installed.",
        default=True,
        readers=(Reader.DAG_PROCESSOR, Reader.WORKER),
    )
    default_impersonation: str = option(
        "User that tasks run as which name no run_as_user; it needs workers that run as root. Empty: the worker's own.",
        default="",
        readers=(Reader.WORKER,),
    )
    max_map_length: int = option(
        "Most items of a list or dict that tasks are expanded over; a task that returns more fails.",
        default=1024,
        unit=Unit.COUNT,
        low=1,
        high=1_000_000,
        readers=(Reader.WORKER,),
    )
    plugins_folder: str = option(
        "Folder with plugin files for all bundles, beside `plugins/` of each bundle; a path on this machine.",
        default="",
        readers=(Reader.DAG_PROCESSOR, Reader.WORKER),
    )
    runner_python: str = option(
        "Python that runs users' code; it needs DagDeck's runner package of the same version. Empty: the Python that "
        "runs DagDeck; for a packaged program the one of <paths.home>/runner-env, else one on the command search path.",
        default="",
        readers=(Reader.SUPERVISOR, Reader.DAG_PROCESSOR, Reader.WORKER),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """What operators do when their author does not say, under Airflow's names."""

    default_deferrable: bool = option(
        "Whether operators and sensors that can leave their waiting to a trigger do so.",
        default=False,
        readers=(Reader.DAG_PROCESSOR, Reader.WORKER),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Where user code looks for Variables and Connections before the metadata database, under Airflow's names."""

    READERS: ClassVar = (Reader.DAG_PROCESSOR, Reader.WORKER)

    backend: str = option("Class of a secrets backend, as package.module.Class; empty for none.", default="")
    backend_kwargs: str = option(
        "Its arguments as a JSON object. Processes that run user code are told them.",
        default="{}",
        secret=True,
        check=_check_object,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What is said of a server that daemons connect to, whatever it serves: where it is, and TLS."""

    url: str
    tls: TlsMode = option(
        "auto: connections beyond this machine, and where a file for TLS is named, are encrypted and the server's "
        "certificate is verified. required: all of them. off: none, for a network that is trusted.",
        default=TlsMode.AUTO,
    )
    tls_ca: Path | None = option(
        "PEM file of the authority that signed the server's certificate; none: those that the system knows.",
        default=None,
    )
    tls_certificate: Path | None = option(
        "PEM file of this client's own certificate, if the server asks for one.", default=None
    )
    tls_key: Path | None = option(
        "PEM file of that certificate's key, without a password; none: it stands in the same file.", default=None
    )
    tls_verify_identity: bool = option(
        "Whether the server's certificate must be for the host that the URL names.", default=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Database(Server):
    """The metadata database."""

    url: str = option(
        "SQLAlchemy URL, such as mysql+pymysql://user:password@host/dagdeck or sqlite:////var/lib/dagdeck/dagdeck.db.",
        default=Derived(
            "sqlite:///<paths.home>/dagdeck.db",
            lambda at: f"sqlite:///{(at.home / 'dagdeck.db').as_posix()}",
            "mysql+pymysql://dagdeck:password@db.example/dagdeck",
        ),
        secret=True,
        check=_check_database_url,
    )
    lock_wait: float = option(
        "Longest wait for a row lock before the transaction is tried again.",
        default=2.0,
        unit=Unit.SECONDS,
        low=1,
        high=50,
    )
    connect_timeout: float = option(
        "Longest wait for a new connection.", default=5.0, unit=Unit.SECONDS, low=0.1, high=300
    )
    read_timeout: float = option(
        "Longest wait for the answer to one statement.", default=30.0, unit=Unit.SECONDS, low=1, high=3600
    )
    pool_size: int = option("Connections that a process keeps open.", default=5, unit=Unit.COUNT, low=1, high=1000)
    pool_overflow: int = option(
        "Further connections that a process opens under load.", default=10, unit=Unit.COUNT, low=0, high=1000
    )
    pool_recycle: float = option(
        "Age at which a kept connection is replaced.", default=1800.0, unit=Unit.SECONDS, low=1, high=86_400
    )
    retries: int = option(
        "How often a transaction is tried again after a deadlock or a lock wait.",
        default=5,
        unit=Unit.COUNT,
        low=0,
        high=100,
    )
    sqlite_synchronous: SqliteSynchronous = option(
        "SQLite only: full survives a power failure, normal only a crash of the process.",
        default=SqliteSynchronous.FULL,
    )

    @property
    def address(self) -> str:
        """`url` with what the other settings say about TLS: what connects is given this."""
        return self.url if self.url.startswith("sqlite") else _with_tls(self.url, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(Server):
    """The message queue. It carries hints only: the database alone holds the truth."""

    url: str = option(
        'redis://[user:password@]host:port/number, rediss://… for TLS, "embedded" (standalone only: served by the '
        'supervisor), or "off" (workers poll the database).',
        default="embedded",
        secret=True,
        check=_check_queue_url,
    )
    cluster: str = option(
        "Name that sets the keys of this cluster apart from others on the same Redis.",
        default="dagdeck",
        check=_check_cluster,
    )
    connect_timeout: float = option("Longest wait for a connection.", default=3.0, unit=Unit.SECONDS, low=0.1, high=60)
    answer_timeout: float = option(
        "Longest wait for an answer, beyond the time a call may block.",
        default=5.0,
        unit=Unit.SECONDS,
        low=0.5,
        high=60,
    )
    max_hints: int = option(
        "Hints that one queue holds; older ones are dropped and offered again from the database.",
        default=100_000,
        unit=Unit.COUNT,
        low=100,
        high=10_000_000,
    )
    topic_length: int = option(
        "Messages that a topic for live views keeps.", default=10_000, unit=Unit.COUNT, low=100, high=1_000_000
    )
    reports_length: int = option(
        "Messages that the topic of workers' reports keeps.",
        default=100_000,
        unit=Unit.COUNT,
        low=1000,
        high=10_000_000,
    )
    topic_bytes: int = option(
        "Bytes that a topic keeps, all its messages together; about, on Redis.",
        default=64 * 1024 * 1024,
        unit=Unit.BYTES,
        low=1024 * 1024,
        high=16 * 1024 * 1024 * 1024,
    )
    embedded_transport: EmbeddedTransport = option(
        "What the embedded queue listens on: auto takes a Unix socket where there is one, else loopback TCP.",
        default=EmbeddedTransport.AUTO,
        readers=(Reader.SUPERVISOR,),
    )

    @property
    def address(self) -> str:
        """`url` with what the other settings say about TLS: what connects is given this."""
        return _with_tls(self.url, self) if self.url.startswith(("redis:", "rediss:")) else self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Keys and sign-in."""

    secret_key: str = option(
        "Key that encrypts connections and variables; several, newest first, with commas between them, while keys "
        "are being changed. Empty: <paths.home>/secret.key, which standalone makes.",
        default="",
        secret=True,
    )
    bundle_signing_key: str = option(
        "Key by which the master signs bundles. Empty: <paths.home>/bundle_signing.key, made at the first start. "
        "Masters that stand by for each other need the same one.",
        default="",
        secret=True,
        readers=(Reader.DAG_PROCESSOR,),
    )
    bundle_keys: tuple[str, ...] = option(
        "Public keys of masters whose bundles a worker runs, as `dagdeckd bundle-keys show` prints them. Empty: that "
        "of <paths.home>/bundle_signing.pub; without this file the key of the first bundle that the worker meets.",
        default=(),
        readers=(Reader.WORKER,),
        check=_check_bundle_keys,
    )
    bundle_signatures: BundleSignatures = option(
        "required: a worker runs no bundle that a key it trusts has not signed; off: it runs what the database holds.",
        default=BundleSignatures.REQUIRED,
        readers=(Reader.WORKER,),
    )
    login_attempts: int = option(
        "Failed sign-ins of a user before further ones are refused for a while.",
        default=10,
        unit=Unit.COUNT,
        low=1,
        high=1000,
        readers=(Reader.API,),
    )
    login_lockout: float = option(
        "How long sign-ins are refused after that.",
        default=60.0,
        unit=Unit.SECONDS,
        low=1,
        high=86_400,
        readers=(Reader.API,),
    )
    audit_seal_interval: float = option(
        "How often new audit records are chained and sealed.",
        default=10.0,
        unit=Unit.SECONDS,
        low=0.1,
        high=600,
        readers=(Reader.SCHEDULER,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """The daemons' own log."""

    level: LogLevel = option("Least severe lines that are written.", default=LogLevel.INFO)
    format: LogFormat = option("text for people, json for collectors.", default=LogFormat.TEXT)
    repeat_interval: float = option(
        "The same warning is written at most once in this time; how many were left out is said.",
        default=10.0,
        unit=Unit.SECONDS,
        low=0,
        high=3600,
    )
