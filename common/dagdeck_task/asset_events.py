"""Asset events as a task sees them: those it emits, those of its inlets, those that made its run start.

Decides what `outlet_events`, `inlet_events` and `triggering_asset_events` in the context offer, which is Airflow's,
and which events a task that succeeds emits. Asks the parent process only when something is looked at. Made by
`dagdeck_task.run_context`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from dagdeck.asset_definitions import find_asset
from dagdeck.asset_uris import normalized_uri
from dagdeck.assets import Asset, AssetAlias, AssetRef, BaseAsset
from dagdeck.deprecation import warn_deprecated
from dagdeck.exceptions import AirflowException
from dagdeck_core.asset_records import MOST_EXTRA_BYTES, MOST_OUTLET_EVENTS, OutletEvent
from dagdeck_core.partitions.mappers import KEY_LENGTH
from dagdeck_task.asset_event import AssetEvent

T = TypeVar("T")
Ask = Callable[[str, dict[str, Any]], Any]


class _ByAsset(Generic[T]):
    """What all three have: looking up by asset, by alias, or by name or URI alone."""

    def __getitem__(self, key: Any) -> T:
        raise NotImplementedError

    def for_asset(self, *, name: str | None = None, uri: str | None = None) -> T:
        """By the asset of this name and URI, or of one of both."""
        if name and uri:
            return self[Asset(name=name, uri=uri)]
        return self[Asset.ref(name=name or "", uri=uri or "")]

    def for_asset_alias(self, *, name: str) -> T:
        """By the alias of this name."""
        return self[AssetAlias(name)]


# ---------------------------------------------------------------- what the task emits


class OutletEventAccessor:
    """What a task adds to the event of one outlet: `extra`, partitions, and for an alias the assets it stands for."""

    def __init__(self, key: Asset | AssetAlias) -> None:
        self.key = key
        self.extra: dict[str, Any] = {}
        self.partition_keys: dict[str, None] = {}
        self.asset_alias_events: list[tuple[Asset, dict[str, Any]]] = []

    def add(self, asset: Asset | AssetRef, extra: Mapping[str, Any] | None = None) -> None:
        """Emit an event of `asset` through the alias; of an outlet that is no alias it does nothing."""
        if isinstance(self.key, AssetAlias):
            found = find_asset(name=asset.name, uri=asset.uri) if isinstance(asset, AssetRef) else asset
            self.asset_alias_events.append((found, dict(extra or {})))

    def add_partitions(self, keys: str | Sequence[str]) -> None:
        """Emit an event for each of these partitions, instead of one for the run's.

        Raises TypeError for an alias, ValueError for a key that is no text of 1 to 250 characters.
        """
        if isinstance(self.key, AssetAlias):
            raise TypeError("add_partitions() is for assets; an alias emits events of the run's partition")
        for key in [keys] if isinstance(keys, str) else keys:
            if not isinstance(key, str) or not key.strip() or len(key) > KEY_LENGTH:
                raise ValueError(f"a partition key is text of 1 to {KEY_LENGTH} characters, not {key!r}")
            self.partition_keys[key] = None

    def __repr__(self) -> str:
        return f"<OutletEventAccessor {self.key!r} extra={self.extra!r}>"


class OutletEventAccessors(_ByAsset[OutletEventAccessor], Mapping[Any, OutletEventAccessor]):
    """`outlet_events`: an accessor for every asset or alias that is asked for."""

    def __init__(self, outlets: Sequence[Any] = ()) -> None:
        self._outlets = outlets
        self._accessors: dict[Asset | AssetAlias, OutletEventAccessor] = {}
        self._resolved: dict[AssetRef, Asset] = {}

    def __getitem__(self, key: Any) -> OutletEventAccessor:
        if isinstance(key, str):
            key = _named(key, self._outlets) or Asset(key)
        if isinstance(key, AssetRef):
            if key not in self._resolved:
                self._resolved[key] = find_asset(name=key.name, uri=key.uri)
            key = self._resolved[key]
        if not isinstance(key, (Asset, AssetAlias)):
            raise TypeError(f"outlet_events are looked up by an asset or an alias, not by {type(key).__name__}")
        return self._accessors.setdefault(key, OutletEventAccessor(key))

    def __iter__(self) -> Iterator[Asset | AssetAlias]:
        return iter(self._accessors)

    def __len__(self) -> int:
        return len(self._accessors)

    def events(self, outlets: Sequence[Any]) -> list[OutletEvent]:
        """The events that the task emits with these outlets: one of each asset, or what was added to it.

        What was added for something that is no outlet is left out. Raises AirflowException for too many events or
        an extra that is too large or no JSON.
        """
        found: list[OutletEvent] = []
        for outlet in dict.fromkeys(item for item in outlets if isinstance(item, BaseAsset)):
            if isinstance(outlet, Asset):
                found += _of_outlet(self._accessors.get(outlet), name=outlet.name, uri=outlet.uri, group=outlet.group)
            elif isinstance(outlet, AssetRef):
                known = self._resolved.get(outlet) or next((a for a in self._accessors if _means(outlet, a)), None)
                accessor = self._accessors.get(known) if known is not None else None
                found += _of_outlet(accessor, name=outlet.name, uri=outlet.uri)
        found += self._through_aliases([item for item in outlets if isinstance(item, AssetAlias)])
        if len(found) > MOST_OUTLET_EVENTS:
            raise AirflowException(
                f"the task emits {len(found)} asset events; a task may emit {MOST_OUTLET_EVENTS} at most"
            )
        for event in found:
            _check_extra(event)
        return found

    def _through_aliases(self, outlets: Sequence[AssetAlias]) -> list[OutletEvent]:
        """One event for each asset and extra, however many aliases it came through."""
        grouped: dict[str, tuple[Asset, dict[str, Any], dict[str, None]]] = {}
        for alias in dict.fromkeys(outlets):
            accessor = self._accessors.get(alias)
            for asset, extra in accessor.asset_alias_events if accessor is not None else ():
                key = json.dumps([asset.name, asset.uri, asset.extra, extra], sort_keys=True, default=repr)
                grouped.setdefault(key, (asset, extra, {}))[2][alias.name] = None
        return [
            OutletEvent(
                name=asset.name,
                uri=asset.uri,
                group=asset.group,
                extra=extra,
                asset_extra=asset.extra,
                aliases=tuple(aliases),
            )
            for asset, extra, aliases in grouped.values()
        ]


def _of_outlet(accessor: OutletEventAccessor | None, **asset: Any) -> list[OutletEvent]:
    if accessor is None:
        return [OutletEvent(**asset)]
    keys: list[str | None] = list(accessor.partition_keys) or [None]
    return [OutletEvent(**asset, extra=dict(accessor.extra), partition_key=key) for key in keys]


def _named(key: str, named: Sequence[Any]) -> Any:
    """Which of a task's inlets or outlets files of Airflow 2 mean by a text: an asset's URI, or an alias's name."""
    warn_deprecated(f"Looking up events by the text {key!r}", "Use the asset or the alias itself")
    uri = normalized_uri(key) if ":" in key else key
    for item in named:
        if isinstance(item, AssetAlias) and item.name == key:
            return item
        if isinstance(item, (Asset, AssetRef)) and (uri == item.uri or key == item.name):
            return item
    return None


