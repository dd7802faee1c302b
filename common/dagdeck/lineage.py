"""What hooks report about the data that they read and wrote.

Decides that reports are collected for the running process and forgotten: DagDeck knows lineage from inlets and outlets.
Used by hooks of provider packages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AssetLineageInfo:
    """One asset that was read or written, how often, and by what."""

    asset: Any
    count: int = 1
    context: Any = None


@dataclass(slots=True)
class HookLineage:
    """What was read and written."""

    inputs: list[AssetLineageInfo] = field(default_factory=list)
    outputs: list[AssetLineageInfo] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)


class HookLineageCollector:
    """Takes hooks' reports."""

    def add_input_asset(self, *_: Any, **__: Any) -> None:
        """Something was read."""

    def add_output_asset(self, *_: Any, **__: Any) -> None:
        """Something was written."""

    def add_extra(self, *_: Any, **__: Any) -> None:
        """Something else is worth knowing."""

    def create_asset(self, **_: Any) -> None:
        """Nothing is made of a report."""

    @property
    def collected_assets(self) -> HookLineage:
        """Nothing."""
        return HookLineage()

    @property
    def has_collected(self) -> bool:
        """False."""
        return False


NoOpCollector = HookLineageCollector


class HookLineageReader:
    """Reads what was collected."""

    def retrieve_hook_lineage(self) -> HookLineage:
        """Nothing."""
        return HookLineage()


_collector = HookLineageCollector()


def get_hook_lineage_collector() -> HookLineageCollector:
    """The collector of this process."""
    return _collector
