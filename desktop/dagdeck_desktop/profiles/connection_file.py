"""Connection files: an administrator hands out a cluster's address, and a double click adds it to the desktop.

Decides the format (TOML, one table `connection`), that it holds no secret, and what is refused. Does not keep profiles
(`store`) and never connects. Called by `store` and by the action that saves such a file.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtNetwork import QSsl, QSslCertificate

from dagdeck_core.errors import EnvironmentFault, UserError
from dagdeck_desktop.profiles.profile import ClusterKind, Profile
from dagdeck_desktop.transport.endpoint import url_from_input

SUFFIX = ".dagdeck"
LARGEST_BYTES = 64 * 1024
LONGEST_NAME = 100
_TABLE = "connection"
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_ASK_FOR_ANOTHER = "Ask for another one where you got it"
_SECRETS = ("password", "token", "secret", "key", "api_key", "access_token")


class ConnectionFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What such a file says. Empty texts stand for what it leaves open."""

    url: str
    name: str = ""
    kind: ClusterKind = ClusterKind.DAGDECK
    color: str = ""
    username: str = ""
    ca_certificate: str = ""
    """The authority that signed the server's certificate, in PEM: it is trusted for this cluster alone."""


def read_connection_file(path: Path) -> ConnectionFile:
    """Read and check a file.

    Raises UserError for one that is no connection file or holds a secret, EnvironmentFault when it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror or error}", transient=False) from error
    if len(content) > LARGEST_BYTES:
        raise UserError("this is too large for a connection file", file=str(path), remedy=_ASK_FOR_ANOTHER)
    try:
        table = tomllib.loads(content.decode("utf-8")).get(_TABLE)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"this is no connection file: {error}", file=str(path), remedy=_ASK_FOR_ANOTHER) from error
    if not isinstance(table, dict):
        raise UserError(f"the table [{_TABLE}] is missing", file=str(path), remedy=_ASK_FOR_ANOTHER)
    return _checked(table, str(path))


def _checked(table: dict[str, Any], file: str) -> ConnectionFile:
    for name in table:
        if name in _SECRETS:
            raise UserError(
                "a connection file must not hold secrets",
                file=file,
                field=name,
                remedy="Delete this line: the desktop asks for what is secret and keeps it in the keyring",
            )
    try:
        found = msgspec.convert(table, ConnectionFile)
        url = url_from_input(found.url)
    except msgspec.ValidationError as error:
        raise UserError(str(error), file=file, field=_TABLE, remedy=_ASK_FOR_ANOTHER) from error
    except UserError as error:
        raise UserError(error.message, file=file, field="url", value=error.value, remedy=error.remedy) from error
    if found.kind is ClusterKind.LOCAL:
        raise UserError("the local cluster needs no file", file=file, field="kind", value="local")
    if len(found.name) > LONGEST_NAME or not found.name.isprintable():
        raise UserError(
            f"a name has at most {LONGEST_NAME} characters on one line",
            file=file,
            field="name",
            value=found.name,
            remedy="Shorten it",
        )
    if found.color and not _COLOR.fullmatch(found.color):
        raise UserError("this is no colour", file=file, field="color", value=found.color, remedy="Write it as #2F5FD0")
    if found.ca_certificate and not certificates_in(found.ca_certificate):
        raise UserError(
            "this is no certificate",
            file=file,
            field="ca_certificate",
            remedy="Give the authority's certificate in PEM",
        )
    return msgspec.structs.replace(found, url=url, name=found.name.strip() or url.split("://", 1)[1])


def certificates_in(pem: str) -> str:
    """Only the certificates of a text in PEM, so that a key beside them goes nowhere; "" when there are none."""
    found = QSslCertificate.fromData(pem.encode("utf-8"), QSsl.EncodingFormat.Pem)
    return "".join(bytes(each.toPem().data()).decode("ascii") for each in found)


def connection_text(profile: Profile) -> str:
    """The file that leads others to a profile's cluster. Raises EnvironmentFault when its authority cannot be read."""
    lines = [
        "# A DagDeck connection file: open it with dagdeck-desktop. It holds no secret.",
        f"[{_TABLE}]",
        f"name = {_text(profile.name)}",
        f"url = {_text(profile.url)}",
        f"kind = {_text(profile.kind.value)}",
        f"color = {_text(profile.color)}",
    ]
    if profile.ca_file:
        try:
            pem = certificates_in(Path(profile.ca_file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentFault(f"{profile.ca_file} cannot be read: {error}", transient=False) from error
        lines.append(f"ca_certificate = '''\n{pem}'''")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # JSON's escapes are TOML's too, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
