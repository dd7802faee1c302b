"""How many requests a client may send: a bound per client, and a narrower one for sign-ins.

Decides who counts as one client (a token; without one, an address), and that a refusal says when to come again. Does
not count wrong passwords (`users.Lockout`). Wrapped around the app by `app.create_app`.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dagdeck_master.api.client_address import address_of

BURST_SECONDS = 3.0
"""A client that was quiet may at once send what it may otherwise send in this time."""
MOST_CLIENTS = 10_000
SIGN_IN = "/auth/token"


class Allowance:
    """Token buckets by client; those least used are forgotten, which only ever favours a client."""

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate` requests a second, `burst` at once after a pause."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request; 0 when it may pass, else the seconds to wait."""
        now = self._clock()
        left, at = self._left.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        may_pass = left >= 1.0
        self._left[client] = (left - 1.0 if may_pass else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if may_pass else (1.0 - left) / self._rate


class RateLimit:
    """ASGI middleware; refuses with 429 what is too much."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        per_second: float,
        sign_ins_per_minute: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._requests = Allowance(per_second, per_second * BURST_SECONDS, clock=clock)
        self._sign_ins = Allowance(sign_ins_per_minute / 60.0, sign_ins_per_minute, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http":
            wait = self._requests.take(_client(scope))
            if not wait and scope["path"].startswith(SIGN_IN):
                wait = self._sign_ins.take(address_of(scope))
            if wait:
                await _refusal(wait)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _client(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return hashlib.sha256(value).hexdigest()
    return address_of(scope)


def _refusal(wait: float) -> Response:
    seconds = max(1, math.ceil(wait))
    detail = f"Too many requests; try again in {seconds} s"
    return Response(
        msgspec.json.encode({"detail": detail}), 429, {"Retry-After": str(seconds)}, media_type="application/json"
    )
