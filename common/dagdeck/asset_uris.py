"""Asset URIs in one form, so that two ways of writing an address name one asset.

Decides the form, which is Airflow's: scheme in lower case, no trailing slash, query parameters sorted, no fragment, no
password, and then what the provider package of the scheme says (a port, the parts that a path must have). Text that is
no URI, and schemes that begin with `x-`, stay as they are. Called by `dagdeck.assets`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from dagdeck.exceptions import invalid

_KNOWN_TO_NOBODY = ("http", "https")
"""Schemes that no provider package can have: nobody need be asked."""


def normalized_uri(uri: str) -> str:
    """The URI in its one form. Raises UserError for the scheme `airflow`, and for what a scheme's provider refuses."""
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if not scheme or scheme.startswith("x-"):
        return uri
    if scheme == "airflow":
        raise invalid("the scheme 'airflow' is reserved", field="Asset uri", value=uri)
    netloc = parts.netloc
    if parts.password:
        warnings.warn(
            "An Asset URI should not contain a password. User info has been automatically dropped.",
            UserWarning,
            stacklevel=3,
        )
        netloc = netloc.rpartition("@")[2]
    query = urlencode(sorted(parse_qsl(parts.query))) if parts.query else ""
    plain = SplitResult(scheme, netloc, parts.path.rstrip("/") or "/", query, "")
    handler = _handler(scheme)
    if handler is None:
        return urlunsplit(plain)
    try:
        return urlunsplit(handler(plain))
    except ValueError as error:
        raise invalid(f"an asset cannot have this URI: {error}", field="Asset uri", value=uri) from error


def uri_of_provider(uri: str) -> str | None:
    """The URI as the provider of its scheme writes it; None without such a provider, and for what it refuses."""
    parts = urlsplit(uri)
    handler = _handler(parts.scheme.lower())
    if handler is None:
        return None
    try:
        return urlunsplit(handler(parts))
    except ValueError:
        return None


def _handler(scheme: str) -> Callable[[SplitResult], SplitResult] | None:
    if scheme == "file":
        return _unchanged
    if not scheme or scheme in _KNOWN_TO_NOBODY:
        return None
    from dagdeck.provider_packages import asset_uri_handlers  # reading what is installed takes a while

    return asset_uri_handlers().get(scheme)


def _unchanged(parts: SplitResult) -> SplitResult:
    return parts
