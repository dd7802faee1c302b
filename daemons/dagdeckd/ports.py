"""Whether the control API's TCP port can be had, before anything is started.

Decides the message when it cannot. Does not serve anything. Called by `standalone` and `master`.
"""

from __future__ import annotations

import errno
import socket
import sys

from dagdeck_core.errors import EnvironmentFault, UserError


def usable_port(host: str, port: int) -> int:
    """`port` if `host`:`port` can be listened on; a free one for port 0.

    Raises EnvironmentFault naming the port, who holds it where that can be seen, and the setting; UserError for
    a host that is no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise UserError(
            f"this is no address: {error.strerror}", field="api.host", value=host, remedy="Write 127.0.0.1 or a name"
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # where it would take the port away from whoever has it
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise _refused(host, port, error) from error
        return int(probe.getsockname()[1])


def _refused(host: str, port: int, error: OSError) -> EnvironmentFault | UserError:
    if error.errno == errno.EADDRINUSE:
        return EnvironmentFault(
            f"port {port} on {host} is in use{_holder(port)}",
            transient=False,
            remedy="Stop that process, or choose another port with api.port or --port (0 takes a free one)",
        )
    if error.errno == errno.EACCES:
        return EnvironmentFault(
            f"this user may not listen on port {port}", transient=False, remedy="Choose a port above 1023 with api.port"
        )
    return UserError(
        f"it is not possible to listen on {host}: {error.strerror}", field="api.host", value=host, remedy="Correct it"
    )


def _holder(port: int) -> str:
    """Who listens on `port`, as far as this user may see it."""
    import psutil

    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return ""
