"""What a command works with: the server it talks to and the format it prints in.

Decides that a connection is made on first use and closed at the end, and how pages are followed. Handed to commands
through click's context.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dagdeck_client.cli.output import OutputFormat
from dagdeck_client.profiles import Target, find_target
from dagdeck_client.requests.base import Request

if TYPE_CHECKING:
    from dagdeck_client.transport import HttpTransport

T = TypeVar("T")
PAGE = 1000
"""Objects that are asked for at a time; a server may give fewer."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One run of the command line."""

    url: str | None
    token: str | None
    profile: str | None
    ca_file: str | None
    form: OutputFormat
    _transport: HttpTransport | None = field(default=None, repr=False)

    def target(self) -> Target:
        """The server to talk to."""
        return find_target(
            url=self.url, token=self.token, profile=self.profile, ca_file=self.ca_file, environ=os.environ
        )

    def send(self, request: Request[T]) -> T:
        """Send one request."""
        if self._transport is None:
            from dagdeck_client.transport import Endpoint, HttpTransport

            target = self.target()
            self._transport = HttpTransport(
                Endpoint(url=target.url, token=target.token, ca_file=target.ca_file), source="cli"
            )
        return self._transport.send(request)

    def every(self, page: Callable[[int, int], Request[Any]], name: str, limit: int | None = None) -> Iterator[Any]:
        """All objects of a listing, page by page, at most `limit`. `page(limit, offset)` asks, `name` is the field."""
        offset = 0
        while limit is None or offset < limit:
            wanted = PAGE if limit is None else min(PAGE, limit - offset)
            answer = self.send(page(wanted, offset))
            items = getattr(answer, name)
            yield from items
            offset += len(items)
            if not items or offset >= (answer.total_entries or 0):
                return

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


pass_session = click.make_pass_decorator(Session)
