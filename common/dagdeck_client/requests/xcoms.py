"""Requests about what tasks leave for others: XComs, and links for people.

Decides paths and parameters of these calls. Called by the command line, the demo and the desktop.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dagdeck_client.models import ExtraLinks, XComPage
from dagdeck_client.requests.base import API, Request, path, query


class XComEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a task pushed."""

    key: str
    dag_id: str
    task_id: str
    value: Any = None
    map_index: int = -1


def get_xcom(
    dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1
) -> Request[XComEntry]:
    """One value, as JSON has it."""
    return Request(
        method="GET",
        path=path(API + "/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries/{}", dag_id, run_id, task_id, key),
        query=query(map_index=map_index, deserialize=True),
        answer=XComEntry,
    )


def list_xcoms(dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> Request[XComPage]:
    """The keys that a task instance pushed, without their values."""
    return Request(
        method="GET",
        path=path(API + "/dags/{}/dagRuns/{}/taskInstances/{}/xcomEntries", dag_id, run_id, task_id),
        query=query(map_index=map_index if map_index >= 0 else None),
        answer=XComPage,
    )


def get_links(dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> Request[ExtraLinks]:
    """The addresses of a task instance's links."""
    return Request(
        method="GET",
        path=path(API + "/dags/{}/dagRuns/{}/taskInstances/{}/links", dag_id, run_id, task_id),
        query=query(map_index=map_index),
        answer=ExtraLinks,
    )
