"""Whether the assets that a task names may be worked with: all of them must be active.

Decides that a task with an inactive inlet or outlet fails for good before its code begins. Which assets are active is
the DAG processor's decision. Called by `execution` for tasks that have inlets or outlets.
"""

from __future__ import annotations

from dagdeck.assets import Asset, AssetUniqueKey
from dagdeck.exceptions import AirflowInactiveAssetInInletOrOutletException
from dagdeck.operator import BaseOperator
from dagdeck_task.asset_event import Ask


def require_active(operator: BaseOperator, ask: Ask) -> None:
    """Raise AirflowInactiveAssetInInletOrOutletException naming what is not active. Aliases and references are left
    out: what they stand for is looked up when it is used."""
    named = dict.fromkeys(item for item in (*operator.inlets, *operator.outlets) if isinstance(item, Asset))
    if not named:
        return
    found = ask("assets_inactive", {"keys": [[asset.name, asset.uri] for asset in named]})
    if found:
        raise AirflowInactiveAssetInInletOrOutletException([AssetUniqueKey(name=name, uri=uri) for name, uri in found])
