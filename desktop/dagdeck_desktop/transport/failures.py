"""What went wrong with a request, as the client's errors with a sentence and a remedy for people.

Decides which of Qt's network errors is which. Does not decide what is done about it. Called by `api` and by the live
feed.
"""

from __future__ import annotations

from PySide6.QtNetwork import QNetworkReply

from dagdeck_client.errors import ServerFault, Unreachable
from dagdeck_core.errors import EnvironmentFault
from dagdeck_desktop.transport.endpoint import Endpoint
from dagdeck_desktop.transport.trust import CertificateProblem, shown_fingerprint

_N = QNetworkReply.NetworkError

_SENTENCES: dict[QNetworkReply.NetworkError, tuple[str, str]] = {
    _N.ConnectionRefusedError: (
        "nothing listens at {url} (connection refused)",
        "Is the server running there? Check the address, or start a local cluster",
    ),
    _N.HostNotFoundError: ("the name {host} is not known", "Check the spelling, and whether you need a VPN"),
    _N.OperationCanceledError: ("{url} did not answer in time", "Check the network, then try again"),
    _N.TimeoutError: ("{url} did not answer in time", "Check the network, then try again"),
    _N.RemoteHostClosedError: (
        "{url} closed the connection",
        "Does the server speak {scheme} at this port? Try {other} if it does not",
    ),
    _N.SslHandshakeFailedError: ("no TLS connection to {url}: {detail}", "Does the server speak https at this port?"),
    _N.TemporaryNetworkFailureError: ("the network is interrupted", "It is tried again by itself"),
    _N.NetworkSessionFailedError: ("there is no network", "Check the network"),
    _N.ProxyConnectionRefusedError: ("the proxy refused the connection", "Check the system's proxy settings"),
    _N.ProxyNotFoundError: ("the proxy was not found", "Check the system's proxy settings"),
    _N.ProxyAuthenticationRequiredError: ("the proxy asks for a password", "Check the system's proxy settings"),
    _N.ProtocolInvalidOperationError: ("{url} does not speak HTTP: {detail}", "Check the port"),
    _N.ProtocolFailure: ("{url} does not speak HTTP properly: {detail}", "Check the port and any proxy between"),
}


class UntrustedCertificate(Unreachable):
    """The server's certificate is not trusted; `problem` has what a person needs to decide about it."""

    def __init__(self, problem: CertificateProblem) -> None:
        if problem.is_change:
            message = f"the certificate of {problem.origin} has changed; somebody may be listening in"
            remedy = "Accept the new one only if you know why it changed"
        else:
            message = f"the certificate of {problem.origin} is not from a known authority"
            remedy = "Compare its fingerprint with the server's, then accept it"
        super().__init__(message, transient=False, remedy=remedy)
        self.problem = problem

    @property
    def details(self) -> str:
        """What to compare, for "copy details"."""
        return f"SHA-256 {shown_fingerprint(self.problem.fingerprint)}\n" + "\n".join(self.problem.reasons)


def unreachable(error: QNetworkReply.NetworkError, detail: str, endpoint: Endpoint) -> Unreachable:
    """The failure of a request that got no answer."""
    sentence, remedy = _SENTENCES.get(error, ("{url} cannot be reached: {detail}", "Check the address and the network"))
    scheme = endpoint.url.split("://", 1)[0]
    values = {
        "url": endpoint.url,
        "host": endpoint.host,
        "detail": detail,
        "scheme": scheme,
        "other": "http" if scheme == "https" else "https",
    }
    return Unreachable(sentence.format(**values), remedy=remedy.format(**values))


def timed_out(endpoint: Endpoint, seconds: float) -> Unreachable:
    """Nobody answered."""
    return Unreachable(
        f"{endpoint.url} did not answer within {seconds:g} s", remedy="Check the address, the network and any firewall"
    )


def redirected(endpoint: Endpoint, target: str) -> EnvironmentFault:
    """The server wants us elsewhere; we do not carry a token there unasked."""
    return ServerFault(
        f"{endpoint.url} redirects to {target or 'another address'}, which is not followed. "
        "Enter that address instead if it is the right one",
        transient=False,
    )


def not_our_api(endpoint: Endpoint) -> ServerFault:
    """A web page answered."""
    return ServerFault(
        f"{endpoint.url} answers with a web page, not with a control API. Check the address and the port",
        transient=False,
    )
