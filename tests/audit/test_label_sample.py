"""The draw of clips and frames for labelling."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from arrived import arrived, video
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.audit.label_sample import FRAMES_PER_CLIP, draw_clips, draw_frames, sample_seed
from artifactscan.audit.night_tables import ARRIVALS, LABEL_SAMPLE
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.schemas import FRAMES

NIGHT = "20260101T030000Z-aaaaaaaa"


def frames_of(counts: dict[str, int]) -> pa.Table:
    """FRAMES: of each video so many frames, twelve apart, whose scores are a thousandth of their index."""
    rows = [
        {"video_id": name, "uri": f"/c/{name}.mp4", "frame_index": 12 * n, "pts_s": n / 2}
        | dict.fromkeys(SCORE_COLUMNS, 0.012 * n)
        for name, count in counts.items()
        for n in range(count)
    ]
    return pa.Table.from_pylist(rows, FRAMES)


def test_a_share_of_the_scored_clips_is_drawn_rounded_up_and_each_group_has_its_own() -> None:
    rows = [video(groups=["generator=a"])] * 300 + [video(groups=["generator=b"])] * 101
    arrivals = arrived(*rows, *[video(outcome="undecodable", frames=0)] * 50)
    clips = draw_clips(arrivals, 0.1, NIGHT)
    assert clips.num_rows == 41
    assert set(clips["clip_probability"].to_pylist()) == {41 / 401}
    assert sorted(clips["position"].to_pylist()) == list(range(41))
    groups = Counter(names[0] for names in clips["groups"].to_pylist())
    assert groups["generator=b"] in (10, 11)


def test_the_night_decides_whatever_the_order() -> None:
    arrivals = arrived(*[video()] * 100)
    backwards = arrivals.take(pa.array(range(99, -1, -1)))
    assert draw_clips(arrivals, 0.1, NIGHT).equals(draw_clips(backwards, 0.1, NIGHT))
    others = [draw_clips(arrivals, 0.1, f"{NIGHT}{n}")["video_id"].to_pylist() for n in range(5)]
    assert len({tuple(one) for one in others}) == 5
    assert sample_seed(NIGHT) != sample_seed(f"{NIGHT}0")


@pytest.mark.parametrize(("arrivals", "share"), [(ARRIVALS.empty_table(), 0.5), (arrived(video()), 0.0)])
def test_nothing_to_draw(arrivals: pa.Table, share: float) -> None:
    clips = draw_clips(arrivals, share, NIGHT)
    assert clips.num_rows == 0
    assert draw_frames(clips, FRAMES.empty_table(), NIGHT).equals(LABEL_SAMPLE.empty_table())


def test_every_clip_is_drawn_as_often_as_its_probability_says() -> None:
    arrivals = arrived(*[video(groups=[f"generator={n % 3}"]) for n in range(50)])
    drawn: Counter[str] = Counter()
    for n in range(400):
        clips = draw_clips(arrivals, 0.13, f"{NIGHT}{n}")
        drawn.update(clips["video_id"].to_pylist())
    probability = 7 / 50
    error = 4 * np.sqrt(probability * (1 - probability) / 400)
    assert [drawn[f"{n}"] / 400 for n in range(50)] == pytest.approx([probability] * 50, abs=error)


def test_the_frames_of_a_clip_are_spread_over_it() -> None:
    arrivals = arrived(video(frames=60), video(frames=2))
    sample = draw_frames(draw_clips(arrivals, 1.0, NIGHT), frames_of({"0": 60, "1": 2}), NIGHT)
    assert sample.schema == LABEL_SAMPLE
    rows = sample.to_pylist()
    long, short = ([row for row in rows if row["video_id"] == name] for name in "01")
    assert [row["frame_index"] for row in short] == [0, 12]
    assert {(row["clip_frames"], row["frame_probability"]) for row in short} == {(2, 1.0)}
    indices = [row["frame_index"] for row in long]
    assert np.diff(indices).tolist() == [120] * (FRAMES_PER_CLIP - 1)
    assert {(row["clip_frames"], row["frame_probability"], row["clip_probability"]) for row in long} == {(60, 0.1, 1)}
    assert {row["seed"] for row in rows} == {sample_seed(NIGHT)}
    assert all(row["p_motion"] == pytest.approx(row["frame_index"] / 1000) for row in rows)
    assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)


@given(st.integers(1, 40), st.integers(0, 1000))
def test_every_frame_of_a_clip_can_be_drawn_and_none_twice(count: int, night: int) -> None:
    arrivals = arrived(video(frames=count))
    sample = draw_frames(draw_clips(arrivals, 1.0, str(night)), frames_of({"0": count}), str(night))
    indices = sample["frame_index"].to_pylist()
    assert len(set(indices)) == len(indices) == min(count, FRAMES_PER_CLIP)
    assert set(indices) <= {12 * n for n in range(count)}
