"""Hides secrets in text that leaves a process: log lines, error messages, shown settings.

Decides what counts as a secret: values that were registered, passwords in URLs, and what stands behind words
such as `password=`. Does not decide where texts go. Called by `log_setup`, by composition roots, which register
the secrets of their settings, and by whoever stores text for people.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
MIN_SECRET_LENGTH = 4
"""Shorter values are not registered: they would blot out ordinary words, and say more than they hide."""
MAX_SECRETS = 10_000

_WORDS = r"(?:password|passwd|passphrase|secret|secret[_-]?key|token|api[_-]?key|access[_-]?key|private[_-]?key)"
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/'\"]+)@")
# In a URL's password "@" should be written %40, but people forget: the last "@" before the path ends it.
_ASSIGNED = re.compile(
    rf"""(\b[\w.-]*{_WORDS}\s*=\s*)          # password=…
         ("[^"]*"|'[^']*'|[^\s"',;&)\]}}]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED_KEY = re.compile(
    rf"""(["'][\w.-]*{_WORDS}["']\s*:\s*)    # "password": … as in JSON or a printed dict
         ("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,}}]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_AUTHORIZATION = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_SENSITIVE_NAME = re.compile(rf"(?:.*[_.-])?{_WORDS}|authorization", re.IGNORECASE)


def is_sensitive_name(name: str) -> bool:
    """Whether a value of this name is a secret by its name alone."""
    return _SENSITIVE_NAME.fullmatch(name) is not None


def mask_url(url: str) -> str:
    """`url` without its password."""
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", url)


class Masker:
    """Knows secrets and replaces them in texts. Thread-safe; methods never raise for any text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Hide these values from now on, also as they look in a URL or in JSON. Beyond MAX_SECRETS none is added."""
        with self._lock:
            before = len(self._known)
            for secret in secrets:
                if len(secret.strip()) >= MIN_SECRET_LENGTH and len(self._known) < MAX_SECRETS:
                    in_json = json.dumps(secret)[1:-1]
                    self._known |= {secret, quote(secret, safe=""), quote_plus(secret), in_json}
            if len(self._known) != before:
                # Longest first, so that a secret that begins with another one is hidden whole.
                ordered = sorted(self._known, key=lambda secret: (-len(secret), secret))
                self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def mask(self, text: str) -> str:
        """`text` with every secret in it replaced."""
        pattern = self._pattern
        if pattern is not None:
            text = pattern.sub(MASK, text)
        if "://" in text:
            text = mask_url(text)
        if "=" in text:
            text = _ASSIGNED.sub(rf"\1{MASK}", text)
        if ":" in text:
            text = _QUOTED_KEY.sub(_hide_value, text)
        lowered = text.lower()
        if "bearer" in lowered or "basic" in lowered:
            text = _AUTHORIZATION.sub(rf"\1 {MASK}", text)
        return text


def _hide_value(found: re.Match[str]) -> str:
    """The key, and the mask within the value's own quotes, so that JSON stays JSON."""
    mark = found[2][0] if found[2][0] in "\"'" else '"'
    return f"{found[1]}{mark}{MASK}{mark}"
