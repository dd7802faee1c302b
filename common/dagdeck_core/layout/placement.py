"""Where items stand across their rank, once their order is decided.

Decides by isotonic regression: each item is pulled to the middle of its neighbours, and those that would overlap move
together to where their pulls balance. Passing edges pull hardest, so that long edges are straight. Called by `layered`.
"""

from __future__ import annotations

from collections.abc import Sequence

_ROUNDS = 4
_KINK = 40.0


def place_across(
    layers: Sequence[Sequence[int]],
    pulls: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    leans: tuple[Sequence[float], Sequence[float]],
    weights: Sequence[float],
    room: Sequence[Sequence[float]],
) -> list[float]:
    """The centre of each item across the ranks.

    `pulls` are the neighbours before and after, `leans` how far from their middle an item wants to stand, `weights`
    how much its wish counts, and `room[rank][i]` the least distance of the centres of a rank's items i and i + 1.
    """
    centres = [0.0] * len(weights)
    offsets: list[list[float]] = []
    for layer, distances in zip(layers, room, strict=True):
        total = 0.0
        row = [total]
        for distance in distances:
            total += distance
            row.append(total)
        offsets.append(row)
        for item, offset in zip(layer, row, strict=False):
            centres[item] = offset - total / 2.0
    ranks = range(len(layers))
    for _ in range(_ROUNDS):
        for side, order in ((0, ranks), (1, reversed(ranks))):
            for rank in order:
                _settle(layers[rank], (pulls[side],), (leans[side],), weights, offsets[rank], centres)
    for rank in (*ranks, *reversed(ranks)):
        _settle(layers[rank], pulls, leans, weights, offsets[rank], centres)
    for side, order in ((0, ranks), (1, reversed(ranks))):
        for rank in order:
            _straighten(layers[rank], pulls, leans[side], side, room[rank], centres)
    return centres


def _straighten(
    layer: Sequence[int],
    pulls: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    lean: Sequence[float],
    side: int,
    distances: Sequence[float],
    centres: list[float],
) -> None:
    """Take small kinks away: an item with one neighbour on this side goes level with it, as far as there is room.

    Backwards (side 1) only items without a neighbour before move, so that what is straight stays so.
    """
    for index, item in enumerate(layer):
        near = pulls[side][item]
        if len(near) != 1 or (side == 1 and pulls[0][item]):
            continue
        wish = centres[near[0]] + lean[item]
        if index:
            wish = max(wish, centres[layer[index - 1]] + distances[index - 1])
        if index + 1 < len(layer):
            wish = min(wish, centres[layer[index + 1]] - distances[index])
        if abs(wish - centres[item]) <= _KINK:
            centres[item] = wish


def _settle(
    layer: Sequence[int],
    pulls: Sequence[Sequence[Sequence[int]]],
    leans: Sequence[Sequence[float]],
    weights: Sequence[float],
    offsets: Sequence[float],
    centres: list[float],
) -> None:
    """Move one rank's items to where they are pulled, in their order and with their distances."""
    at = centres.__getitem__
    wishes: list[float] = []
    for index, item in enumerate(layer):
        wish, sides = 0.0, 0
        for pull, lean in zip(pulls, leans, strict=True):
            near = pull[item]
            if near:
                wish += sum(map(at, near)) / len(near) + lean[item]
                sides += 1
        wishes.append((wish / sides if sides else centres[item]) - offsets[index])
    for item, offset, value in zip(layer, offsets, isotonic(wishes, [weights[item] for item in layer]), strict=True):
        centres[item] = value + offset


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The never-falling sequence that is nearest to `values` by weighted squares."""
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(values, weights, strict=True):
        mean, mass, count = value, weight, 1
        while means and means[-1] > mean:
            before = masses.pop()
            mean = (means.pop() * before + mean * mass) / (before + mass)
            mass += before
            count += counts.pop()
        means.append(mean)
        masses.append(mass)
        counts.append(count)
    result: list[float] = []
    for mean, count in zip(means, counts, strict=True):
        result.extend([mean] * count)
    return result
