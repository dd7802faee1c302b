"""Requests about DAGs: listing, details, pausing, deletion, tasks, import errors.

Decides paths and parameters of these calls. Called by the command line and the desktop.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagdeck_client.models import Dag, DagDetails, DagPage, DagSource, ImportErrorPage, Structure, TaskPage
from dagdeck_client.requests.base import API, OWN_API, Request, path, query


def list_dags(
    *,
    limit: int = 100,
    offset: int = 0,
    dag_id_pattern: str | None = None,
    tags: Sequence[str] = (),
    owners: Sequence[str] = (),
    paused: bool | None = None,
    exclude_stale: bool = True,
    order_by: Sequence[str] = (),
) -> Request[DagPage]:
    """One page of DAGs; patterns match anywhere in the id, whatever the case."""
    return Request(
        method="GET",
        path=f"{API}/dags",
        query=query(
            limit=limit,
            offset=offset,
            dag_id_pattern=dag_id_pattern,
            tags=list(tags),
            owners=list(owners),
            paused=paused,
            exclude_stale=exclude_stale,
            order_by=list(order_by),
        ),
        answer=DagPage,
    )


def get_dag(dag_id: str) -> Request[DagDetails]:
    """One DAG with its details."""
    return Request(method="GET", path=path(API + "/dags/{}/details", dag_id), answer=DagDetails)


def set_paused(dag_id: str, is_paused: bool) -> Request[Dag]:
    """Pause or unpause a DAG."""
    return Request(
        method="PATCH",
        path=path(API + "/dags/{}", dag_id),
        body={"is_paused": is_paused},
        answer=Dag,
        is_action=True,
    )


def delete_dag(dag_id: str) -> Request[None]:
    """Delete a DAG's rows; its file, while it exists, brings it back without its history."""
    return Request(method="DELETE", path=path(API + "/dags/{}", dag_id), answer=None, is_action=True)


def list_tasks(dag_id: str) -> Request[TaskPage]:
    """The tasks of a DAG's newest version."""
    return Request(method="GET", path=path(API + "/dags/{}/tasks", dag_id), answer=TaskPage)


def get_structure(dag_id: str, *, dag_run_id: str | None = None) -> Request[Structure]:
    """The tasks, groups and edges of a DAG's newest version, or of the one that a run began with. DagDeck only."""
    return Request(
        method="GET",
        path=path(OWN_API + "/dags/{}/structure", dag_id),
        query=query(dag_run_id=dag_run_id),
        answer=Structure,
    )


def get_source(dag_id: str) -> Request[DagSource]:
    """The file that defines a DAG."""
    return Request(method="GET", path=path(API + "/dagSources/{}", dag_id), answer=DagSource)


def list_import_errors(*, limit: int = 100, offset: int = 0) -> Request[ImportErrorPage]:
    """DAG files that could not be loaded."""
    return Request(
        method="GET", path=f"{API}/importErrors", query=query(limit=limit, offset=offset), answer=ImportErrorPage
    )
