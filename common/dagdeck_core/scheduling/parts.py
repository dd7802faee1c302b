"""What carrying out an action is made of: parts that go on in the next step, a result, or a refusal.

Decides these shapes. Called by `people` and the modules that carry out single kinds of actions for it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

Result = dict[str, Any]
Parts = Generator[None, None, Result]
"""The carrying out of an action: yields when it must go on in the next step, returns the result."""


class Refused(Exception):
    """An action has no effect; `kind` is "not_found", "conflict", "exists" (a conflict too) or "invalid"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
