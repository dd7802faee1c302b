"""Request bodies about assets and state stores, as FastAPI parses and checks them.

Decides names, types and limits, as Airflow 3.3's. Does not decide what a request does (`routes.assets`,
`routes.states`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, Field

from dagdeck_core.asset_records import MOST_EXTRA_BYTES
from dagdeck_core.partitions.mappers import KEY_LENGTH
from dagdeck_io.db.asset_queries import MOST_STATE_BYTES
from dagdeck_master.api.bodies import StrictBody, TriggerDagRunBody
from dagdeck_master.api.filters import RowId, UtcDatetime


def _storable(limit: int) -> AfterValidator:
    def check(value: Any) -> Any:
        if value is None:
            raise ValueError("value cannot be null")
        try:
            size = len(msgspec.json.encode(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"this is no JSON: {error}") from None
        if size > limit:
            raise ValueError(f"this has {size:,} bytes; {limit:,} is the most")
        return value

    return AfterValidator(check)


PartitionKey = Annotated[str, Field(pattern=r"\S", max_length=KEY_LENGTH)]
State = Annotated[Any, _storable(MOST_STATE_BYTES)]
Extra = Annotated[dict[str, Any], _storable(MOST_EXTRA_BYTES)]


class AssetEventAccessControl(StrictBody):
    """Which teams' DAGs may hear of an event; accepted, since a cluster has no teams of its own yet."""

    consumer_teams: list[str] | None = None
    allow_global: bool = True


class CreateAssetEventsBody(StrictBody):
    """POST /assets/events."""

    asset_id: RowId
    partition_key: PartitionKey | None = None
    extra: Extra = {}
    access_control: AssetEventAccessControl | None = None


class MaterializeAssetBody(TriggerDagRunBody):
    """POST /assets/{asset_id}/materialize."""


class StateBody(StrictBody):
    """PUT of a state of an asset; PATCH of a state of a task instance."""

    value: State


class TaskStateBody(StrictBody):
    """PUT of a state of a task instance. `expires_at` null keeps it as long as its run."""

    value: State
    expires_at: UtcDatetime | Literal["default"] | None = "default"
