"""Ids: ordered by time, never repeated, never going back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagdeck_core.ids import EPOCH_MS, MAX_NODES, IdSource, id_time_ms

NOW = EPOCH_MS + 70_000_000_000


def test_the_time_can_be_read_back() -> None:
    assert id_time_ms(IdSource(node=5).next(NOW)) == NOW


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=300), st.integers(0, MAX_NODES - 1))
def test_ids_rise_whatever_the_clock_does(steps: list[int], node: int) -> None:
    source, now, last = IdSource(node=node), NOW, 0
    for step in steps:
        now += step
        made = source.next(now)
        assert made > last
        assert made < 2**63
        last = made


def test_a_millisecond_that_is_used_up_borrows_the_next() -> None:
    source = IdSource(node=1)
    made = [source.next(NOW) for _ in range(5000)]
    assert len(set(made)) == 5000
    assert id_time_ms(made[-1]) == NOW + 4
    assert source.next(NOW + 1) > made[-1]


def test_nodes_never_make_the_same_id() -> None:
    sources = [IdSource(node=node) for node in (0, 1, MAX_NODES - 1)]
    made = [source.next(NOW) for source in sources for _ in range(1024)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("node", [-1, MAX_NODES])
def test_a_node_outside_its_bits(node: int) -> None:
    with pytest.raises(ValueError, match=str(node)):
        IdSource(node=node)
