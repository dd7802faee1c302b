"""Who may read /metrics beside users: a monitoring system with the scrape token, and loopback if a setting says so.

Decides that a request which came through a proxy is not one of this machine. Called by `auth.authorise` for this one
operation.
"""

from __future__ import annotations

import hmac
import ipaddress

from fastapi import Request

from dagdeck_io.settings.master_sections import Metrics

_BY_PROXY = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def may_scrape(request: Request, token: str | None, settings: Metrics) -> bool:
    """Whether this request may read the metrics without being a user's."""
    if token is not None:
        wanted = settings.scrape_token
        return bool(wanted) and hmac.compare_digest(token.encode(), wanted.encode())
    return settings.open_on_loopback and _is_of_this_machine(request)


def _is_of_this_machine(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _BY_PROXY):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
