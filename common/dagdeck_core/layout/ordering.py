"""The order of items within each rank, with few crossings of edges.

Decides by sweeps of barycentres and by exchanges of neighbours, and keeps the best that was seen. Does not decide
distances (`placement`). Called by `layered`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

Neighbours = Sequence[Sequence[int]]

SMALL = 2_000
"""Up to this many items (passing edges included), exchanges follow every sweep; beyond, only the last."""
MOST_SWEEPS = 24
_PATIENCE = 4
_EXCHANGES = 2_500_000


class Ordering:
    """Layers of items that are improved in place. `up` and `down` are neighbours in the adjacent layers only."""

    def __init__(self, layers: list[list[int]], up: Neighbours, down: Neighbours) -> None:
        self.layers = layers
        self._up = up
        self._down = down
        self._position = [0] * len(up)
        # Work is bounded by counting it, for there is no clock here.
        self._exchanges_left = _EXCHANGES
        for layer in layers:
            self._number(layer)

    def improve(self) -> None:
        """Reorder the layers until nothing gets better, or the bounds are reached."""
        size = len(self._up)
        is_small = size <= SMALL
        sweeps = max(4, min(MOST_SWEEPS, 90_000 // max(size, 1)))
        best = crossings(self.layers, self._down, self._position)
        kept = [list(layer) for layer in self.layers]
        stale = 0
        for sweep in range(sweeps):
            if best == 0 or stale >= _PATIENCE:
                break
            self._sweep(downwards=sweep % 2 == 0, prefers_last=sweep % 4 >= 2)
            if is_small:
                self._exchange(rounds=2)
            now = crossings(self.layers, self._down, self._position)
            stale += 1
            if now < best:
                best, kept, stale = now, [list(layer) for layer in self.layers], 0
        self.layers[:] = kept
        for layer in self.layers:
            self._number(layer)
        if best:
            self._exchange(rounds=12 if is_small else 3)

    def _number(self, layer: list[int]) -> None:
        position = self._position
        for index, item in enumerate(layer):
            position[item] = index

    def _sweep(self, *, downwards: bool, prefers_last: bool) -> None:
        """Sort each layer by the middle of its neighbours in the layer before (downwards) or after."""
        neighbours = self._up if downwards else self._down
        position = self._position
        at = position.__getitem__
        layers = self.layers[1:] if downwards else self.layers[-2::-1]
        for layer in layers:
            if len(layer) < 2:
                continue
            keys = {}
            for item in layer:
                near = neighbours[item]
                keys[item] = sum(map(at, near)) / len(near) if near else float(position[item])
            if prefers_last:
                # Equal keys change sides: what two layers agree on may still be the worse of two.
                layer.reverse()
            layer.sort(key=keys.__getitem__)
            self._number(layer)

    def _exchange(self, rounds: int) -> None:
        """Let neighbours in a layer change places wherever that takes crossings away."""
        is_due = [len(layer) > 1 for layer in self.layers]
        for _ in range(rounds):
            if not any(is_due) or self._exchanges_left <= 0:
                return
            for rank, layer in enumerate(self.layers):
                if not is_due[rank]:
                    continue
                is_due[rank] = self._exchange_in(layer)
                if is_due[rank]:
                    for near in (rank - 1, rank + 1):
                        if 0 <= near < len(is_due):
                            is_due[near] = len(self.layers[near]) > 1

    def _exchange_in(self, layer: list[int]) -> bool:
        """One pass over a layer; True when something changed."""
        at = self._position.__getitem__
        before = [sorted(map(at, self._up[item])) for item in layer]
        after = [sorted(map(at, self._down[item])) for item in layer]
        changed = False
        for left in range(len(layer) - 1):
            right = left + 1
            gain = _gain(before[left], before[right]) + _gain(after[left], after[right])
            if gain > 0:
                layer[left], layer[right] = layer[right], layer[left]
                before[left], before[right] = before[right], before[left]
                after[left], after[right] = after[right], after[left]
                changed = True
        self._exchanges_left -= len(layer)
        if changed:
            self._number(layer)
        return changed


def crossings(layers: Sequence[Sequence[int]], down: Neighbours, position: Sequence[int]) -> int:
    """How many pairs of edges cross between neighbouring layers."""
    total = 0
    at = position.__getitem__
    for layer in layers[:-1]:
        ends: list[int] = []
        for item in layer:
            near = sorted(map(at, down[item]))
            for end in near:
                total += len(ends) - bisect_right(ends, end)
            for end in near:
                if not ends or end >= ends[-1]:
                    ends.append(end)
                else:
                    insort(ends, end)
    return total


def first_order(layer_count: int, ranks: Sequence[int], down: Neighbours, up: Neighbours) -> list[list[int]]:
    """Layers in the order in which a walk along the edges meets the items, so that what belongs together is near."""
    layers: list[list[int]] = [[] for _ in range(layer_count)]
    seen = [False] * len(ranks)
    for start in sorted(range(len(ranks)), key=lambda item: (bool(up[item]), ranks[item])):
        stack = [start]
        while stack:
            item = stack.pop()
            if seen[item]:
                continue
            seen[item] = True
            layers[ranks[item]].append(item)
            stack.extend(reversed(down[item]))
            stack.extend(other for other in reversed(up[item]) if not seen[other])
    return layers


def _gain(left: Sequence[int], right: Sequence[int]) -> int:
    """How many crossings vanish when `left` goes after `right`; both are ascending."""
    if not left or not right or left[-1] < right[0]:
        return -1 if left and right else 0
    return _crossing(left, right) - _crossing(right, left)


def _crossing(first: Sequence[int], second: Sequence[int]) -> int:
    """Crossings of the edges of two neighbours that stand in this order."""
    if len(first) == 1:
        return bisect_left(second, first[0])
    return sum(bisect_left(second, end) for end in first)
