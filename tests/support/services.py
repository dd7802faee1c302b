"""Private MariaDB and Redis servers for tests, benchmarks and the cluster demo.

Decides how such a server is configured, where its data live, and that nothing of it stays behind: a server
dies with the process that started it, and what a killed process left on disk is removed by the next one. It
does not decide which tests need a server (conftest.py does). Called by the fixtures in tests/conftest.py,
by the benchmarks, and as a script:

    python tests/support/services.py ensure      find or obtain the programs; exit code 0 when both are there
    python tests/support/services.py run --json  start both, print one line {"db_url": …, "redis_url": …},
                                                 and keep them until standard input closes or SIGTERM arrives

Only the standard library is used, so that it works before anything has been installed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self
from urllib.parse import quote

if __package__ in (None, ""):  # run as a script: make the checkout importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.support import mariadb_data, service_binaries
from tests.support.service_binaries import Programs, ServiceUnavailable

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0
# Below the range from which the kernel takes ports for outgoing connections: a port stays ours over a
# restart.
PORT_RANGE = (15_000, 32_000)
PR_SET_PDEATHSIG = 1
DIRECTORY_PREFIX = "dagdeck-server-"
ABANDONED_AFTER_SECONDS = 60.0
DATABASE_USER = "dagdeck"
DATABASE_PASSWORD = "dagdeck"
_DATABASE_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")

# The kernel ties a child to the *thread* that forked it, so all servers are forked by one thread that lives
# as long as the process; a test may then start or restart a server from a thread of its own.
_launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="service-launcher")
_libc = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    for _ in range(200):
        port = PORT_RANGE[0] + secrets.randbelow(PORT_RANGE[1] - PORT_RANGE[0])
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServiceUnavailable(f"no free TCP port between {PORT_RANGE[0]} and {PORT_RANGE[1]}")


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Server(ABC):
    """One private server process with a data folder of its own.

    A context manager: entering starts it, leaving kills it and removes its data. All operations may be
    called from any thread, but by one caller at a time. ``port`` stays the same over ``stop``, ``kill`` and
    ``start``.
    """

    label = "server"

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self.directory, self._directory_lock = _own_directory()
        self.log_path = self.directory / "server.log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command line of the server."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server accepts a connection and speaks its protocol."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder if it is missing; called before each start."""

    @property
    def pid(self) -> int:
        """The server's process id.  Raises ServiceUnavailable when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ServiceUnavailable(f"{self.label} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists (frozen or not)."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = START_TIMEOUT_SECONDS) -> Self:
        """Start the server and wait until it answers.  Raises ServiceUnavailable with the end of its log."""
        if self.is_running:
            return self
        self.prepare()
        self._process = _launcher.submit(self._spawn).result()
        deadline = time.monotonic() + timeout
        while not self.answers():
            if not self.is_running:
                raise ServiceUnavailable(f"{self.label} ended at its start:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServiceUnavailable(f"{self.label} did not answer in {timeout:.0f} s:\n{self.log_tail()}")
            time.sleep(0.01)
        return self

    def stop(self, timeout: float = STOP_TIMEOUT_SECONDS) -> None:
        """Shut the server down in good order; what it stored stays."""
        if not self.is_running:
            return
        self.thaw()
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); what it had made durable stays."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._frozen = False

    def restart(self, down_for: float = 0.0, *, crash: bool = False) -> None:
        """Stop (or kill) the server, leave it down for so many seconds, and start it on the same port."""
        if crash:
            self.kill()
        else:
            self.stop()
        time.sleep(down_for)
        self.start()

    def freeze(self) -> None:
        """Suspend the server (SIGSTOP): connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen server go on."""
        if self._frozen and self.is_running:
            os.kill(self.pid, signal.SIGCONT)
        self._frozen = False

    def close(self) -> None:
        """End the server at once and remove its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._directory_lock.close()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that the server wrote."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text("utf-8", "replace").splitlines()[-lines:])
        return "(it wrote no log)"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                cwd=self.directory,
                env=self.programs.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl+C in a terminal must reach the daemons first, and them only.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )


