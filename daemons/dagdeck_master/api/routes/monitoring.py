"""Operations for monitoring systems and load balancers: metrics, liveness, readiness.

Decides their paths and status codes. Does not decide the figures (`metrics`) nor when a component is healthy
(`queries.cluster`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from dagdeck_core.errors import EnvironmentFault
from dagdeck_io.db.problems import problems_now
from dagdeck_master.api.context import ApiContext, Context
from dagdeck_master.api.models.admin import HealthInfoResponse
from dagdeck_master.api.models.own import HealthResponse
from dagdeck_master.api.queries import cluster
from dagdeck_master.api.queries.room import FULL, has_room
from dagdeck_master.api.reply import documented, reply

router = APIRouter(tags=["Monitor"])


class Component(StrEnum):
    """What can be asked about beside the control API itself."""

    SCHEDULER = "scheduler"
    DAG_PROCESSOR = "dag_processor"
    WORKER = "worker"


@router.get("/metrics", operation_id="get_metrics", **documented(None, also=("text/plain",)))
def get_metrics(request: Request, context: Context) -> Response:
    """Get the cluster's figures in Prometheus' text format."""
    # Only now: an API that nobody scrapes holds none of it.
    from dagdeck_master.api.metrics import Scrapes
    from dagdeck_master.api.metrics.exposition import CONTENT_TYPE

    scrapes: Scrapes | None = getattr(request.app.state, "scrapes", None)
    if scrapes is None:
        scrapes = request.app.state.scrapes = Scrapes(context)
    return Response(scrapes.text(), media_type=CONTENT_TYPE)


@router.get("/health/live", operation_id="get_liveness", **documented(HealthResponse))
async def get_liveness() -> Response:
    """Say that this process answers. It asks nobody else, so it is no reason to restart when a database is away."""
    return reply(HealthResponse(status="healthy", reasons=[]))


@router.get("/health/ready", operation_id="get_readiness", **documented(HealthResponse))
def get_readiness(context: Context, of: Annotated[list[Component] | None, Query()] = None) -> Response:
    """Say whether requests can be answered now, and whether each component named by `of` works; 503 if not."""
    reasons, problems = _state(context, of or [])
    answer = HealthResponse(status="unhealthy" if reasons else "healthy", reasons=reasons, problems=problems)
    return reply(answer, 503 if reasons else 200)


def _state(context: ApiContext, components: list[Component]) -> tuple[list[str], list[str]]:
    """What keeps requests or components from working, and what else needs somebody's hand."""
    if context.streams.is_closing:
        return ["the control API is being stopped"], []
    try:
        with context.database.reading() as connection:
            found = cluster.health(connection)
            workers = cluster.living_workers(connection) if Component.WORKER in components else 0
            problems = [each.words for each in problems_now(connection, cluster.database_now(connection))]
    except EnvironmentFault:
        return ["the metadata database does not answer"], []
    reasons = _reasons(found, workers, components)
    if found.scheduler.status != "healthy" and not has_room(context.database):
        reasons.insert(0, FULL)
    return reasons, problems


def _reasons(found: HealthInfoResponse, workers: int, components: list[Component]) -> list[str]:
    told = {
        Component.SCHEDULER: (found.scheduler.status, "no scheduler leads"),
        Component.DAG_PROCESSOR: (
            found.dag_processor.status if found.dag_processor is not None else None,
            "no DAG processor is in charge",
        ),
        Component.WORKER: ("healthy" if workers else "unhealthy", "no worker is there"),
    }
    return [told[each][1] for each in dict.fromkeys(components) if told[each][0] != "healthy"]
