"""What is made of the samples of a simulated run."""

from typing import Any

import pytest

from benchmarks.course import began_to_work, figures_of_memory, figures_of_tail, moment, steady


def course(*samples: tuple[float, ...]) -> dict[str, Any]:
    """Of (at, decoded, actors, rss); classifying and writing keep up with decoding, ten frames a video."""
    names = ("at", "decoded", "actors", "rss_bytes")
    rows = [dict(zip(names, sample, strict=True)) for sample in samples]
    for row in rows:
        row |= {"frames": row["decoded"], "videos": row["decoded"] // 10, "shared_bytes": 0}
    return {"began": 0.0, "dealt": 1.0, "ended": rows[-1]["at"], "samples": rows}


def test_a_moment_lies_between_two_samples() -> None:
    samples = course((10, 0, 0, 0), (12, 40, 0, 0), (16, 80, 0, 0))["samples"]
    assert moment(samples, "decoded", 40) == 12
    assert moment(samples, "decoded", 50) == 13
    with pytest.raises(ValueError, match="decoded never reached 81"):
        moment(samples, "decoded", 81)


def test_the_steady_rate_leaves_out_the_time_before_all_actors_are_there_and_the_end() -> None:
    """Slow with one actor, 20 a second with two, slow at the end."""
    rows = [(0, 0, 0, 0), (10, 50, 1, 0), (20, 100, 2, 0), (30, 300, 2, 0), (40, 500, 2, 0), (60, 600, 2, 0)]
    begin, end, rate = steady(course(*rows), actors=2)
    assert (begin, end, rate) == (21, 39, pytest.approx(20))


def test_actors_that_come_too_late_leave_no_steady_rate() -> None:
    with pytest.raises(ValueError, match="longer to start"):
        steady(course((0, 0, 0, 0), (10, 90, 1, 0), (20, 100, 2, 0)), actors=2)


def test_the_tail_is_of_the_work_and_starting_up_is_not_in_it() -> None:
    rows = [(100, 0, 0, 0), (100.01, 1, 1, 0), (103.01, 300, 2, 0), (109.01, 950, 2, 0), (110.01, 1000, 2, 0)]
    figures = figures_of_tail(course(*rows), ideal_s=8.0)
    assert figures == {"seconds": 10.0, "tail_s": 1.0, "tail_share": 0.1, "times_ideal": 1.25}


def test_memory_is_counted_from_a_fifth_to_the_end_of_the_graph() -> None:
    told = course((5, 0, 0, 50), (6, 1000, 1, 80), (7, 2000, 1, 100), (8, 6000, 1, 108), (9, 10_000, 1, 104))
    told["samples"].append({**told["samples"][-1], "at": 12, "rss_bytes": 300})
    figures = figures_of_memory(told)
    assert (figures["growth"], figures["rss_at_fifth_bytes"], figures["rss_peak_bytes"]) == (0.08, 100, 108)
    assert figures["rss_peak_settling_bytes"] == 300
    assert (figures["dealt_after_s"], figures["first_video_after_s"]) == (1.0, 5.0)
    assert began_to_work(told, "videos") == pytest.approx(5.01)
