"""What a command works with: the server it talks to and the format it prints in.

Decides that a connection is made on first use and closed at the end, and how pages are followed. Handed to commands
through click's context.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dagdeck_client.cli.output import OutputFormat
from dagdeck_client.profiles import Target, find_target, known_servers_file
from dagdeck_client.requests.base import Request
from dagdeck_core.errors import UserError

if TYPE_CHECKING:
    from dagdeck_client.transport import HttpTransport
    from dagdeck_client.trust import UntrustedCertificate

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
    _told_release: bool = field(default=False, repr=False)

    def target(self) -> Target:
        """The server to talk to."""
        return find_target(
            url=self.url, token=self.token, profile=self.profile, ca_file=self.ca_file, environ=os.environ
        )

    def send(self, request: Request[T]) -> T:
        """Send one request. On a terminal, a certificate seen for the first time is asked about, as ssh does."""
        from dagdeck_client.trust import UntrustedCertificate

        try:
            answer = self._connected().send(request)
            self._tell_release()
            return answer
        except UntrustedCertificate as problem:
            if problem.is_change or not sys.stdin.isatty() or not _accepts(problem):
                raise
            self.trust(problem.fingerprint)
            return self._connected().send(request)

    def trust(self, fingerprint: str | None = None) -> str:
        """Accept the certificate that the server shows, if it is the given one; returns its fingerprint.

        Raises UserError when it is another one, Unreachable when it shows none.
        """
        from dagdeck_client.trust import KnownServers, fetch_certificate, shown_fingerprint

        url = self.target().url
        if not url.startswith("https:"):
            raise UserError("only a server with TLS has a certificate", field="url", value=url)
        shown = fetch_certificate(url)
        if fingerprint is not None and shown.fingerprint != fingerprint:
            raise UserError(
                "the server shows another certificate",
                field="fingerprint",
                value=shown_fingerprint(fingerprint),
                remedy=f"It shows {shown_fingerprint(shown.fingerprint)}",
            )
        KnownServers(known_servers_file(os.environ)).accept(url, shown)
        self.close()
        self._transport = None
        return shown.fingerprint

    def _tell_release(self) -> None:
        """Say once that the server is of another release: what one of them lacks explains itself then."""
        release = "" if self._transport is None else self._transport.server_release
        if self._told_release or not release:
            return
        self._told_release = True
        from dagdeck_client.versions import differ, own_release

        own = own_release()
        if differ(release, own):
            told = f"the server is DagDeck {release}, this command {own}: they work together, new things of one do not"
            click.echo(f"dagdeck: {told}", err=True)

    def _connected(self) -> HttpTransport:
        if self._transport is None:
            from dagdeck_client.transport import Endpoint, HttpTransport
            from dagdeck_client.trust import KnownServers

            target = self.target()
            self._transport = HttpTransport(
                Endpoint(url=target.url, token=target.token, ca_file=target.ca_file),
                source="cli",
                known=KnownServers(known_servers_file(os.environ)),
            )
        return self._transport

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


def _accepts(problem: UntrustedCertificate) -> bool:
    """Ask whoever sits there."""
    click.echo(f"{problem.message}", err=True)
    return click.confirm("Trust this certificate from now on?", default=False, err=True)


pass_session = click.make_pass_decorator(Session)
