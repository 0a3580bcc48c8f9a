"""Context around segments, with frames of one pixel whose red value is their number."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.decode.segment import Segment, add_context
from artifactscan.decode.slices import Slice


def segment(numbers: list[int], *, index: int = 0, attempt: str = "a", before: int = 0, after: int = 0) -> Segment:
    own = numbers[before : len(numbers) - after]
    return Segment(
        attempt=attempt,
        index=index,
        frame_index=own,
        pts_s=[number / 2 for number in own],
        height=1,
        width=1,
        pixels=b"".join(bytes([number, 0, 0]) for number in numbers),
        result=None,
        slice=Slice(),
        context_before=before,
        context_after=after,
    )


def frames(found: Segment) -> tuple[list[int], list[int], list[int]]:
    """Context before, own frames and context after."""
    numbers = list(found.pixels[::3])
    end = len(numbers) - found.context_after
    return numbers[: found.context_before], numbers[found.context_before : end], numbers[end:]


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4))
def test_each_segment_gets_the_frames_around_it(count: int, size: int, wanted: int) -> None:
    size = max(size, wanted)
    numbers = list(range(count))
    cut = [segment(numbers[start : start + size], index=start // size) for start in range(0, count, size)]
    for original, found in zip(cut, add_context(iter(cut), wanted), strict=True):
        first, last = original.frame_index[0], original.frame_index[-1]
        before, own, after = frames(found)
        assert own == found.frame_index == original.frame_index
        assert before == numbers[max(0, first - wanted) : first]
        assert after == numbers[last + 1 : last + 1 + wanted]


def test_context_of_other_slices_counts_and_is_cut_to_what_is_wanted() -> None:
    cut = [segment([3, 4, 5, 6], before=2), segment([7, 8, 9], index=1, after=2)]
    found = [frames(one) for one in add_context(iter(cut), 2)]
    assert found == [([3, 4], [5, 6], [7, 8]), ([5, 6], [7], [8, 9])]
    assert frames(next(add_context(iter(cut[:1]), 1))) == ([4], [5, 6], [])


def test_a_segment_of_context_only_keeps_its_place_without_pixels() -> None:
    cut = [segment([5, 6]), segment([7, 8], index=1, after=2)]
    first, last = add_context(iter(cut), 2)
    assert frames(first) == ([], [5, 6], [7, 8])
    assert (last.index, last.pixels, last.context_after) == (1, b"", 0)


def test_another_attempt_begins_without_context() -> None:
    cut = [segment([0, 1]), segment([0, 1], attempt="b"), segment([2], attempt="b", index=1)]
    assert [frames(one) for one in add_context(iter(cut), 1)] == [
        ([], [0, 1], []),
        ([], [0, 1], [2]),
        ([1], [2], []),
    ]


@pytest.mark.parametrize("wanted", [0, 2])
def test_a_failure_without_frames_passes(wanted: int) -> None:
    failure = replace(segment([]), height=0, width=0)
    assert list(add_context(iter([segment([1]), failure]), wanted))[1] == failure
