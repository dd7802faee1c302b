"""One connection to Redis: pipelined commands, faults as EnvironmentFault, and blocking calls that can be interrupted.

Decides how a connection is made, used again and given up, and how Redis' errors are named to people. Does not
decide which commands are sent (`redis_broker`, its only caller, from one thread; `interrupt` from any).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.broker.redis_address import TlsConnection, address_of, not_understood
from dagdeck_io.server_tls import ServerTls, causes

Command = tuple[Any, ...]
_SIGN_IN = ("NOAUTH", "WRONGPASS", "invalid username-password", "without any password configured")
_CLOSED = (ConnectionResetError, BrokenPipeError)
_TEMPORARY = (
    redis.TimeoutError,
    redis.ConnectionError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    OSError,
)


class RedisLink:
    """A connection that is made on first use and again after a fault."""

    def __init__(self, url: str, *, connect_timeout: float, answer_timeout: float) -> None:
        """Does not connect. Raises UserError for a URL that Redis' client does not understand."""
        self._connection, self._tls = _connection(url, connect_timeout, answer_timeout)
        self._has_answered = False
        host, port, db = (getattr(self._connection, name, "") for name in ("host", "port", "db"))
        self.where = f"{host}:{port}/{db}"
        # Guards the two below, and the socket against being shut down while another call uses it.
        self._lock = threading.Lock()
        self._blocks = False
        self._interrupted = False

    def run(self, *commands: Command) -> list[Any]:
        """The replies to `commands`, sent together; an error that Redis replies is returned in its place.

        A connection that broke while it was idle is replaced once, so commands may be carried out twice.
        Raises EnvironmentFault.
        """
        was_connected = self._is_connected
        try:
            return self._exchange(commands)
        except redis.ConnectionError as error:
            if not was_connected or isinstance(error, redis.AuthenticationError):
                raise self.fault(error) from error
            if self._interrupted and self._blocks:
                raise self.fault(error) from error  # It broke because it was to be ended.
        except (redis.RedisError, OSError) as error:
            raise self.fault(error) from error
        try:
            return self._exchange(commands)
        except (redis.RedisError, OSError) as error:
            raise self.fault(error) from error

    def run_blocking(self, command: Command) -> tuple[Any, bool]:
        """The reply to a command that may block on the server, and whether `interrupt` ended it (then: None)."""
        with self._lock:
            if self._interrupted:
                self._interrupted = False
                return None, True
            self._blocks = True
        interrupted = False
        reply = None
        try:
            [reply] = self.run(command)
        except EnvironmentFault:
            if not self._interrupted:
                raise
        finally:
            with self._lock:
                self._blocks = False
                interrupted, self._interrupted = self._interrupted, False
                if interrupted:
                    self._connection.disconnect()
        return reply, interrupted

    def interrupt(self) -> None:
        """End the blocking command, or the next one if none is under way. Works when Redis does not answer, too."""
        with self._lock:
            self._interrupted = True
            sock = getattr(self._connection, "_sock", None) if self._blocks else None
            if isinstance(sock, socket.socket):
                with contextlib.suppress(OSError):
                    # The plain socket's method: TLS would try to say goodbye to the server first.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up."""
        self._connection.disconnect()

    def check(self, reply: Any) -> Any:
        """`reply`, unless it is an error: then raises EnvironmentFault."""
        if isinstance(reply, redis.RedisError):
            raise self.fault(reply) from reply
        return reply

    def fault(self, error: Exception) -> EnvironmentFault:
        """The error as people should read it: where, what, remedy; never with the password."""
        text = str(error).rstrip(".")
        about_tls = self._about_tls(error)
        if about_tls is not None:
            return about_tls
        if isinstance(error, redis.AuthenticationError) or any(word in text for word in _SIGN_IN):
            return EnvironmentFault(
                f"Redis at {self.where} refuses the sign-in: {text}",
                transient=False,
                remedy="Check user and password in queue.url",
            )
        if isinstance(error, redis.exceptions.NoPermissionError) or text.startswith("NOPERM"):
            return EnvironmentFault(
                f"Redis at {self.where} forbids a command: {text}",
                transient=False,
                remedy="Give the account the commands of streams, EXPIRE and PING on the keys of this cluster",
            )
        if text.startswith("OOM") or isinstance(error, redis.exceptions.OutOfMemoryError):
            return EnvironmentFault(f"Redis at {self.where} is out of memory", remedy="Raise its maxmemory")
        if text.startswith("WRONGTYPE"):
            return EnvironmentFault(
                f"a key of this cluster in Redis at {self.where} holds something else",
                transient=False,
                remedy="Choose another queue.cluster or another database number in queue.url",
            )
        if isinstance(error, _TEMPORARY):
            reason = "no answer in time" if isinstance(error, redis.TimeoutError) else text
            return EnvironmentFault(
                f"Redis at {self.where} cannot be used: {reason}",
                remedy="Check that it runs and that queue.url is right",
            )
        return EnvironmentFault(f"Redis at {self.where} answers with an error: {text}", transient=False)

    def _about_tls(self, error: Exception) -> EnvironmentFault | None:
        where = f"Redis at {self.where}"
        found = self._tls.fault(error, where)
        if found is not None or self._has_answered or not isinstance(self._connection, TlsConnection):
            return found
        closed = "closed by server" in str(error) or any(isinstance(each, _CLOSED) for each in causes(error))
        return self._tls.broken_off(where) if closed else None

    @property
    def _is_connected(self) -> bool:
        return getattr(self._connection, "_sock", None) is not None

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        if not self._is_connected:
            connection.connect()
            if self._interrupted and self._blocks:
                raise redis.ConnectionError("interrupted")
        connection.send_packed_command(connection.pack_commands(commands))
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        self._has_answered = True
        return replies


def _connection(url: str, connect_timeout: float, answer_timeout: float) -> tuple[Any, ServerTls]:
    kind, arguments, tls = address_of(url)
    options = arguments | {
        "socket_timeout": answer_timeout,
        "socket_connect_timeout": connect_timeout,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "decode_responses": False,
    }
    try:
        return kind(**options), tls
    except (ValueError, TypeError, redis.RedisError) as error:
        # The error's text may contain parts of the URL, and so the password.
        raise not_understood() from error
