"""Which item the arrow keys lead to: along edges in their direction, else the nearest on that side.

Decides only that. Called by `area`.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from dagdeck_desktop.graph.scene import GraphScene


class Toward(Enum):
    """A side of an item, as x and y."""

    LEFT = (-1, 0)
    RIGHT = (1, 0)
    UP = (0, -1)
    DOWN = (0, 1)


_ASIDE = 2.5


def next_item(scene: GraphScene, item: int, toward: Toward) -> int | None:
    """The item to go to from an item; None at the border."""
    forward, back = (Toward.DOWN, Toward.UP) if scene.is_down else (Toward.RIGHT, Toward.LEFT)
    if toward in (forward, back):
        near = (scene.downstream if toward is forward else scene.upstream).get(item, ())
        if near:
            return _nearest(scene, item, np.array(near), toward, needs_side=False)
    return _nearest(scene, item, np.arange(len(scene.names)), toward, needs_side=True)


def first_item(scene: GraphScene) -> int | None:
    """The item nearest to the left upper corner."""
    if not len(scene.boxes):
        return None
    return int(np.argmin(scene.boxes[:, 0] + scene.boxes[:, 1]))


def last_item(scene: GraphScene) -> int | None:
    """The item nearest to the right lower corner."""
    if not len(scene.boxes):
        return None
    return int(np.argmax(scene.boxes[:, 0] + scene.boxes[:, 1]))


def _nearest(
    scene: GraphScene,
    item: int,
    candidates: np.ndarray[tuple[int], np.dtype[np.int64]],
    toward: Toward,
    *,
    needs_side: bool,
) -> int | None:
    centres = scene.boxes[:, :2] + scene.boxes[:, 2:] / 2.0
    way = centres[candidates] - centres[item]
    dx, dy = toward.value
    along = way[:, 0] * dx + way[:, 1] * dy
    aside = np.abs(way[:, 0] * dy) + np.abs(way[:, 1] * dx)
    distance = np.abs(along) + aside * _ASIDE
    if needs_side:
        distance = np.where(along > 1.0, distance, np.inf)
    best = int(np.argmin(distance))
    return int(candidates[best]) if np.isfinite(distance[best]) and candidates[best] != item else None