def _means(ref: AssetRef, asset: Asset | AssetAlias) -> bool:
    return isinstance(asset, Asset) and (asset.name == ref.name if ref.name else asset.uri == ref.uri)


def _check_extra(event: OutletEvent) -> None:
    for extra in (event.extra, event.asset_extra):
        try:
            size = len(json.dumps(extra))
        except (TypeError, ValueError) as error:
            raise AirflowException(
                f"the extra of the event of asset {event.name or event.uri!r} is no JSON: {error}"
            ) from None
        if size > MOST_EXTRA_BYTES:
            raise AirflowException(
                f"the extra of the event of asset {event.name or event.uri!r} has {size:,} bytes; "
                f"{MOST_EXTRA_BYTES:,} is the most"
            )


# ---------------------------------------------------------------- events of inlets


class InletEventsAccessor(Sequence[AssetEvent]):
    """The events of one asset or alias, oldest first; read at first use. The methods narrow what is read."""

    def __init__(self, ask: Ask, **question: Any) -> None:
        self._ask = ask
        self._question = {"after": None, "before": None, "ascending": True, "limit": None, **question}
        self._events: list[AssetEvent] | None = None

    def _narrowed(self, **question: Any) -> InletEventsAccessor:
        self._question.update(question)
        self._events = None
        return self

    def after(self, after: Any) -> InletEventsAccessor:
        """Only events at or after this time."""
        return self._narrowed(after=_time_text(after))

    def before(self, before: Any) -> InletEventsAccessor:
        """Only events at or before this time."""
        return self._narrowed(before=_time_text(before))

    def ascending(self, ascending: bool = True) -> InletEventsAccessor:
        """Oldest first, or newest first."""
        return self._narrowed(ascending=ascending)

    def limit(self, limit: int) -> InletEventsAccessor:
        """So many at most."""
        return self._narrowed(limit=limit)

    def _read(self) -> list[AssetEvent]:
        if self._events is None:
            self._events = [AssetEvent(row, self._ask) for row in self._ask("asset_events_get", dict(self._question))]
        return self._events

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[AssetEvent]:
        return iter(self._read())

    @overload
    def __getitem__(self, index: int) -> AssetEvent: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AssetEvent]: ...

    def __getitem__(self, index: int | slice) -> AssetEvent | Sequence[AssetEvent]:
        if isinstance(index, int) and index < 0 and self._events is None:
            return self._newest(-index)
        return self._read()[index]

    def _newest(self, number: int) -> AssetEvent:
        """The event so many from the end, without reading all that came before it."""
        if "ascending" in self._question or "limit" in self._question:
            return self._read()[-number]
        rows = self._ask("asset_events_get", {**self._question, "ascending": False, "limit": number})
        if len(rows) < number:
            raise IndexError(-number)
        return AssetEvent(rows[-1], self._ask)

    def __repr__(self) -> str:
        return repr(self._read())


