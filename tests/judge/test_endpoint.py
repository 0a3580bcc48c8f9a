"""One request to a real HTTP server on loopback, and what each kind of reply means."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from judge_server import MODEL, JudgeServer, Reply, cut, drip, hang, prose, raw, status

from artifactscan.errors import UsageError
from artifactscan.judge.endpoint import (
    ChatEndpoint,
    JudgeUnusableError,
    RefusedError,
    RetryableError,
    UnansweredError,
    check_endpoint_url,
    read_key,
)
from artifactscan.judge.frames_to_judge import FrameToJudge, Shot
from artifactscan.judge.judge_request import JudgeRequest

KEY = "sk-secret-0123456789"
FRAME = FrameToJudge(file="a.mp4", frame_index=0, shot=Shot(pts_s=0.0, jpeg=b"jpeg"))


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with JudgeServer() as server:
        yield server


def ask(server: JudgeServer, *, key: str | None = None, timeout_s: float = 5.0, model: str = MODEL):
    request = JudgeRequest(endpoint=server.url, model=model)
    return ChatEndpoint(server.url, key=key, timeout_s=timeout_s).ask(request.body(FRAME))


def test_an_answer_with_its_model_and_tokens(server: JudgeServer) -> None:
    reply = ask(server, key=KEY)
    assert reply.text.startswith('{"reason": "seen at 0.00 s", "boundary": 0')
    assert (reply.model, reply.prompt_tokens, reply.completion_tokens) == (f"{MODEL}-2026", 1000, 50)
    [question] = server.questions
    assert question.authorization == f"Bearer {KEY}"
    assert (question.body["model"], question.body["temperature"]) == (MODEL, 0)
    assert question.body["response_format"]["json_schema"]["strict"] is True
    assert question.images == [b"jpeg"]


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (hang(), RetryableError, "did not answer within 0.5 s"),
        (drip(), RetryableError, "did not answer within 0.5 s"),
        (cut, RetryableError, "endpoint http"),
        (raw(b"<html>Bad gateway</html>"), RetryableError, "that is no chat completion ('<html>Bad gateway</html>')"),
        (raw(b'{"choices": []}'), RetryableError, "that is no chat completion"),
        (raw(b"[" * 100_000), RetryableError, "that is no chat completion"),
        (raw(b"x" * (3 << 20)), UnansweredError, "answered with more than 1 MiB"),
        (raw(b"<html>gone</html>", 502), RetryableError, "answered 502 (<html>gone</html>)"),
        (status(500, "out of memory"), RetryableError, "answered 500 (out of memory)"),
        (status(400, "image too large"), UnansweredError, "answered 400 (image too large)"),
        (status(400, "bad\x1b[31m"), UnansweredError, "answered 400 (bad\\x1b[31m)"),
        (status(400, "flagged", code="content_filter"), RefusedError, "flagged"),
        (prose(None, refusal="I cannot look at this"), RefusedError, "I cannot look at this"),
        (status(403, "no access"), JudgeUnusableError, "answered 403 (no access): no key is set"),
        (status(402, "pay"), JudgeUnusableError, "the quota is used up"),
        (status(429, "pay", code="insufficient_quota"), JudgeUnusableError, "the quota is used up"),
        (status(429, retry_after="3600"), JudgeUnusableError, "it asks to wait 3,600 s"),
        (raw(b"", 308, Location="http://127.0.0.1:1/v2"), JudgeUnusableError, "answered 308 (nothing)"),
    ],
)
def test_what_is_no_answer(server: JudgeServer, reply: Reply, error: type[Exception], said: str) -> None:
    server.misbehave(reply)
    started = time.monotonic()
    with pytest.raises(error) as raised:
        ask(server, timeout_s=0.5)
    assert said in str(raised.value)
    assert time.monotonic() - started < 5


def test_content_of_another_type_is_an_empty_answer_and_tokens_that_are_none_are_not_counted(
    server: JudgeServer,
) -> None:
    server.misbehave(prose([{"type": "text", "text": "{}"}]), times=1)
    assert ask(server).text == ""
    lies = b'{"choices": [{"message": {"content": "x"}}], "model": 7, "usage": {"prompt_tokens": -5}}'
    server.misbehave(raw(lies), times=1)
    reply = ask(server)
    assert (reply.text, reply.model, reply.prompt_tokens, reply.completion_tokens) == ("x", None, 0, 0)


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("in five minutes", 200, 300),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(server: JudgeServer, header: str, low: float, high: float) -> None:
    if header == "in five minutes":  # of the test, not of its collection
        header = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    server.misbehave(status(429, retry_after=header))
    with pytest.raises(RetryableError) as raised:
        ask(server)
    assert raised.value.after_s is not None and low <= raised.value.after_s <= high


@pytest.mark.parametrize("header", ["soon", "-5", "", None])
def test_a_retry_after_that_is_neither_counts_as_none(server: JudgeServer, header: str | None) -> None:
    server.misbehave(status(503, retry_after=header))
    with pytest.raises(RetryableError) as raised:
        ask(server)
    assert raised.value.after_s is None


def test_a_key_that_is_refused_is_in_no_message(server: JudgeServer) -> None:
    server.key = "another"
    with pytest.raises(
        JudgeUnusableError, match=r"Incorrect API key provided: Bearer …\): it does not accept the key"
    ) as raised:
        ask(server, key=KEY)
    assert KEY not in str(raised.value)
    with pytest.raises(UsageError, match="it does not accept the key") as refused:
        ChatEndpoint(server.url, key=KEY, timeout_s=5).check_model(MODEL)
    assert KEY not in str(refused.value)


def test_a_key_that_an_answer_repeats_is_hidden(server: JudgeServer) -> None:
    server.misbehave(prose(f"your key is {KEY}"))
    assert ask(server, key=KEY).text == "your key is …"


def test_the_netrc_file_does_not_replace_the_key(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    ask(server, key=KEY)
    ask(server)
    assert [question.authorization for question in server.questions] == [f"Bearer {KEY}", None]


def test_a_model_that_is_not_there(server: JudgeServer) -> None:
    server.models = ("llava:latest", "Qwen/Qwen3-VL-8B", "stub-vl")
    endpoint = ChatEndpoint(server.url, key=None, timeout_s=5)
    for there in ("stub-vl", "llava", "Qwen3-VL-8B"):
        endpoint.check_model(there)
    with pytest.raises(UsageError, match=r"endpoint http.*: model stub-vll is unknown; did you mean stub-vl\?"):
        endpoint.check_model("stub-vll")
    with pytest.raises(UsageError, match="model gpt is unknown; known are llava:latest, Qwen/Qwen3-VL-8B, stub-vl"):
        endpoint.check_model("gpt")
    with pytest.raises(JudgeUnusableError, match=r"answered 404 .The model `gpt` does not exist"):
        ask(server, model="gpt")


def test_an_endpoint_that_lists_no_models_passes(server: JudgeServer) -> None:
    server.lists_models = False
    ChatEndpoint(server.url, key=None, timeout_s=5).check_model("anything")


def test_an_endpoint_that_is_not_there() -> None:
    with JudgeServer() as gone:
        url = gone.url
    endpoint = ChatEndpoint(url, key=None, timeout_s=5)
    with pytest.raises(UsageError, match=r"does not answer \(.*refused.*\); start it, or correct --endpoint"):
        endpoint.check_model(MODEL)
    with pytest.raises(RetryableError, match="does not answer"):
        endpoint.ask({})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000/v1", "is not a URL"),
        ("ftp://host/v1", "is not a URL"),
        ("ftp://host/\x1b[31mred", r"^--endpoint ftp://host/\\x1b\[31mred is not a URL"),
        (f"ftp://{200 * 'h'}", "^--endpoint ftp://h{43}…h{50} is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://ho st/v1", "is not a URL"),
        ("http://me:'secret @host/v1", "^--endpoint http://…@host/v1 is not a URL"),
        ("http://me:secret@host:99999/v1", "is not a URL"),
        ("http://host:port/v1", "is not a URL"),
        ("http://me:secret@host/v1", "has more than a host and a path"),
        ("http://host/v1?key=secret", "has more than a host and a path"),
    ],
)
def test_an_endpoint_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        check_endpoint_url(url)
    assert "secret" not in str(raised.value)


def test_an_endpoint_may_end_in_a_slash_or_in_the_path_of_completions() -> None:
    assert {check_endpoint_url(f"http://host/v1{end}") for end in ("", "/", "/chat/completions")} == {"http://host/v1"}


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", " sk-1 ")
    assert read_key("JUDGE_KEY") == "sk-1"
    monkeypatch.setenv("JUDGE_KEY", "sk\n1")
    with pytest.raises(UsageError, match="the key in JUDGE_KEY has characters that no key has") as raised:
        read_key("JUDGE_KEY")
    assert "sk" not in str(raised.value)
    monkeypatch.delenv("JUDGE_KEY")
    assert read_key("JUDGE_KEY") is None
