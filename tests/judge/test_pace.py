"""The pace of requests, by a clock that the test moves."""

from artifactscan.judge.pace import SharedPace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_requests_are_spread_evenly_and_an_idle_time_gives_no_burst() -> None:
    clock = Clock()
    pace = SharedPace(120, clock)
    assert [pace.reserve() for _ in range(3)] == [0.0, 0.5, 1.0]
    clock.now_s += 0.25
    assert pace.reserve() == 1.25
    clock.now_s += 60
    assert [pace.reserve() for _ in range(2)] == [0.0, 0.5]


def test_a_pause_holds_all_that_come_after_it() -> None:
    clock = Clock()
    pace = SharedPace(60, clock)
    pace.pause(7)
    assert [pace.reserve() for _ in range(2)] == [7.0, 8.0]
    pace.pause(1)
    assert pace.reserve() == 9.0, "a shorter pause shortens nothing"


def test_failures_are_counted_until_a_frame_is_judged() -> None:
    pace = SharedPace(60)
    assert [pace.record(judged) for judged in (False, False, True, False)] == [1, 2, 0, 1]
