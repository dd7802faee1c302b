"""Assets: names for data that tasks read and write, and conditions over them.

Decides their identity and how conditions are written. Does not schedule by them or record their
changes yet. Used as inlets, outlets and in `schedule=`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from dagdeck.exceptions import InvalidArguments, invalid

NAME_LENGTH = 1500


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


class Asset(BaseAsset):
    """One asset, told from others by name and URI; either may be left out and is then the other.

    Raises UserError for an empty or over-long name or URI.
    """

    asset_type: ClassVar[str] = "asset"

    def __init__(
        self,
        name: str | None = None,
        uri: str | None = None,
        *,
        group: str | None = None,
        extra: Mapping[str, Any] | None = None,
        watchers: Any = None,
        access_control: Any = None,
    ) -> None:
        if name is None and uri is None:
            raise invalid("an asset needs a name or a URI", field="Asset", error=InvalidArguments)
        self.name = _check_name(name if name is not None else uri, "name")
        self.uri = _check_name(uri if uri is not None else name, "uri")
        self.group = group or self.asset_type
        self.extra = dict(extra or {})
        self.watchers = list(watchers or [])
        self.access_control = access_control

    @classmethod
    def ref(cls, *, name: str | None = None, uri: str | None = None) -> AssetRef:
        """An asset that another DAG defines, by its name or its URI. Raises UserError unless one is given."""
        if (name is None) == (uri is None):
            raise invalid("Asset.ref takes either a name or a URI", field="Asset.ref", error=InvalidArguments)
        return AssetRef(name=name or "", uri=uri or "")

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {"asset": {"uri": self.uri, "name": self.name, "group": self.group}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asset) and (self.name, self.uri) == (other.name, other.uri)

    def __hash__(self) -> int:
        return hash((self.name, self.uri))

    def __repr__(self) -> str:
        return f"Asset(name={self.name!r}, uri={self.uri!r})"


class AssetRef(BaseAsset):
    """A reference to an asset by name or URI."""

    def __init__(self, *, name: str = "", uri: str = "") -> None:
        self.name = name
        self.uri = uri

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {"asset_ref": {"name": self.name} if self.name else {"uri": self.uri}}


class AssetAlias(BaseAsset):
    """A name that stands for assets which are known only when a task runs."""

    def __init__(self, name: str, *, group: str = "asset") -> None:
        self.name = _check_name(name, "name")
        self.group = group

    def as_expression(self) -> dict[str, Any]:
        """See BaseAsset."""
        return {"alias": {"name": self.name, "group": self.group}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetAlias) and other.name == self.name

    def __hash__(self) -> int:
        return hash(("alias", self.name))

    def __repr__(self) -> str:
        return f"AssetAlias({self.name!r})"


class _Condition(BaseAsset):
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


class AssetAny(_Condition):
    """Any one of several."""

    word = "any"


class AssetAll(_Condition):
    """All of several."""

    word = "all"


def _require(value: Any) -> BaseAsset:
    if not isinstance(value, BaseAsset):
        raise invalid("an asset condition is made of assets", value=value, error=InvalidArguments)
    return value


def _check_name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > NAME_LENGTH or not value.isascii():
        raise invalid(
            f"an asset's {field} is ASCII text of 1 to {NAME_LENGTH} characters", field=f"Asset {field}", value=value
        )
    return value
