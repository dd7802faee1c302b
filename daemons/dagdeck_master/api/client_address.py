"""From where a request comes: its connection's address, or what declared proxies say about it.

Decides that X-Forwarded-For counts only as far as proxies of the setting api.trusted_proxies wrote it: from the right,
up to the first address that is no such proxy. Anybody may send the header, so nothing else of it is believed. Asked
once for each request by `request_layer`; read by `rate_limit`, `auth` and the records of people's actions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import Scope

UNKNOWN = "unknown"
_HEADER = b"x-forwarded-for"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ClientAddresses:
    """Finds addresses, knowing the proxies to believe."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted`: addresses and networks, as the setting holds them."""
        self._trusted = tuple(ipaddress.ip_network(each, strict=False) for each in trusted)

    def of(self, scope: Scope) -> str:
        """The address of who sends a request."""
        client = scope.get("client")
        if not client:
            return UNKNOWN
        address = _parsed(str(client[0]))
        if address is None:
            return str(client[0])[:64]
        if not self._trusted or not self._is_proxy(address):
            return str(address)
        for entry in reversed(_entries(scope)):
            told = _parsed(entry)
            if told is None:
                break
            address = told
            if not self._is_proxy(address):
                break
        return str(address)

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def address_of(scope: Scope) -> str:
    """The address that was found for a request."""
    found = scope.get("state", {}).get("address")
    if found is None:
        client = scope.get("client")
        return str(client[0]) if client else UNKNOWN
    return str(found)


def _entries(scope: Scope) -> list[str]:
    text = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER)
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _parsed(text: str) -> _Address | None:
    """An address, without the port that some proxies add; None for anything else."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped
