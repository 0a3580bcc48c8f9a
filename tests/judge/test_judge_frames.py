"""Given frames judged in this process, by a real HTTP stub."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from extraction import write_extraction
from judge_server import JudgeServer, prose, status

from artifactscan.annotation.frame_index import read_index
from artifactscan.errors import CutOffError, UsageError
from artifactscan.judge.frames_to_judge import FrameToJudge, encode_shot
from artifactscan.judge.judge_frames import judge_frames, judge_index
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import FRAME_OUTCOMES, labels_of


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        server.grade(lambda question: {"motion": 3 if question.pts_s >= 1 else 0})
        yield server


def frames(count: int) -> Iterator[FrameToJudge]:
    for n in range(count):
        shot = encode_shot(np.full((32, 48, 3), n, np.uint8), pts_s=n / 2, image_side=64)
        yield FrameToJudge(file="a.mp4", frame_index=n, shot=shot)


def request(server: JudgeServer, **settings: float) -> JudgeRequest:
    options = {"attempts": 2, "first_wait_s": 0.01, "repeat_share": 0.0} | settings
    return JudgeRequest(endpoint=server.url, model="stub-vl", **options)  # type: ignore[arg-type]


def test_every_frame_has_an_outcome(server: JudgeServer) -> None:
    server.misbehave(prose("no"), when=lambda question: question.pts_s == 0.5)
    found = judge_frames(frames(4), request(server), requests_per_minute=60_000, concurrent=3)
    assert found.schema.equals(FRAME_OUTCOMES)
    assert found["outcome"].to_pylist() == ["judged", "failed", "judged", "judged"]
    labels = labels_of(found, "judge:stub-vl")
    assert labels["motion"].to_pylist() == [0, 1, 1]
    assert labels["annotator"].to_pylist() == ["judge:stub-vl"] * 3


def test_requests_keep_the_pace_and_are_no_more_at_once_than_allowed(server: JudgeServer) -> None:
    server.delay_s = 0.2
    judge_frames(frames(8), request(server), requests_per_minute=600, concurrent=2)
    arrived = sorted(question.at_s for question in server.questions)
    assert server.most_at_once == 2
    assert arrived[-1] - arrived[0] >= 7 * 0.1 - 0.05


def test_a_share_is_asked_twice(server: JudgeServer) -> None:
    found = judge_frames(frames(3), request(server, repeat_share=1.0), requests_per_minute=60_000)
    assert found["answers"].to_pylist() == [2, 2, 2]
    assert sorted(question.second for question in server.questions) == [False] * 3 + [True] * 3


def test_a_judge_that_contradicts_itself_is_not_believed(server: JudgeServer) -> None:
    server.grade(lambda question: {"object": 3 if question.second else 0})
    found = judge_frames(frames(2), request(server, repeat_share=1.0), requests_per_minute=60_000)
    assert found["outcome"].to_pylist() == ["contradicted"] * 2
    assert labels_of(found, "judge:stub-vl").num_rows == 0


def test_the_frames_of_an_index_are_judged_with_their_neighbours(server: JudgeServer, tmp_path: Path) -> None:
    path = write_extraction(tmp_path / "x", {"a.mp4": 4, "b.mp4": 1})
    (tmp_path / "x/frames/1-0.png").unlink()
    wanted = [("b.mp4", 0), ("a.mp4", 24), ("a.mp4", 0)]
    found = judge_index(read_index(str(path)), str(path.parent), wanted, request(server), requests_per_minute=60_000)
    rows = found.select(["file", "frame_index", "outcome", "severity_motion", "neighbours"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a.mp4", 0, "judged", 0.0, 1),
        ("a.mp4", 24, "judged", 3.0, 2),
        ("b.mp4", 0, "failed", None, 0),
    ]


def test_no_frames(server: JudgeServer) -> None:
    assert judge_frames(iter([]), request(server)).num_rows == 0


def test_a_judge_that_cannot_be_used(server: JudgeServer) -> None:
    server.models = ("other",)
    with pytest.raises(UsageError, match="model stub-vl is unknown"):
        judge_frames(frames(1), request(server))
    server.models = ("stub-vl",)
    server.misbehave(status(401, "expired"))
    with pytest.raises(CutOffError, match=r"answered 401 \(expired\): no key is set"):
        judge_frames(frames(3), request(server), requests_per_minute=60_000)
