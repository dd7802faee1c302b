"""Where a standalone cluster is reached: the control API's URL and the file with the local token.

Decides names. Touches nothing. Called by `standalone` and `preparation`.
"""

from __future__ import annotations

from pathlib import Path

from dagdeck_io.settings import Settings

TOKEN_FILE = "token"


def local_url(settings: Settings) -> str:
    """The control API's URL for this machine."""
    scheme = "https" if settings.api.tls_certificate else "http"
    host = f"[{settings.api.host}]" if ":" in settings.api.host else settings.api.host
    return f"{scheme}://{host}:{settings.api.port}"


def token_file(home: Path) -> Path:
    """Where the token for this machine's user is kept."""
    return home / TOKEN_FILE
