"""Look-up of a task instance's extra links.

Decides their SQL: names and keys stand in the spec of its DAG version, addresses in its XComs. Called by the route of
`routes.outputs`.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from dagdeck_io.db import sealed_xcoms
from dagdeck_io.db.tables import xcom
from dagdeck_master.api.models.runs import ExtraLinkCollectionResponse
from dagdeck_master.api.queries.task_instances import task_instance_row
from dagdeck_master.api.specs import SpecCache


def get_links(
    connection: sa.Connection, specs: SpecCache, dag_id: str, run_id: str, task_id: str, map_index: int
) -> ExtraLinkCollectionResponse:
    """The addresses by name, "" where there is none. Raises ApiProblem 404."""
    ti = task_instance_row(connection, dag_id, run_id, task_id, map_index)
    version = specs.get(connection, ti.version_id)
    task = None if version is None else version.tasks.get(task_id)
    keys = {} if task is None else dict(zip(task.extra_links, task.extra_link_keys, strict=False))
    statement = sa.select(xcom.c.key, xcom.c.value).where(xcom.c.ti_id == ti.ti_id, xcom.c.key.in_(keys.values()))
    found = {row.key: _address(row.value) for row in connection.execute(statement)} if keys else {}
    links = {name: found.get(keys[name], "") for name in sorted(keys)}
    return ExtraLinkCollectionResponse(extra_links=links, total_entries=len(links))


def _address(stored: str) -> str:
    """What an XCom holds, if that is text: the author may have used its key for something else."""
    try:
        value = msgspec.json.decode(sealed_xcoms.shown(stored))
    except msgspec.DecodeError:
        return ""
    return value if isinstance(value, str) else ""
