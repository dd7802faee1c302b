"""Where a control API is and how to get in.

Decides how an address that a person typed becomes a URL. Does not connect. Made from a profile, used by `api` and by
the live feed.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from dagdeck_core.errors import UserError

DEFAULT_PORT = 8080
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:[^\s/:\[\]@]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A control API. `url` has scheme and host and no slash at its end; `ca_file` replaces the system's authorities."""

    url: str
    token: str | None = None
    ca_file: str | None = None

    @property
    def host(self) -> str:
        """The host without port."""
        return urlsplit(self.url).hostname or ""

    @property
    def origin(self) -> str:
        """scheme://host:port, under which certificates are remembered."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"

    @property
    def is_loopback(self) -> bool:
        """True when the server is on this machine, so that no proxy may come between."""
        return is_loopback(self.host)


def is_readable_on_the_way(url: str) -> bool:
    """True for plain HTTP to another machine: whoever is between can read passwords and tokens."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """True for a name or address of this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_from_input(text: str) -> str:
    """The URL that a person meant: without a scheme, https, or http and DagDeck's own port on this machine.

    Raises UserError for what cannot be a server's address.
    """
    typed = text.strip().rstrip("/")
    if not typed:
        raise UserError("the address is empty", field="url", remedy="Write it as https://host:port")
    url = typed
    if "://" not in typed:
        host = _host_of(typed)
        scheme = "http" if is_loopback(host) else "https"
        url = f"{scheme}://{typed}"
        if scheme == "http" and _port(url, typed) is None:
            url = f"{url}:{DEFAULT_PORT}"
    parts = _split(url, typed)
    if parts.scheme not in _PORTS or not _HOST.fullmatch(parts.netloc.rpartition("@")[2]):
        raise UserError("this is no server's address", field="url", value=typed, remedy="Write it as https://host:port")
    if parts.username or parts.password:
        raise UserError(
            "an address must not hold a password", field="url", remedy="Give user and password in their own fields"
        )
    _port(url, typed)
    if parts.query or parts.fragment:
        raise UserError("an address ends after its path", field="url", value=typed, remedy="Leave out ? and #")
    return url


def _split(url: str, typed: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UserError(
            "this is no server's address", field="url", value=typed, remedy="Write it as https://host:port"
        ) from error


def _host_of(typed: str) -> str:
    """The host of an address without a scheme; "" for what cannot be one."""
    try:
        return urlsplit(f"//{typed}").hostname or ""
    except ValueError:
        return ""


def _port(url: str, typed: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError as error:
        raise UserError(
            "the port is not a number from 1 to 65535", field="url", value=typed, remedy="Write it as https://host:port"
        ) from error
