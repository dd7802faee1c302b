"""Columns of a DAG version as other answers embed it, and listings of versions and their sources.

Decides how a version row becomes a `DagVersionResponse`. Used by the queries of DAGs, runs and task instances.
"""

from __future__ import annotations

import zlib
from typing import Any

import sqlalchemy as sa

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.db.tables import bundle, bundle_content, bundle_file, dag, dag_version
from dagdeck_master.api.dag_scope import DagScope, only
from dagdeck_master.api.errors import not_found
from dagdeck_master.api.filters import VersionFilters, equality_conditions
from dagdeck_master.api.identity import uuid_of
from dagdeck_master.api.models.dags import DAGSourceResponse, DAGVersionCollectionResponse, DagVersionResponse
from dagdeck_master.api.paging import fetch_page, sorting

display_name = sa.func.coalesce(dag.c.dag_display_name, dag.c.dag_id)

version_columns = (
    dag_version.c.version_id.label("v_id"),
    dag_version.c.version_number.label("v_number"),
    dag_version.c.bundle_name.label("v_bundle_name"),
    dag_version.c.bundle_version.label("v_bundle_version"),
    dag_version.c.created_at.label("v_created_at"),
)
"""What `embedded_version` reads; select these beside an outer join with dag_version."""


LARGEST_STORED = 64 * 1024**2
"""Bytes of one stored file or piece of a log that are shown at most."""


def embedded_version(row: Any, dag_id: str, shown: str) -> DagVersionResponse | None:
    """The version in a row that has `version_columns`; None when the version is gone."""
    if row.v_id is None:
        return None
    return DagVersionResponse(
        id=uuid_of(row.v_id),
        version_number=row.v_number,
        dag_id=dag_id,
        dag_display_name=shown,
        bundle_name=row.v_bundle_name,
        bundle_version=row.v_bundle_version,
        bundle_url=None,
        created_at=row.v_created_at,
    )


def list_versions(
    connection: sa.Connection, dag_id: str, filters: VersionFilters, cap: int, scope: DagScope | None
) -> DAGVersionCollectionResponse:
    """One page of a DAG's versions, or of all DAGs' for `~`."""
    statement = sa.select(dag_version.c.dag_id, display_name.label("shown"), *version_columns).outerjoin(
        dag, dag.c.dag_id == dag_version.c.dag_id
    )
    if dag_id != "~":
        require_dag(connection, dag_id)
        statement = statement.where(dag_version.c.dag_id == dag_id)
    columns = {name: dag_version.c[name] for name in ("version_number", "bundle_name", "bundle_version")}
    statement = statement.where(*equality_conditions(filters, columns), *only(scope, dag_version.c.dag_id))
    order = sorting(
        filters.order_by,
        {"id": dag_version.c.version_id, **columns},
        {"id": dag_version.c.version_id},
        ["id"],
    )
    page = fetch_page(connection, statement, order, filters.page(cap))
    found = [embedded_version(row, row.dag_id, row.shown or row.dag_id) for row in page.rows]
    return DAGVersionCollectionResponse(
        dag_versions=[each for each in found if each is not None], total_entries=page.total or 0
    )


def get_version(connection: sa.Connection, dag_id: str, version_number: int) -> DagVersionResponse:
    """One version by its number. Raises ApiProblem 404."""
    row = connection.execute(
        sa.select(display_name.label("shown"), *version_columns)
        .outerjoin(dag, dag.c.dag_id == dag_version.c.dag_id)
        .where(dag_version.c.dag_id == dag_id, dag_version.c.version_number == version_number)
    ).one_or_none()
    found = None if row is None else embedded_version(row, dag_id, row.shown or dag_id)
    if found is None:
        not_found("The DagVersion", dag_id=dag_id, version_number=version_number)
    return found


def get_source(connection: sa.Connection, dag_id: str, version_number: int | None) -> DAGSourceResponse:
    """The file that a version (without a number: the newest) was read from. Raises ApiProblem 404."""
    statement = (
        sa.select(
            dag_version.c.version_number,
            dag_version.c.bundle_name,
            dag_version.c.bundle_version,
            dag_version.c.spec,
            display_name.label("shown"),
        )
        .join(dag, dag.c.dag_id == dag_version.c.dag_id)
        .where(dag_version.c.dag_id == dag_id)
        .order_by(dag_version.c.version_number.desc())
        .limit(1)
    )
    if version_number is not None:
        statement = statement.where(dag_version.c.version_number == version_number)
    row = connection.execute(statement).one_or_none()
    if row is None:
        not_found("The source code of the DAG", dag_id=dag_id, version_number=version_number)
    content = _file_content(connection, row.bundle_name, row.bundle_version, row.spec.fileloc)
    if content is None:
        not_found("The source code of the DAG", dag_id=dag_id, version_number=row.version_number)
    return DAGSourceResponse(
        content=content.decode("utf-8", "replace"),
        dag_id=dag_id,
        version_number=row.version_number,
        dag_display_name=row.shown,
    )


def _file_content(connection: sa.Connection, bundle_name: str, bundle_version: str, path: str) -> bytes | None:
    """Bytes of a file of a bundle; None when they are no longer stored."""
    row = connection.execute(
        sa.select(bundle_content.c.encoding, bundle_content.c.data)
        .select_from(bundle)
        .join(bundle_file, bundle_file.c.bundle_id == bundle.c.bundle_id)
        .join(bundle_content, bundle_content.c.sha256 == bundle_file.c.sha256)
        .where(bundle.c.name == bundle_name, bundle.c.version == bundle_version, bundle_file.c.path == path)
    ).one_or_none()
    return None if row is None else unpacked(row.encoding, row.data)


def unpacked(encoding: str, data: bytes) -> bytes:
    """Stored bytes as they were. Raises EnvironmentFault for an encoding that this server does not know, and for bytes
    that would grow past LARGEST_STORED: less trusted processes than this one store some of them.
    """
    if encoding == "raw":
        return bytes(data)
    if encoding == "zlib":
        stream = zlib.decompressobj()
        content = stream.decompress(data, LARGEST_STORED)
        if stream.eof:
            return content
        raise EnvironmentFault(
            f"stored bytes are damaged, or grow past {LARGEST_STORED:,}; they are not shown", transient=False
        )
    raise EnvironmentFault(
        f"stored bytes are encoded as {encoding!r}, which this server does not know",
        transient=False,
        remedy="Upgrade the master",
    )


def require_dag(connection: sa.Connection, dag_id: str) -> None:
    """Raise ApiProblem 404 when there is no such DAG."""
    if connection.execute(sa.select(dag.c.dag_id).where(dag.c.dag_id == dag_id)).one_or_none() is None:
        not_found("The Dag", dag_id=dag_id)
