"""Assets: names for data that tasks read and write, and conditions over them.

Decides their identity and how conditions are written. Does not schedule by them or record their changes (the
scheduler does). Used as inlets, outlets and in `schedule=`; `@asset` is in `dagdeck.asset_definitions`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dagdeck.asset_uris import normalized_uri, uri_of_provider
from dagdeck.exceptions import InvalidArguments, invalid

NAME_LENGTH = 250
URI_LENGTH = 500
_RESERVED_NAMES = ("self", "context")


class BaseAsset(ABC):
    """Something that may stand in an asset condition."""

    def __or__(self, other: BaseAsset) -> BaseAsset:
        """Either of both."""
        return AssetAny(self, _require(other))

    def __and__(self, other: BaseAsset) -> BaseAsset:
        """Both."""
        return AssetAll(self, _require(other))

    @abstractmethod
    def as_expression(self) -> dict[str, Any]:
        """The condition as JSON, in the form that the REST API shows."""

    def iter_assets(self) -> Iterator[BaseAsset]:
        """The assets, aliases and references that the condition names."""
        yield self


@dataclass(frozen=True, kw_only=True)
class AssetAccessControl:
    """Which teams may produce or consume an asset; kept and shown, since a cluster has no teams of its own yet."""

    producer_teams: list[str] = field(default_factory=list)
    consumer_teams: list[str] | None = None
    allow_global: bool = True

    def __post_init__(self) -> None:
        for name in ("producer_teams", "consumer_teams"):
            for team in getattr(self, name) or ():
                if not isinstance(team, str) or not team.strip():
                    raise invalid(
                        "a team is named by non-empty text", subject="AssetAccessControl", field=name, value=team
                    )
        if not isinstance(self.allow_global, bool):
            raise invalid(
                "this is True or False", subject="AssetAccessControl", field="allow_global", value=self.allow_global
            )


@dataclass(frozen=True)
class AssetUniqueKey:
    """What tells an asset from others."""

    name: str
    uri: str

    @classmethod
    def from_asset(cls, asset: Asset) -> AssetUniqueKey:
        """Of an asset."""
        return cls(name=asset.name, uri=asset.uri)

    def to_asset(self) -> Asset:
        """An asset with these."""
        return Asset(name=self.name, uri=self.uri)


class AssetWatcher:
    """A trigger that watches something outside and makes an event of its asset whenever it fires."""

    def __init__(self, name: str, trigger: Any) -> None:
        if not callable(getattr(trigger, "serialize", None)):
            raise invalid(
                "an asset is watched by an event trigger",
                subject=f"AssetWatcher {name!r}",
                field="trigger",
                value=trigger,
                remedy="Give an instance of a class derived from BaseEventTrigger",
            )
        self.name = name
        self.trigger = trigger

    def __repr__(self) -> str:
        return f"AssetWatcher(name={self.name!r}, trigger={self.trigger!r})"


class Asset(BaseAsset, os.PathLike[str]):
    """One asset, told from others by name and URI; either may be left out and is then the other.

    Raises UserError, which is also a ValueError or TypeError, for an empty or over-long name or URI.
    """

    asset_type: ClassVar[str] = "asset"

    def __init__(
        self,
        name: str | None = None,
        uri: Any = None,
        *,
        group: str | None = None,
        extra: Mapping[str, Any] | None = None,
        watchers: Sequence[AssetWatcher] | None = None,
        access_control: AssetAccessControl | None = None,
    ) -> None:
        if name is None and uri is None:
            raise invalid("an asset needs a name or a URI", field="Asset", error=InvalidArguments)
        self.name = _check_name(name if name is not None else str(uri))
        self.uri = normalized_uri(_check_text(str(uri) if uri is not None else name, "uri", URI_LENGTH))
        self.group = _check_text(group or self.asset_type, "group", NAME_LENGTH)
        self.extra = dict(extra or {})
        self.watchers = list(watchers or [])
        self.access_control = access_control if access_control is not None else AssetAccessControl()

    @staticmethod
    def ref(*, name: str = "", uri: str = "") -> AssetRef:
        """An asset that another DAG defines, by its name or its URI. Raises UserError unless one is given."""
        if bool(name) == bool(uri):
            raise invalid("Asset.ref takes either a name or a URI", field="Asset.ref", error=InvalidArguments)
        return AssetNameRef(name) if name else AssetUriRef(uri)

    @property
    def normalized_uri(self) -> str | None:
        """The URI as the provider package of its scheme writes it; None where none knows the scheme or the URI."""
        return uri_of_provider(self.uri)

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {"asset": {"uri": self.uri, "name": self.name, "group": self.group}}

    def __fspath__(self) -> str:
        return self.uri

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asset) and (self.name, self.uri) == (other.name, other.uri)

    def __hash__(self) -> int:
        return hash((self.name, self.uri))

    def __repr__(self) -> str:
        return f"Asset(name={self.name!r}, uri={self.uri!r})"


class Dataset(Asset):
    """An asset of the group `dataset`."""

    asset_type = "dataset"


class Model(Asset):
    """An asset of the group `model`."""

    asset_type = "model"


class AssetRef(BaseAsset):
    """A reference to an asset by name or URI; `Asset.ref` makes one."""

    def __init__(self, *, name: str = "", uri: str = "") -> None:
        self.name = name
        self.uri = normalized_uri(uri) if uri else ""

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {"asset_ref": {"name": self.name} if self.name else {"uri": self.uri}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetRef) and (self.name, self.uri) == (other.name, other.uri)

    def __hash__(self) -> int:
        return hash(("ref", self.name, self.uri))

    def __repr__(self) -> str:
        return f"Asset.ref(name={self.name!r})" if self.name else f"Asset.ref(uri={self.uri!r})"


class AssetNameRef(AssetRef):
    """A reference by name."""

    def __init__(self, name: str) -> None:
        super().__init__(name=_check_name(name))


class AssetUriRef(AssetRef):
    """A reference by URI."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri=_check_text(uri, "uri", URI_LENGTH))


