"""Sampling by presentation time: the frames on screen at t = 0, 1/r, 2/r, …"""

from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.decode.sampling import first_sample, sampled_frames, samples_per_tick

MILLISECONDS = Fraction(1, 1000)


def test_a_frame_that_begins_at_a_sampling_time_is_on_screen_then() -> None:
    pts = [round(n * 90_000 / 24) for n in range(48)]
    assert sampled_frames(pts, 180_000, samples_per_tick(Fraction(1, 90_000), 2.0)) == [0, 12, 24, 36]


def test_a_frame_that_begins_just_after_a_sampling_time_is_not() -> None:
    # 24000/1001 frames per second: frame 12 begins at 0.5005 s.
    pts = [n * 1001 for n in range(48)]
    assert sampled_frames(pts, 48_048, samples_per_tick(Fraction(1, 24_000), 2.0)) == [0, 11, 23, 35, 47]


def test_a_frame_shown_for_seconds_is_sampled_once() -> None:
    assert sampled_frames([0, 100, 5000], 6000, samples_per_tick(MILLISECONDS, 2.0)) == [0, 1, 2]


def test_the_last_sampling_time_lies_before_the_end_of_the_last_frame() -> None:
    rate = samples_per_tick(MILLISECONDS, 2.0)
    assert sampled_frames([0, 400], 500, rate) == [0]
    assert sampled_frames([0, 400], 501, rate) == [0, 1]


def test_sampling_starts_at_the_first_frame() -> None:
    rate = samples_per_tick(MILLISECONDS, 2.0)
    assert sampled_frames([-250, 0, 250, 500], 750, rate) == sampled_frames([40, 290, 540, 790], 1040, rate)


def test_no_frames_give_no_samples() -> None:
    assert sampled_frames([], 0, Fraction(1)) == []


@pytest.mark.parametrize(("fps", "exact"), [(2.0, Fraction(2)), (29.97, Fraction(2997, 100)), (0.1, Fraction(1, 10))])
def test_a_rate_is_the_decimal_number_that_was_written(fps: float, exact: Fraction) -> None:
    assert samples_per_tick(Fraction(1), fps) == exact


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=60),
    st.integers(-5000, 5000),
    st.sampled_from([0.3, 1.0, 2.0, 3.7, 24.0, 29.97, 1000.0]),
)
def test_exactly_the_frames_on_screen_at_the_sampling_times(durations: list[int], start: int, fps: float) -> None:
    *pts, end = accumulate(durations, initial=start)
    rate = samples_per_tick(MILLISECONDS, fps)
    samples = range(first_sample(end - start, rate))
    assert len(samples) / fps * 1000 == pytest.approx(end - start, abs=1000 / fps + 1e-6)
    on_screen = {max(i for i, time in enumerate(pts) if (time - start) * rate <= n) for n in samples}
    assert sampled_frames(pts, end, rate) == sorted(on_screen)
