"""One frame graded by a real HTTP stub: what is retried, what is believed, and when the judge counts as unusable."""

from collections.abc import Iterator
from typing import Any

import pytest
from judge_server import JudgeServer, Reply, answer_text, cut, hang, prose, raw, status

from artifactscan.judge.endpoint import JudgeUnusableError
from artifactscan.judge.frames_to_judge import FrameToJudge, Shot
from artifactscan.judge.grader import Grader
from artifactscan.judge.judge_request import JudgeRequest
from artifactscan.judge.judgement_tables import ANSWERS
from artifactscan.judge.pace import SharedPace

FRAME = FrameToJudge(
    file="a.mp4", frame_index=12, shot=Shot(pts_s=0.5, jpeg=b"now"), neighbours=(Shot(pts_s=0.0, jpeg=b"before"),)
)
MARKUP = f"```json\n{answer_text({'boundary': 3})}\n```"


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        server.grade(lambda question: {"texture": 2})
        yield server


def grader(server: JudgeServer, **settings: Any) -> Grader:
    request = {"endpoint": server.url, "model": "stub-vl", "timeout_s": 1.0, "first_wait_s": 0.01, "attempts": 3}
    return Grader(JudgeRequest(**(request | settings)), key=None, pace=SharedPace(60_000))


def test_an_answer_becomes_a_row(server: JudgeServer) -> None:
    row = grader(server).grade(FRAME, ask=1)
    assert list(row) == ANSWERS.names
    assert row.pop("seconds") > 0
    assert row == {
        "file": "a.mp4",
        "frame_index": 12,
        "ask": 1,
        "outcome": "judged",
        "reason": None,
        "severity_boundary": 0,
        "severity_texture": 2,
        "severity_motion": 0,
        "severity_object": 0,
        "note": "seen at 0.50 s",
        "neighbours": 1,
        "model": "stub-vl-2026",
        "requests": 1,
        "prompt_tokens": 1000,
        "completion_tokens": 50,
    }
    assert [question.second for question in server.questions] == [True]


@pytest.mark.parametrize(
    "reply",
    [
        prose("It looks fine to me."),
        prose(MARKUP),
        prose(answer_text({"motion": 7})),
        prose(None),
        cut,
        hang(),
        status(503),
        raw(b"<html>"),
    ],
)
def test_a_fault_that_passes_costs_another_request(server: JudgeServer, reply: Reply) -> None:
    server.misbehave(reply, times=2)
    row = grader(server).grade(FRAME)
    assert (row["outcome"], row["severity_texture"], row["requests"]) == ("judged", 2, 3)


def test_after_an_answer_that_is_not_believed_the_judge_is_told_what_was_wrong(server: JudgeServer) -> None:
    server.misbehave(prose(answer_text({"motion": 7})), times=1)
    grader(server).grade(FRAME)
    first, second = (question.texts[-1] for question in server.questions)
    assert "could not be used" not in first
    assert "Your last answer could not be used (motion is 7, not a whole number from 0 to 3)." in second


@pytest.mark.parametrize(
    ("reply", "outcome", "requests", "reason"),
    [
        (
            prose("It looks fine."),
            "failed",
            3,
            "its answer is not believed: it is not a JSON object but 'It looks fine.'",
        ),
        (prose(MARKUP), "failed", 3, "its answer is not believed: it is not a JSON object but '```json"),
        (hang(), "failed", 3, "did not answer within 0.3 s"),
        (status(500, "no memory"), "failed", 3, "answered 500 (no memory)"),
        (status(422, "too many images"), "failed", 1, "answered 422 (too many images)"),
        (prose(None, refusal="I would rather not"), "refused", 1, "I would rather not"),
    ],
)
def test_a_fault_that_stays_is_an_outcome_with_its_reason(
    server: JudgeServer, reply: Reply, outcome: str, requests: int, reason: str
) -> None:
    server.misbehave(reply)
    row = grader(server, timeout_s=0.3).grade(FRAME)
    assert (row["outcome"], row["requests"], row["severity_texture"]) == (outcome, requests, None)
    assert reason in row["reason"]
    assert len(server.questions) == requests


def test_all_requests_wait_as_long_as_the_endpoint_asks_for(server: JudgeServer) -> None:
    server.misbehave(status(429, retry_after="1"), times=1)
    judge = grader(server)
    judge.grade(FRAME)
    first, second = (question.at_s for question in server.questions)
    assert 0.95 < second - first < 5


def test_tokens_of_answers_that_are_not_believed_count_too(server: JudgeServer) -> None:
    server.misbehave(prose("no"), times=2)
    row = grader(server).grade(FRAME)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (3000, 150)


def test_a_refused_key_ends_it_at_once(server: JudgeServer) -> None:
    server.key = "secret"
    with pytest.raises(JudgeUnusableError, match="no key is set"):
        grader(server).grade(FRAME)


def test_twenty_frames_in_a_row_without_a_judgement_end_it(server: JudgeServer) -> None:
    server.misbehave(status(400, "unknown field response_format"), times=19)
    judge = grader(server)
    assert {judge.grade(FRAME)["outcome"] for _ in range(19)} == {"failed"}
    assert judge.grade(FRAME)["outcome"] == "judged"
    server.misbehave(status(400, "unknown field response_format"))
    assert {judge.grade(FRAME)["outcome"] for _ in range(19)} == {"failed"}
    with pytest.raises(JudgeUnusableError, match=r"stub-vl judged none of the last 20 frames, .*unknown field"):
        judge.grade(FRAME)


def test_the_extra_body_replaces_and_removes_keys(server: JudgeServer) -> None:
    extra = {"temperature": None, "max_tokens": 9, "seed": 3}
    grader(server, extra_body=extra).grade(FRAME)
    body = server.questions[0].body
    assert "temperature" not in body
    assert (body["max_tokens"], body["seed"], body["model"]) == (9, 3, "stub-vl")