class AssetAlias(BaseAsset):
    """A name that stands for assets which are known only when a task runs."""

    def __init__(self, name: str, *, group: str = "asset") -> None:
        self.name = _check_text(name, "name", NAME_LENGTH)
        self.group = _check_text(group, "group", NAME_LENGTH)

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {"alias": {"name": self.name, "group": self.group}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetAlias) and other.name == self.name

    def __hash__(self) -> int:
        return hash(("alias", self.name))

    def __repr__(self) -> str:
        return f"AssetAlias({self.name!r})"


class AssetCondition(BaseAsset):
    """Several assets joined by one word."""

    word: ClassVar[str]

    def __init__(self, *objects: BaseAsset) -> None:
        # a & b & c is one condition of three, not one of two whose first is one of two.
        self.objects: list[BaseAsset] = []
        for item in objects:
            self.objects.extend(item.objects if type(item) is type(self) else [_require(item)])

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {self.word: [item.as_expression() for item in self.objects]}

    def iter_assets(self) -> Iterator[BaseAsset]:
        """See BaseAsset."""
        for item in self.objects:
            yield from item.iter_assets()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetCondition) and (self.word, self.objects) == (other.word, other.objects)

    def __hash__(self) -> int:
        return hash((self.word, tuple(self.objects)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.objects))})"


class AssetAny(AssetCondition):
    """Any one of several."""

    word = "any"


class AssetAll(AssetCondition):
    """All of several."""

    word = "all"


@dataclass(kw_only=False)
class Metadata:
    """What a generator task yields to add `extra` to the event of an asset, through an alias if one is given."""

    asset: Asset | AssetRef
    extra: dict[str, Any] = field(default_factory=dict)
    alias: AssetAlias | None = None


def _require(value: Any) -> BaseAsset:
    if not isinstance(value, BaseAsset):
        raise invalid("an asset condition is made of assets", value=value, error=InvalidArguments)
    return value


def _check_name(value: Any) -> str:
    name = _check_text(value, "name", NAME_LENGTH)
    if name in _RESERVED_NAMES:
        raise invalid(
            f"an asset cannot be named {name!r}", field="Asset name", value=name, remedy="It means something in @asset"
        )
    return name


def _check_text(value: Any, field: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > limit:
        raise invalid(f"an asset's {field} is text of 1 to {limit} characters", field=f"Asset {field}", value=value)
    return value
