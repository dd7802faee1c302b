"""What a Redis URL means for redis-py: the connection's class and arguments, TLS as DagDeck wants it.

Decides that an unencrypted connection beyond this machine is refused, and that TLS trusts exactly what the settings
name. Does not connect. Called by `redis_link` only.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
import redis.connection

from dagdeck_core.errors import UserError
from dagdeck_io.server_tls import PARAMETERS, HandshakeTimeout, ServerTls, tls_of
from dagdeck_io.settings.shared_sections import TlsMode

_FIELD = "queue.url"
_NAMES = PARAMETERS | {
    "ssl_ca_certs": "tls_ca",
    "ssl_certfile": "tls_certificate",
    "ssl_keyfile": "tls_key",
    "ssl_check_hostname": "tls_verify_identity",
}
"""DagDeck's own parameters and those that users of redis-py know."""
# Its classes are not annotated.
_client: Any = redis.connection


class TlsConnection(_client.SSLConnection):  # type: ignore[misc]
    """A connection that trusts what `ServerTls` says; redis-py would trust the system's authorities besides."""

    def __init__(self, *, tls: ServerTls, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._tls = tls
        self._context: Any = None

    def _connect(self) -> Any:
        # Before there is a socket, which redis-py would leave open after an error that is not its own.
        self._context = self._tls.context()
        return super()._connect()

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        try:
            return self._context.wrap_socket(sock, server_hostname=self.host)
        except TimeoutError as error:
            raise HandshakeTimeout("no answer to the TLS handshake in time") from error


def address_of(url: str) -> tuple[type[Any], dict[str, Any], ServerTls]:
    """The connection's class, its arguments and its TLS.

    Raises UserError for a URL that is not understood, and for one whose connection would be readable on the way.
    """
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        tls = tls_of("queue", given, _NAMES)
        rest = urlencode({name: value for name, value in given.items() if name not in _NAMES})
        arguments = _client.parse_url(urlunsplit(parts._replace(query=rest)))
    except (ValueError, redis.RedisError) as error:
        raise not_understood() from error
    kind = arguments.pop("connection_class", _client.Connection)
    if parts.scheme == "rediss":
        if tls.mode is TlsMode.OFF:
            raise UserError(
                "the URL asks for TLS, which is switched off",
                field="queue.tls",
                value="off",
                remedy="Write redis://, or switch it on",
            )
        return TlsConnection, arguments | {"tls": tls}, tls
    if tls.is_due(arguments.get("host")):
        raise UserError(
            "the connection to the queue would not be encrypted",
            field=_FIELD,
            value=f"redis://…@{arguments.get('host', 'localhost')}",
            remedy="Write rediss:// and the port on which the server speaks TLS, or set "
            'queue.tls = "off" if the network between is trusted',
        )
    return kind, arguments, tls


def not_understood() -> UserError:
    """About a URL; never with its text, which may hold the password."""
    return UserError(
        "this is no URL of a Redis server",
        field=_FIELD,
        remedy="It is redis://[user:password@]host:port/number, or rediss:// for TLS; write special characters "
        "of a password as %XX",
    )
