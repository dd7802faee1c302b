"""TLS of connections to the database's and the queue's server: when it is spoken, whom it trusts, what went wrong.

Decides that what leaves this machine is encrypted and that its server's certificate is verified, unless a setting says
otherwise; and how a failed handshake is told to people. Does not connect. Called by the database's and the queue's
adapters, and by doctor. The control API's own certificate is no matter of this module.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_io.settings.shared_sections import TlsMode

if TYPE_CHECKING:
    # Imported where it is used: a process on an embedded database and queue does without.
    import ssl

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_EXPIRED, _NOT_YET = 10, 9
_OTHER_NAME = (62, 64)
"""OpenSSL's verification errors about a host's name and an address."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
_MOST_CAUSES = 10
PARAMETERS = {name: name for name in ("tls", "tls_ca", "tls_certificate", "tls_key", "tls_verify_identity")}
"""Parameters of a URL that stand for the settings of the same name."""


class HandshakeTimeout(OSError):
    """A server took the connection and did not answer the handshake, as those do that wait for another language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """How a server is spoken to. `section` is the settings' that speaks of it; files are PEM.

    Without `authority` the authorities that the system knows are trusted, with it that one alone. `certificate` is
    this client's own, with `key` unless the key stands in the same file.
    """

    section: str
    mode: TlsMode = TlsMode.AUTO
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify_identity: bool = True

    def is_due(self, host: str | None) -> bool:
        """Whether a connection to `host` has to be encrypted; None is a socket in the file system."""
        if self.mode is not TlsMode.AUTO:
            return self.mode is TlsMode.REQUIRED
        return self.authority is not None or self.certificate is not None or is_remote(host)

    def context(self) -> ssl.SSLContext:
        """For one more connection: files are read anew, so that renewed ones are taken without a restart.

        Raises EnvironmentFault for a file that cannot be used; it may be about to be replaced.
        """
        import ssl

        context = self._trusting()
        # On by default in new Pythons; the authorities that database servers make for themselves do not pass it.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = self.verify_identity
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            self._show_certificate(context, self.certificate)
        return context

    def _trusting(self) -> ssl.SSLContext:
        import ssl

        if self.authority is None:
            return ssl.create_default_context()
        try:
            return ssl.create_default_context(cafile=str(self.authority))
        except OSError as error:
            raise self._unusable("tls_ca", self.authority, error) from error

    def _show_certificate(self, context: ssl.SSLContext, certificate: Path) -> None:
        try:
            # A password would be asked for on the terminal, where nobody is.
            context.load_cert_chain(certificate, self.key, password=lambda: "")
        except OSError as error:
            field, path = ("tls_certificate", certificate) if self.key is None else ("tls_key", self.key)
            if not certificate.is_file():
                field, path = "tls_certificate", certificate
            raise self._unusable(field, path, error) from error

    def _unusable(self, setting: str, path: Path, error: OSError) -> EnvironmentFault:
        import ssl

        reason = "it is no PEM file of that kind" if isinstance(error, ssl.SSLError) else error.strerror
        return EnvironmentFault(
            f"{self.section}.{setting}: the file {path} cannot be used for TLS: {reason}",
            remedy="Name a PEM file that this user may read; a key must belong to its certificate and have no password",
        )

    def fault(self, error: BaseException, where: str) -> EnvironmentFault | None:
        """What went wrong with TLS towards the server `where`, as people should read it; None when it is not TLS.

        It may pass: a server can be given another certificate while nothing changes here.
        """
        import ssl

        for cause in causes(error):
            if isinstance(cause, HandshakeTimeout):
                return self.refused_plain(where)
            if isinstance(cause, ssl.SSLCertVerificationError):
                return self._untrusted(cause, where)
            if isinstance(cause, ssl.SSLError):
                return self._failed(cause, where)
        return None

    def refused_plain(self, where: str) -> EnvironmentFault:
        """The server does not speak TLS."""
        return EnvironmentFault(
            f"{where} does not speak TLS here, and the connection has to be encrypted",
            remedy=f'Switch TLS on in the server, or set {self.section}.tls = "off" if the network between is trusted',
        )

    def broken_off(self, where: str) -> EnvironmentFault:
        """The server closed the connection before it said anything; its reason may be lost on the way."""
        return EnvironmentFault(
            f"{where} broke off: it refuses this client's certificate, or its lack of one, or does not speak TLS here",
            remedy=f"Set {self.section}.tls_certificate and {self.section}.tls_key to what the server asks for",
        )

    def _untrusted(self, error: ssl.SSLCertVerificationError, where: str) -> EnvironmentFault:
        if error.verify_code == _EXPIRED:
            return EnvironmentFault(f"the certificate of {where} has expired", remedy="Renew it on the server")
        if error.verify_code == _NOT_YET:
            return EnvironmentFault(
                f"the certificate of {where} is not valid yet", remedy="Compare the clocks of both machines"
            )
        if error.verify_code in _OTHER_NAME:
            return EnvironmentFault(
                f"{where} shows a certificate for another name: {error.verify_message}",
                remedy=f"Write the certificate's name in {self.section}.url, or have one made for this name",
            )
        return EnvironmentFault(
            f"{where} shows a certificate that is not trusted: {error.verify_message}",
            remedy=f"Name its authority's file in {self.section}.tls_ca",
        )

    def _failed(self, error: ssl.SSLError, where: str) -> EnvironmentFault:
        reason = (error.reason or str(error)).upper().replace(" ", "_")
        if any(word in reason for word in _NO_TLS):
            return self.refused_plain(where)
        shown = reason.lower().replace("_", " ")
        if "EOF" in reason:
            return self.broken_off(where)
        if "ALERT" in reason:
            return EnvironmentFault(
                f"{where} refuses this client's certificate, or its lack of one: {shown}",
                remedy=f"Set {self.section}.tls_certificate and {self.section}.tls_key to what the server asks for",
            )
        return EnvironmentFault(
            f"TLS with {where} failed: {shown}", remedy="Compare the TLS versions and ciphers of both"
        )


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it; drivers wrap the handshake's errors in different ways."""
    found: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if found is None:
            return
        yield found
        found = getattr(found, "original_exception", None) or found.__cause__ or found.__context__