class InletEventsAccessors(_ByAsset[InletEventsAccessor], Mapping[Any, InletEventsAccessor]):
    """`inlet_events`: the events of each inlet, by the inlet or its number."""

    def __init__(self, inlets: Sequence[Any], ask: Ask) -> None:
        self._inlets = list(inlets)
        self._ask = ask

    def __getitem__(self, key: Any) -> InletEventsAccessor:
        """Raises KeyError for what is no inlet of the task, IndexError for a number of none."""
        wanted = self._inlets[key] if isinstance(key, int) else key
        if isinstance(wanted, str):
            wanted = _named(wanted, self._inlets)
            if wanted is None:
                raise KeyError(key)
        if isinstance(wanted, AssetAlias):
            if wanted not in self._inlets:
                raise KeyError(wanted)
            return InletEventsAccessor(self._ask, alias=wanted.name)
        if isinstance(wanted, AssetRef):
            if wanted not in self._inlets and not any(_means(wanted, item) for item in self._assets()):
                self._resolve(wanted)
            return InletEventsAccessor(self._ask, name=wanted.name, uri=wanted.uri)
        if isinstance(wanted, Asset):
            if wanted not in self._inlets and not any(
                isinstance(i, AssetRef) and _means(i, wanted) for i in self._inlets
            ):
                raise KeyError(wanted)
            return InletEventsAccessor(self._ask, name=wanted.name, uri=wanted.uri)
        if isinstance(key, int):
            raise IndexError(key)
        raise TypeError(f"inlet_events are looked up by an inlet or its number, not by {type(key).__name__}")

    def _assets(self) -> list[Asset]:
        return [item for item in self._inlets if isinstance(item, Asset)]

    def _resolve(self, wanted: AssetRef) -> None:
        """A reference that is no inlet may mean an asset that another reference means too."""
        refs = [item for item in self._inlets if isinstance(item, AssetRef)]
        if not any(_means(wanted, find_asset(name=ref.name, uri=ref.uri)) for ref in refs):
            raise KeyError(wanted)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._inlets)

    def __len__(self) -> int:
        return len(self._inlets)


# ---------------------------------------------------------------- what made the run start


class TriggeringAssetEvents(_ByAsset[Sequence[AssetEvent]], Mapping[Any, Sequence[AssetEvent]]):
    """`triggering_asset_events`: the events that the run consumed, by asset and by alias; read at first use."""

    def __init__(self, ask: Ask, run_key: int) -> None:
        self._ask = ask
        self._run_key = run_key
        self._known: dict[Any, list[AssetEvent]] | None = None

    def _events(self) -> dict[Any, list[AssetEvent]]:
        if self._known is None:
            self._known = {}
            for row in self._ask("triggering_asset_events_get", {"run_key": self._run_key}):
                event = AssetEvent(row, self._ask)
                for key in (event.asset, *event.source_aliases):
                    self._known.setdefault(key, []).append(event)
        return self._known

    def __getitem__(self, key: Any) -> Sequence[AssetEvent]:
        if isinstance(key, AssetRef):
            found = next((asset for asset in self._events() if _means(key, asset)), None)
            if found is None:
                raise KeyError(key)
            key = found
        return self._events()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._events())

    def __len__(self) -> int:
        return len(self._events())

    def __repr__(self) -> str:
        return repr(self._events())


def _time_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value.isoformat())
