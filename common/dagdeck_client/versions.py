"""What a client and a server of different releases do: work together, or say by name which side is to be upgraded.

Decides it by the version of DagDeck's API, which both send with every message; the releases are named for people.
Called by both transports, the command line and the desktop.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from dagdeck_client.errors import VersionMismatch
from dagdeck_client.requests.base import API_VERSION, VERSION_HEADER

RELEASE_HEADER = "dagdeck-version"
"""Header of requests and answers with the sender's release."""


def own_release() -> str:
    """The installed release of this program."""
    try:
        return version("dagdeck")
    except PackageNotFoundError:
        return "unknown"


def own_headers() -> dict[str, str]:
    """What each request says of this client, so that a server of another API version can refuse it by name."""
    return {VERSION_HEADER: API_VERSION, RELEASE_HEADER: own_release()}


def mismatch(url: str, headers: Mapping[str, str], program: str) -> VersionMismatch | None:
    """Why `program` cannot read what the server at `url` answers; None when it can, or when that is an Airflow.

    The names of `headers` are in lower case.
    """
    theirs = headers.get(VERSION_HEADER)
    if theirs is None or theirs == API_VERSION:
        return None
    release, own = headers.get(RELEASE_HEADER, "of another release"), own_release()
    if _number(theirs) > _number(API_VERSION):
        remedy = f"Upgrade this {program} to DagDeck {release}"
    else:
        remedy = f"Upgrade the server to DagDeck {own}, or use a {program} of its release"
    return VersionMismatch(
        f"{url} is DagDeck {release} and speaks version {theirs} of the API; this {program} is {own} and speaks "
        f"version {API_VERSION}",
        remedy=remedy,
    )


def differ(release: str, own: str) -> bool:
    """Whether two releases are different ones for people: fixes of one release (0.2.1, 0.2.4) are not."""
    return release.split(".")[:2] != own.split(".")[:2]


def _number(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 9 else 0
