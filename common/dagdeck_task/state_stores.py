"""Task and asset state stores: small values that outlive a try, or a run.

Decides the methods, which are Airflow's, and that a value is JSON. Does not decide how long values are kept by
default (the cluster does). Found in the context as `task_state_store` and `asset_state_store`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from dagdeck.assets import Asset, AssetAlias, AssetRef
from dagdeck.exceptions import AirflowException
from dagdeck.runtime import NotFound
from dagdeck.state_store import NEVER_EXPIRE

Ask = Callable[[str, dict[str, Any]], Any]
NEVER = -1.0
"""`retention` of a value that does not expire, on the wire."""


def _encoded(key: str, value: Any) -> str:
    if value is None:
        raise ValueError("None cannot be stored; delete the key instead")
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise AirflowException(f"the value of state {key!r} is no JSON: {error}") from None


async def _beside_the_loop(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    import asyncio  # 7 MB of each runner, which only coroutines need

    return await asyncio.to_thread(call, *arguments, **more)


class _Store:
    """get, set, delete and clear of one task instance or asset, also awaitable."""

    def __init__(self, ask: Ask, kind: str, subject: dict[str, str]) -> None:
        self._ask = ask
        self._kind = kind
        self._subject = subject

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        try:
            return json.loads(self._ask(f"{self._kind}_get", {**self._subject, "key": key}))
        except NotFound:
            return default

    def delete(self, key: str) -> None:
        """Forget a value; one that is not there does no harm."""
        self._ask(f"{self._kind}_delete", {**self._subject, "key": key})

    def clear(self) -> None:
        """Forget all values."""
        self._ask(f"{self._kind}_delete", {**self._subject, "key": None})

    async def aget(self, key: str, default: Any = None) -> Any:
        """`get` that does not hold up the event loop."""
        return await _beside_the_loop(self.get, key, default)

    async def adelete(self, key: str) -> None:
        """`delete` that does not hold up the event loop."""
        await _beside_the_loop(self.delete, key)

    async def aclear(self) -> None:
        """`clear` that does not hold up the event loop."""
        await _beside_the_loop(self.clear)


class TaskStateStore(_Store):
    """`task_state_store`: values of this task instance, kept over its tries."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask, "task_state", {})

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Store a value for `retention` (NEVER_EXPIRE: as long as its run), else for the cluster's default time.

        Raises ValueError for None, AirflowException for what is no JSON.
        """
        seconds = None if retention is None else retention.total_seconds()
        if retention == NEVER_EXPIRE:
            seconds = NEVER
        self._ask("task_state_set", {"key": key, "value": _encoded(key, value), "retention": seconds})

    async def aset(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """`set` that does not hold up the event loop."""
        await _beside_the_loop(self.set, key, value, retention=retention)


class AssetStateStore(_Store):
    """Values of one asset, kept over runs and DAGs."""

    def __init__(self, ask: Ask, *, name: str = "", uri: str = "") -> None:
        super().__init__(ask, "asset_state", {"name": name, "uri": uri})

    def set(self, key: str, value: Any) -> None:
        """Store a value. Raises ValueError for None, AirflowException for what is no JSON."""
        self._ask("asset_state_set", {**self._subject, "key": key, "value": _encoded(key, value)})

    async def aset(self, key: str, value: Any) -> None:
        """`set` that does not hold up the event loop."""
        await _beside_the_loop(self.set, key, value)


class AssetStateStores:
    """`asset_state_store`: the store of each inlet and outlet; with only one of them, that one's methods too."""

    def __init__(self, inlets: Sequence[Any], outlets: Sequence[Any], ask: Ask) -> None:
        self._ask = ask
        self._references = [*inlets, *(item for item in outlets if not isinstance(item, AssetAlias))]
        self._found: list[dict[str, str]] | None = None

    def _subjects(self) -> list[dict[str, str]]:
        """Name and URI of every asset, as far as known; aliases are asked for what they stand for."""
        if self._found is None:
            found: list[dict[str, str]] = []
            for item in self._references:
                if isinstance(item, AssetAlias):
                    found += [
                        {"name": asset["name"], "uri": asset["uri"]}
                        for asset in self._ask("assets_of_alias", {"alias": item.name})
                    ]
                elif isinstance(item, (Asset, AssetRef)):
                    found.append({"name": item.name, "uri": item.uri})
            self._found = []
            for subject in found:
                if not any(_same(subject, known) for known in self._found):
                    self._found.append(subject)
        return self._found

    def __getitem__(self, key: Asset | AssetRef) -> AssetStateStore:
        """Raises KeyError for what is neither inlet nor outlet of the task."""
        if not isinstance(key, (Asset, AssetRef)):
            raise TypeError(f"asset_state_store is looked up by an asset, not by {type(key).__name__}")
        wanted = {"name": key.name, "uri": key.uri}
        if not any(_same(wanted, known) for known in self._subjects()):
            raise KeyError(f"{key!r} is neither an inlet nor an outlet of this task")
        return AssetStateStore(self._ask, **wanted)

    def _single(self) -> AssetStateStore:
        subjects = self._subjects()
        if len(subjects) != 1:
            raise ValueError(
                f"the task has {len(subjects)} assets as inlets and outlets: "
                "say which, as in asset_state_store[MY_ASSET]"
            )
        return AssetStateStore(self._ask, **subjects[0])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._single(), name)


def _same(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether both may mean one asset: what both say of it is equal."""
    shared = [field for field in ("name", "uri") if one[field] and other[field]]
    return bool(shared) and all(one[field] == other[field] for field in shared)
