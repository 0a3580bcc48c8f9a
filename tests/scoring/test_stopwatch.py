import time

import pytest

from artifactscan.scoring.stopwatch import Stopwatch


def test_a_stopwatch_adds_up_repeated_and_failed_stages() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("score"):
            time.sleep(0.02)
    with pytest.raises(ValueError, match="broken"), watch.stage("settle"):
        time.sleep(0.02)
        raise ValueError("broken")
    assert watch.seconds.keys() == {"score", "settle"}
    assert 0.038 <= watch.seconds["score"] < 10
    assert 0.019 <= watch.seconds["settle"] < 10
    assert all(seconds == round(seconds, 3) for seconds in watch.seconds.values())
