"""Items in groups: all of them once, in order, in groups no larger than they need be."""

from hypothesis import given
from hypothesis import strategies as st

from artifactscan.storage.groups import in_groups


@given(st.lists(st.integers(0, 9)), st.integers(1, 20))
def test_each_item_is_in_one_group_in_order(sizes: list[int], enough: int) -> None:
    groups = list(in_groups(sizes, lambda size: size, enough))
    assert [size for group in groups for size in group] == sizes
    assert all(sum(group) >= enough > sum(group[:-1]) for group in groups[:-1])
    assert not groups or sum(groups[-1][:-1]) < enough
    assert all(groups)
