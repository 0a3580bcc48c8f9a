"""Where the seconds from submitting a job to its first frame went."""

import json

import pytest

from benchmarks.submit import phases

LOG = [
    "listed 3",
    json.dumps({"time": "1970-01-01T00:01:50+00:00", "frames": 0, "elapsed_s": 2.0}),
    json.dumps({"time": "1970-01-01T00:01:58+00:00", "frames": 12, "elapsed_s": 9.5}),
    json.dumps({"time": "1970-01-01T00:03:00+00:00", "frames": 90, "elapsed_s": 71.5}),
]


def test_the_parts_of_the_way_make_the_whole() -> None:
    told = phases(100.0, 101.5, 103.0, LOG)
    assert told == {"submit_s": 1.5, "agent_s": 1.5, "driver_s": 5.5, "graph_s": 9.5, "in_all_s": 18.0}


def test_a_job_may_start_before_its_submission_returns() -> None:
    assert phases(100.0, 104.0, 103.0, LOG)["agent_s"] == 0.0


def test_a_log_without_a_frame_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="tells of no frame"):
        phases(100.0, 101.5, 103.0, LOG[:2])
