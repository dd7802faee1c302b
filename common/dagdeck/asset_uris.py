"""Asset URIs in one form, so that two ways of writing an address name one asset.

Decides the form, which is Airflow's: scheme in lower case, no trailing slash, query parameters sorted, no fragment, no
password. Text that is no URI, and schemes that begin with `x-`, stay as they are. Called by `dagdeck.assets`.
"""

from __future__ import annotations

import warnings
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dagdeck.exceptions import invalid


def normalized_uri(uri: str) -> str:
    """The URI in its one form. Raises UserError for the reserved scheme `airflow`."""
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
    return urlunsplit((scheme, netloc, parts.path.rstrip("/") or "/", query, ""))