class MariaDb(Server):
    """A private MariaDB: durable commits, loopback only, utf8mb4, administered by root without a password.

    ``url()`` names an ordinary account with a password, which owns the databases made by ``create_database``.
    ``options`` are further command line options, such as ``--max-connections=20``.
    """

    label = "MariaDB"

    def __init__(self, *, options: Sequence[str] = ()) -> None:
        super().__init__(service_binaries.obtain_mariadb())
        self.options = tuple(options)
        self.data_directory = self.directory / "data"
        self.socket_path = self.directory / "s"

    def prepare(self) -> None:
        """Copy an initialised data folder; making one takes ten times as long as copying it."""
        if not self.data_directory.exists():
            mariadb_data.copy_tree(mariadb_data.template(self.programs), self.data_directory)

    def command(self) -> Sequence[str]:
        """The server's command line."""
        return (
            *mariadb_data.base_command(self.programs),
            f"--datadir={self.data_directory}",
            f"--tmpdir={self.directory}",
            f"--socket={self.socket_path}",
            f"--pid-file={self.directory / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-networking=0",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=128M",
            "--performance-schema=OFF",
            "--max-connections=300",
            *self.options,
        )

    def answers(self) -> bool:
        """Whether the server sends its greeting."""
        with contextlib.suppress(OSError), _connect(self.port) as connection:
            # Four bytes of frame, then the protocol's version; 0xff would be an error.
            greeting = connection.recv(5)
            return len(greeting) == 5 and greeting[4] == 10
        return False

    def url(self, database: str, *, user: str = DATABASE_USER, password: str = DATABASE_PASSWORD) -> str:
        """The SQLAlchemy URL of a database."""
        return f"mysql+pymysql://{user}:{quote(password)}@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def create_database(self, name: str) -> str:
        """Make an empty database and give its URL.  Raises ServiceUnavailable when it exists already."""
        _check_database_name(name)
        account = f"'{DATABASE_USER}'@'127.0.0.1'"
        self.execute(
            f"CREATE DATABASE `{name}`; "
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{DATABASE_PASSWORD}'; "
            f"GRANT ALL PRIVILEGES ON `{name}`.* TO {account};"
        )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database if it exists."""
        _check_database_name(name)
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def execute(self, sql: str, timeout: float = 60.0) -> str:
        """Run SQL as the server's root and give the output (tab separated, no headings)."""
        if self.programs.client is None:
            raise ServiceUnavailable("MariaDB's command line client is missing: install mariadb-client")
        command = (
            str(self.programs.client),
            "--no-defaults",
            "--batch",
            "--skip-column-names",
            "--user=root",
        )
        done = subprocess.run(
            (*command, f"--socket={self.socket_path}"),
            input=sql,
            env=self.programs.environ(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise ServiceUnavailable(f"MariaDB refused: {done.stderr.strip()}")
        return done.stdout


class RedisServer(Server):
    """A private Redis on the loopback interface.

    Without ``append_only`` nothing is written to disk, so a restart has the effect of FLUSHALL. ``tls`` are the command
    line's options about it: then the port speaks TLS only, and this class itself uses a Unix socket.
    """

    label = "Redis"

    def __init__(self, *, password: str | None = None, append_only: bool = False, tls: Sequence[str] = ()) -> None:
        super().__init__(service_binaries.obtain_redis())
        self.password = password
        self.append_only = append_only
        self.tls = tuple(tls)

    def command(self) -> Sequence[str]:
        """The server's command line."""
        secret = ("--requirepass", self.password) if self.password else ()
        durable = ("yes", "--appendfsync", "everysec") if self.append_only else ("no",)
        ports: tuple[str, ...] = ("--port", str(self.port))
        if self.tls:
            ports = ("--port", "0", "--tls-port", str(self.port), "--unixsocket", str(self.socket_path), *self.tls)
        settings = (
            *ports,
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.directory),
            "--save",
            "",
        )
        return (str(self.programs.server), *settings, "--appendonly", *durable, *secret)

    @property
    def socket_path(self) -> Path:
        """Where it listens without TLS, when its port does not."""
        return self.directory / "s"

    def _open(self, timeout: float = 2.0) -> socket.socket:
        if not self.tls:
            return _connect(self.port, timeout)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(str(self.socket_path))
        except OSError:
            connection.close()
            raise
        return connection

    def prepare(self) -> None:
        """Nothing: the server makes its files in its own folder."""

    def answers(self) -> bool:
        """Whether the server has loaded its data and answers a PING."""
        with contextlib.suppress(OSError), self._open() as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
            return answer.startswith((b"+PONG", b"-NOAUTH"))
        return False

    def url(self, database: int = 0) -> str:
        """The URL by which redis-py connects."""
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis{'s' if self.tls else ''}://{secret}127.0.0.1:{self.port}/{database}"

    def execute(self, *words: str, timeout: float = 10.0) -> bytes:
        """Send one command, such as ``execute("FLUSHALL")``, and give the first bytes of the raw answer."""
        with self._open(timeout) as connection:
            if self.password:
                connection.sendall(_redis_command("AUTH", self.password))
                connection.recv(64)
            connection.sendall(_redis_command(*words))
            answer = connection.recv(65_536)
        if answer.startswith(b"-"):
            raise ServiceUnavailable(f"Redis refused {words[0]}: {answer.decode('utf-8', 'replace').strip()}")
        return answer


def _own_directory() -> tuple[Path, IO[bytes]]:
    """A fresh folder, and the open file whose lock tells others that its owner is alive."""
    parent = Path(tempfile.gettempdir())
    for lock_path in parent.glob(f"{DIRECTORY_PREFIX}*/lock"):
        _remove_if_abandoned(lock_path)
    # Short names on purpose: a unix socket's path may have 107 bytes only.
    directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=parent))
    lock = (directory / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def _remove_if_abandoned(lock_path: Path) -> None:
    with contextlib.suppress(OSError), lock_path.open("rb") as lock:
        # A new folder is spared: its owner may be between making the file and locking it.
        if time.time() - lock_path.stat().st_mtime > ABANDONED_AFTER_SECONDS:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_path.parent, ignore_errors=True)


