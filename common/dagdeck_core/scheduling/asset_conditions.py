"""Asset conditions: which assets a DAG listens to, and whether its condition holds.

Decides both from the JSON expression in the DAG's spec, the known assets and those that have changed. Called by
`scheduling.assets`; the API shows the same expression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dagdeck_core.asset_records import AssetRecord

Expression = Mapping[str, Any]


class AssetNames:
    """All assets by what conditions and references name them by."""

    def __init__(self) -> None:
        self.by_id: dict[int, AssetRecord] = {}
        self.by_key: dict[tuple[str, str], AssetRecord] = {}
        self.active_by_name: dict[str, AssetRecord] = {}
        self.active_by_uri: dict[str, AssetRecord] = {}
        self.of_alias: dict[str, dict[int, None]] = {}

    def add(self, asset: AssetRecord) -> None:
        """Take in an asset, replacing what was known of it."""
        self.by_id[asset.asset_id] = asset
        self.by_key[asset.name, asset.uri] = asset
        if asset.is_active:
            self.active_by_name[asset.name] = asset
            self.active_by_uri[asset.uri] = asset

    def link(self, alias: str, asset_id: int) -> None:
        """An event of the asset came through the alias."""
        self.of_alias.setdefault(alias, {})[asset_id] = None

    def find(self, name: str, uri: str) -> AssetRecord | None:
        """The asset of both, or the active one of the only one that is given."""
        if name and uri:
            return self.by_key.get((name, uri))
        return self.active_by_name.get(name) if name else self.active_by_uri.get(uri)


def leaves(expression: Expression) -> Iterator[tuple[str, str, str]]:
    """("asset", name, uri), ("alias", name, ""), ("ref", name, "") or ("ref", "", uri) for all that is named."""
    for word, value in expression.items():
        if word in ("any", "all"):
            for item in value:
                yield from leaves(item)
        elif word == "asset":
            yield "asset", value["name"], value["uri"]
        elif word == "alias":
            yield "alias", value["name"], ""
        elif word == "asset_ref":
            yield "ref", value.get("name", ""), value.get("uri", "")


def holds(expression: Expression, names: AssetNames, has_changed: Callable[[int], bool]) -> bool:
    """Whether the condition holds, where `has_changed` tells it for an asset_id."""
    for word, value in expression.items():
        if word == "any":
            return any(holds(item, names, has_changed) for item in value)
        if word == "all":
            return all(holds(item, names, has_changed) for item in value)
        if word == "alias":
            return any(has_changed(asset_id) for asset_id in names.of_alias.get(value["name"], ()))
        asset = names.find(value.get("name", ""), value.get("uri", ""))
        return asset is not None and has_changed(asset.asset_id)
    return False
