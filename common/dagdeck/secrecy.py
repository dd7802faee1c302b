"""Which names denote secrets.

Decides that from the name alone, as Airflow does. Asked before values are logged, rendered or shown.
"""

from __future__ import annotations

SENSITIVE_WORDS = (
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "secret",
    "token",
    "keyfile_dict",
    "service_account",
)
HIDDEN = "***"


def is_sensitive_name(name: object) -> bool:
    """Whether a value under this name is a secret."""
    if not isinstance(name, str):
        return False
    lowered = name.strip().lower()
    return any(word in lowered for word in SENSITIVE_WORDS)
