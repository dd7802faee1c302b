"""Which rank each item stands in: every edge leads to a later rank, and edges are short.

Decides ranks by the longest path from a start, then pulls items toward what they feed where that shortens edges.
An edge that closes a circle is turned round. Called by `layered`.
"""

from __future__ import annotations

from collections.abc import Sequence


def turn_back_edges(count: int, pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[bool]]:
    """An order in which edges lead forward, and for each edge whether it has to be turned round for that.

    Items keep their given order where edges allow it.
    """
    down: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in pairs:
        down[source].append(target)
        waiting[target] += 1
    ready = [item for item in range(count) if waiting[item] == 0]
    order: list[int] = []
    done = [False] * count
    next_left = 0
    cursor = 0
    while len(order) < count:
        if cursor == len(ready):
            # Only circles are left: the first item in the given order breaks one.
            while done[next_left] or waiting[next_left] == 0:
                next_left += 1
            waiting[next_left] = 0
            ready.append(next_left)
        item = ready[cursor]
        cursor += 1
        done[item] = True
        order.append(item)
        for target in down[item]:
            if waiting[target] > 0:
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)
    place = [0] * count
    for position, item in enumerate(order):
        place[item] = position
    return order, [place[source] > place[target] for source, target in pairs]


def rank_items(order: Sequence[int], up: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> list[int]:
    """The rank of each item, from 0; `order` leads forward, `up` and `down` are neighbours."""
    ranks = [0] * len(order)
    for item in order:
        if up[item]:
            ranks[item] = 1 + max(ranks[other] for other in up[item])
    # From the ends backwards: an item with more edges out than in stands directly before what it feeds.
    for item in reversed(order):
        if len(down[item]) > len(up[item]):
            ranks[item] = min(ranks[other] for other in down[item]) - 1
    least = min(ranks, default=0)
    return [rank - least for rank in ranks]
