"""Prometheus' text format, version 0.0.4.

Decides how families, labels and numbers are written. Does not decide what is told. Called by the modules beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dagdeck_core.measures import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, object]
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Exposition:
    """Families in the order in which they were added. A family is added once, with all its samples."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._names: set[str] = set()

    def gauge(self, name: str, text: str, samples: float | Iterable[tuple[Labels, float | None]]) -> None:
        """What may rise and fall. A sample of None is left out."""
        self._family(name, "gauge", text, samples)

    def counter(self, name: str, text: str, samples: float | Iterable[tuple[Labels, float | None]]) -> None:
        """What only rises, until its process begins anew; its name ends with _total."""
        self._family(name, "counter", text, samples)

    def histogram(self, name: str, text: str, samples: Histogram | Iterable[tuple[Labels, Histogram]]) -> None:
        """Values by the bounds that they do not exceed."""
        self._head(name, "histogram", text)
        for labels, each in [({}, samples)] if isinstance(samples, Histogram) else samples:
            seen = 0
            for shown, number in zip((*map(_number, each.bounds), "+Inf"), each.counts, strict=True):
                seen += number
                self._sample(f"{name}_bucket", {**labels, "le": shown}, seen)
            self._sample(f"{name}_sum", labels, each.total)
            self._sample(f"{name}_count", labels, seen)

    def text(self) -> bytes:
        """The whole answer."""
        return "".join(self._lines).encode()

    def _family(self, name: str, kind: str, text: str, samples: float | Iterable[tuple[Labels, float | None]]) -> None:
        self._head(name, kind, text)
        for labels, value in [({}, samples)] if isinstance(samples, (int, float)) else samples:
            if value is not None:
                self._sample(name, labels, value)

    def _head(self, name: str, kind: str, text: str) -> None:
        if name in self._names or not _NAME.fullmatch(name):
            raise ValueError(f"the family {name!r} is told twice, or has no good name")
        self._names.add(name)
        self._lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")

    def _sample(self, name: str, labels: Labels, value: float) -> None:
        shown = ",".join(f'{key}="{str(each).translate(_ESCAPED)}"' for key, each in labels.items())
        self._lines.append(f"{name}{{{shown}}} {_number(value)}\n" if shown else f"{name} {_number(value)}\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
