"""Which ids a DAG, task, group or XCom may have.

Decides Airflow's rule for them and nothing else. Called when the objects are made and by the serialiser.
"""

from __future__ import annotations

import re

from dagdeck.exceptions import invalid

KEY_LENGTH = 250
GROUP_KEY_LENGTH = 200
_KEY = re.compile(r"[\w.\-]+", re.ASCII)
_GROUP_KEY = re.compile(r"[\w\-]+", re.ASCII)


def check_key(key: object, *, subject: str, field: str) -> str:
    """`key`, when it is a valid dag or task id: letters, digits, `_`, `-`, `.`, at most 250 of them.

    Raises UserError otherwise.
    """
    return _check(key, _KEY, KEY_LENGTH, subject, field, "letters, digits, dashes, dots and underscores (ASCII)")


def check_group_key(key: object, *, subject: str, field: str) -> str:
    """`key`, when it is a valid group id: as `check_key`, but without dots and at most 200 characters."""
    return _check(key, _GROUP_KEY, GROUP_KEY_LENGTH, subject, field, "letters, digits, dashes and underscores (ASCII)")


def _check(key: object, pattern: re.Pattern[str], limit: int, subject: str, field: str, allowed: str) -> str:
    if not isinstance(key, str):
        raise invalid("an id is text", subject=subject, field=field, value=key, remedy="Write a string")
    if len(key) > limit:
        raise invalid(
            f"this id has {len(key)} characters, the limit is {limit}",
            subject=subject,
            field=field,
            value=key,
            remedy="Shorten it; a display name may be longer",
        )
    if not pattern.fullmatch(key):
        raise invalid("this is not a valid id", subject=subject, field=field, value=key, remedy=f"Use {allowed} only")
    return key
