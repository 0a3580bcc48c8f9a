"""Frames chosen by given scores and under each limit, in whatever order they come."""

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactscan.annotation.selection import (
    SelectionLimits,
    choose,
    disagreement,
    join_scores,
    scores_of,
    uncertainty,
)
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.schemas import FRAMES


def frames(**videos: list[float]) -> pa.Table:
    """Frames at these times, seconds, of these videos; frame_index counts in 24ths of a second."""
    rows = [
        {"video_id": video, "uri": f"/{video}", "frame_index": round(24 * time), "pts_s": time}
        | dict.fromkeys(SCORE_COLUMNS, 0.5)
        for video, times in videos.items()
        for time in times
    ]
    return pa.Table.from_pylist(rows, FRAMES)


def chosen(table: pa.Table) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in table.to_pylist():
        found.setdefault(row["video_id"], []).append(row["pts_s"])
    return found


HALVES = [n / 2 for n in range(9)]


def test_uncertainty_is_binary_entropy_in_bits() -> None:
    scores = np.array([[0.5] * 4, [0.0, 1.0, 0.0, 1.0], [0.5, 0.0, 1.0, 0.0], [0.25] * 4])
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert uncertainty(scores) == pytest.approx([1.0, 0.0, 0.25, quarter])


def test_disagreement_of_checkpoints() -> None:
    agreed = np.full((3, 1, 4), 0.3)
    assert disagreement(agreed) == pytest.approx([0.0], abs=1e-12)
    assert disagreement(agreed, "jensen-shannon") == pytest.approx([0.0], abs=1e-12)
    opposed = np.array([[[0.0, 0.5, 0.5, 0.5]], [[1.0, 0.5, 0.5, 0.5]]])
    assert disagreement(opposed) == pytest.approx([0.25 / 4])
    assert disagreement(opposed, "jensen-shannon") == pytest.approx([1 / 4])
    # Variance sees the same distance twice; Jensen-Shannon the rarer event.
    near_zero, near_half = np.array([[[0.01] * 4], [[0.1] * 4]]), np.array([[[0.45] * 4], [[0.54] * 4]])
    assert disagreement(near_zero) == pytest.approx(disagreement(near_half))
    assert disagreement(near_zero, "jensen-shannon")[0] > 3 * disagreement(near_half, "jensen-shannon")[0]


def test_spread_out_takes_one_of_each_video_first() -> None:
    table = frames(a=HALVES, b=HALVES, c=[0.0])
    assert chosen(choose(table, SelectionLimits(count=3))) == {"a": [2.0], "b": [2.0], "c": [0.0]}
    assert chosen(choose(table, SelectionLimits(count=7))) == {"a": [1.0, 2.0, 3.5], "b": [1.0, 2.0, 3.5], "c": [0.0]}
    assert choose(table, SelectionLimits()).num_rows == table.num_rows
    # A frame too near to one chosen before does not cost its video a turn.
    near = frames(a=HALVES[:4], b=HALVES[:6])
    assert chosen(choose(near, SelectionLimits(count=4, min_gap_s=0.9))) == {"a": [0.0, 1.0], "b": [0.5, 1.5]}


def test_the_highest_values_first_within_the_limits() -> None:
    table = frames(a=HALVES, b=HALVES)
    values = np.array([*range(9, 18), *range(9)], dtype=float)  # later frames of a video, and video a, are worth more
    assert chosen(choose(table, SelectionLimits(count=3), values)) == {"a": [3.0, 3.5, 4.0]}
    assert chosen(choose(table, SelectionLimits(count=3, per_video=2), values)) == {"a": [3.5, 4.0], "b": [4.0]}
    assert chosen(choose(table, SelectionLimits(count=4, min_gap_s=1.5), values)) == {"a": [1.0, 2.5, 4.0], "b": [4.0]}


@settings(max_examples=50)
@given(
    times=st.dictionaries(st.sampled_from("abcd"), st.sets(st.integers(0, 40), max_size=12), min_size=1),
    limits=st.builds(
        SelectionLimits,
        count=st.none() | st.integers(1, 20),
        per_video=st.none() | st.integers(1, 5),
        min_gap_s=st.sampled_from([0.0, 0.5, 2.0]),
    ),
    by_value=st.booleans(),
    seed=st.integers(0, 5),
)
def test_limits_hold_and_order_does_not_matter(
    times: dict[str, set[int]], limits: SelectionLimits, by_value: bool, seed: int
) -> None:
    table = frames(**{video: [time / 4 for time in sorted(ticks)] for video, ticks in times.items()})
    random = np.random.default_rng(seed)
    values = random.integers(0, 3, table.num_rows).astype(float)  # with many ties
    picked = choose(table, limits, values if by_value else None)
    assert limits.count is None or picked.num_rows <= limits.count
    for moments in chosen(picked).values():
        assert limits.per_video is None or len(moments) <= limits.per_video
        assert all(later - earlier >= limits.min_gap_s for earlier, later in pairwise(moments))
    order = random.permutation(table.num_rows)
    again = choose(table.take(pa.array(order)), limits, values[order] if by_value else None)
    assert again.to_pylist() == picked.to_pylist()


def test_scores_of_several_checkpoints_are_joined_by_frame() -> None:
    first, second = frames(b=[0.0, 1.0], a=[0.0]), frames(a=[0.0], b=[1.0], c=[0.0])
    scores = pa.array([0.1, 0.2, 0.3], pa.float32())
    second = second.set_column(second.column_names.index("p_motion"), "p_motion", scores)
    table, stacked = join_scores([first, second])
    assert chosen(table) == {"a": [0.0], "b": [1.0]}
    assert stacked.shape == (2, 2, 4)
    assert stacked[0] == pytest.approx(scores_of(table))
    assert stacked[1, :, 2] == pytest.approx([0.1, 0.2])
