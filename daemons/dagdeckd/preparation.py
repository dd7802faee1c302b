"""What must be there before a standalone cluster's processes use its database: schema, administrator, local token.

Decides the order. Does not decide what a schema or a user is (`dagdeck_io.db`, `dagdeck_master.api`). Runs as the
one-shot process `preparation`, for which the others wait at their gate.
"""

from __future__ import annotations

from collections.abc import Callable

from dagdeck_core.lifeline import UNWATCHED, Lifeline
from dagdeck_io.composition import database_of
from dagdeck_io.db import migrations
from dagdeck_io.settings import Settings
from dagdeck_master.api.users import issue_local_token
from dagdeckd.locations import local_url, token_file


def prepare_database(settings: Settings, *, ready: Callable[[], None], lifeline: Lifeline = UNWATCHED) -> int:
    """Upgrade the schema and make sure that this machine's user can sign in; the exit code. Raises what these do."""
    migrations.upgrade(settings.database.address)
    database = database_of(settings)
    try:
        issue_local_token(database, token_file(settings.paths.home), url=local_url(settings))
    finally:
        database.close()
    ready()
    return 0