def _redis_command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def _connect(port: int, timeout: float = 2.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def _check_database_name(name: str) -> None:
    if not _DATABASE_NAME.fullmatch(name):
        raise ValueError(f"a database's name has 1 to 64 letters, digits or underscores, this is {name!r}")


def _wait_for_end() -> None:
    """Return when standard input closes or somebody asks this process to end."""
    ended = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    def watch_input() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    threading.Thread(target=watch_input, name="watch-stdin", daemon=True).start()
    ended.wait()


def _run_services(as_json: bool) -> int:
    with MariaDb() as database, RedisServer() as redis:
        addresses = {"db_url": database.create_database("dagdeck"), "redis_url": redis.url()}
        if as_json:
            print(json.dumps(addresses), flush=True)
        else:
            for name, value in addresses.items():
                print(f"{name}: {value}", flush=True)
        _wait_for_end()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The script: ``ensure`` or ``run``; gives the exit code."""
    parser = argparse.ArgumentParser(description="Private MariaDB and Redis servers for tests and the cluster demo")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ensure", help="find the servers' programs, or install or unpack them")
    run = commands.add_parser("run", help="start both servers and keep them until standard input closes")
    run.add_argument("--json", action="store_true", help="print the addresses as one line of JSON")
    options = parser.parse_args(arguments)
    try:
        if options.command == "run":
            return _run_services(options.json)
        for programs in (service_binaries.obtain_mariadb(), service_binaries.obtain_redis()):
            print(programs.server)
    except ServiceUnavailable as error:
        print(f"services: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