def is_remote(host: str | None) -> bool:
    """Whether `host` is another machine, as far as its name tells; None is a socket in the file system."""
    if not host or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def tls_of(section: str, given: Mapping[str, str], names: Mapping[str, str]) -> ServerTls:
    """What a URL's parameters say. `names`: parameter → name of the setting that it stands for (see PARAMETERS).

    Raises UserError naming a parameter with a bad value, and for a key without its certificate.
    """
    said: dict[str, str] = {}
    for name, value in given.items():
        if name in names:
            said.setdefault(names[name], value)  # the URL's own parameters come first
    path = {key: Path(said[key]) if said.get(key) else None for key in ("tls_ca", "tls_certificate", "tls_key")}
    if path["tls_key"] is not None and path["tls_certificate"] is None:
        raise UserError(
            "a key is given without its certificate", field=f"{section}.tls_certificate", remedy="Name both files"
        )
    return ServerTls(
        section=section,
        mode=_mode(section, said.get("tls", TlsMode.AUTO)),
        authority=path["tls_ca"],
        certificate=path["tls_certificate"],
        key=path["tls_key"],
        verify_identity=_switch(section, said.get("tls_verify_identity", "true")),
    )


def _mode(section: str, text: str) -> TlsMode:
    try:
        return TlsMode(text)
    except ValueError:
        raise UserError(
            "this is no way to use TLS",
            field=f"{section}.url",
            value=f"tls={text}",
            remedy=f"Write one of {', '.join(TlsMode)}",
        ) from None


def _switch(section: str, text: str) -> bool:
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    raise UserError("this must be true or false", field=f"{section}.tls_verify_identity", value=text)
