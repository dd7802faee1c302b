"""Lets Alembic go on with a revision that was interrupted halfway, where changes of the schema are no transactions.

Decides what counts as done already: the server says that the table, the column or the index is there, or gone. A
revision is marked as done after its last statement, so an interrupted one is run again from its first. Importing this
module makes Alembic use it, which `run_revisions` does; nothing else imports it.

Statements that change rows do not pass here: a revision writes them so that a second time changes nothing.
"""

from __future__ import annotations

import logging
from typing import Any

import pymysql.err
import sqlalchemy as sa
from alembic.ddl.mysql import MySQLImpl

_log = logging.getLogger(__name__)
_DONE = frozenset(
    {
        1050,  # the table exists
        1051,  # there is no such table to drop
        1060,  # the column exists
        1061,  # the index exists
        1091,  # there is no such column or index to drop
    }
)


class ResumableImpl(MySQLImpl):
    """MySQL and MariaDB, where each statement of a revision stands for itself."""

    __dialect__ = "mysql"

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        """Carry a statement out, unless it was carried out before an interruption."""
        try:
            return super()._exec(construct, *arguments, **options)
        except sa.exc.DBAPIError as error:
            cause = error.orig
            if not isinstance(cause, pymysql.err.MySQLError) or cause.args[0] not in _DONE:
                raise
            _log.info("done before an interruption: %s", cause.args[1])
            return None
