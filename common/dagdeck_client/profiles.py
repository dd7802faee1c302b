"""Where the command line finds its server: options, environment, profiles, and the local cluster's token file.

Decides the order of these sources, and how a sign-in is kept (a file that only its owner can read). Does not talk to
a server. Used by the command line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagdeck_core.errors import EnvironmentFault, UserError

URL_VARIABLE = "DAGDECK_URL"
TOKEN_VARIABLE = "DAGDECK_TOKEN"
PROFILE_VARIABLE = "DAGDECK_PROFILE"
CA_VARIABLE = "DAGDECK_CA_FILE"
HOME_VARIABLE = "DAGDECK__PATHS__HOME"
DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_PROFILE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server to talk to; `origin` says where its URL was found, for error messages."""

    url: str
    token: str | None
    ca_file: str | None
    origin: str


def find_target(
    *,
    url: str | None,
    token: str | None,
    profile: str | None,
    ca_file: str | None,
    environ: Mapping[str, str],
) -> Target:
    """The server that options, environment, a named profile, the default profile or the local cluster name.

    Raises UserError for a profile that does not exist.
    """
    ca = ca_file or environ.get(CA_VARIABLE)
    named = profile or environ.get(PROFILE_VARIABLE)
    given_url, given_token = url or environ.get(URL_VARIABLE), token or environ.get(TOKEN_VARIABLE)
    if given_url and not named:
        kept = given_token or _kept_token(given_url, environ)
        origin = "--url" if url else URL_VARIABLE
        return Target(url=given_url, token=kept, ca_file=ca, origin=origin)
    profiles = read_profiles(environ)
    if named:
        if named not in profiles:
            known = ", ".join(sorted(profiles)) or "none"
            raise UserError("there is no such profile", field="profile", value=named, remedy=f"Known profiles: {known}")
        return _of_profile(profiles[named], given_url, given_token, ca, f"profile {named}")
    if DEFAULT_PROFILE in profiles:
        return _of_profile(profiles[DEFAULT_PROFILE], None, given_token, ca, "default profile")
    local = _read_json(token_file(environ))
    if local is not None and isinstance(local.get("url"), str):
        return Target(
            url=local["url"],
            token=given_token or local.get("token"),
            ca_file=ca,
            origin=f"local cluster ({token_file(environ)})",
        )
    return Target(url=DEFAULT_URL, token=given_token, ca_file=ca, origin="default")


def _of_profile(profile: Mapping[str, Any], url: str | None, token: str | None, ca: str | None, origin: str) -> Target:
    return Target(
        url=url or str(profile.get("url", DEFAULT_URL)),
        token=token or profile.get("token"),
        ca_file=ca or profile.get("ca_file"),
        origin=origin,
    )


def _kept_token(url: str, environ: Mapping[str, str]) -> str | None:
    """The token of a profile or of the local cluster that has this very URL."""
    local = _read_json(token_file(environ))
    for each in (*read_profiles(environ).values(), local or {}):
        if str(each.get("url", "")).rstrip("/") == url.rstrip("/") and isinstance(each.get("token"), str):
            return str(each["token"])
    return None


def token_file(environ: Mapping[str, str]) -> Path:
    """Where `dagdeckd standalone` leaves its URL and token."""
    if HOME_VARIABLE in environ:
        return Path(environ[HOME_VARIABLE]).expanduser() / "token"
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dagdeck" / "token"
    return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "dagdeck" / "token"


def profiles_file(environ: Mapping[str, str]) -> Path:
    """Where sign-ins are kept."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "dagdeck" / "profiles.json"
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dagdeck" / "profiles.json"


def known_servers_file(environ: Mapping[str, str]) -> Path:
    """Where certificates that were accepted by hand are kept."""
    return profiles_file(environ).with_name("known_servers.json")


def read_profiles(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """All profiles by name."""
    found = _read_json(profiles_file(environ))
    if found is None:
        return {}
    return {name: value for name, value in found.items() if isinstance(value, dict)}


def write_profile(name: str, profile: Mapping[str, Any], environ: Mapping[str, str]) -> Path:
    """Keep a profile in a file that only its owner can read; returns the file.

    Raises EnvironmentFault when it cannot be written.
    """
    path = profiles_file(environ)
    profiles = read_profiles(environ) | {name: dict(profile)}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(profiles, file, indent=2)
        os.replace(draft, path)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror or error}", transient=False) from error
    return path


def _read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None when there is none. Raises UserError when the file is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"not a JSON file: {error}", file=str(path), remedy="Mend or remove it") from error
    if not isinstance(value, dict):
        raise UserError("not a JSON object", file=str(path), remedy="Mend or remove it")
    return value
