"""An OpenAI-compatible endpoint on loopback for tests: it answers, hangs, lies, writes prose, returns markup.

    with JudgeServer() as server:
        server.grade(lambda question: {"boundary": 3})    # grades by frame; others are 0
        server.misbehave(prose("I like it"), times=1)     # the next request gets prose
        server.misbehave(status(429, retry_after="1"), times=2, when=lambda question: question.pts_s == 0.5)
        server.questions                                  # the requests as they came in

It is a real HTTP server: what is tested is what a client sees on the wire. ``python judge_server.py PORT DELAY_S``
serves until it is killed.
"""

import base64
import hashlib
import io
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

HOST = "127.0.0.1"
MODEL = "stub-vl"
LABELS = ("boundary", "texture", "motion", "object")


@dataclass(frozen=True)
class Question:
    """A chat completion request as it came in."""

    body: dict[str, Any]
    authorization: str | None
    at_s: float
    """time.monotonic()."""

    @cached_property
    def pts_s(self) -> float:
        """The time of the frame to grade, from the prompt."""
        found = re.search(r"Grade the frame at ([\d.]+) s\.", self.texts[-1])
        assert found
        return float(found[1])

    @cached_property
    def texts(self) -> list[str]:
        return [part["text"] for part in self.body["messages"][1]["content"] if part["type"] == "text"]

    @cached_property
    def images(self) -> list[bytes]:
        urls = [part["image_url"]["url"] for part in self.body["messages"][1]["content"] if part["type"] == "image_url"]
        return [base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) for url in urls]

    @cached_property
    def frame(self) -> str:
        """A digest of the image to grade, which stands after the caption that says so."""
        at = next(n for n, text in enumerate(self.texts) if text.startswith("The frame to grade"))
        return hashlib.sha256(self.images[at]).hexdigest()

    def size(self, number: int) -> tuple[int, int]:
        """Width and height of one of the images."""
        with Image.open(io.BytesIO(self.images[number])) as image:
            return image.size

    @property
    def second(self) -> bool:
        """Whether the labels are asked for in reverse order."""
        return list(self.body["response_format"]["json_schema"]["schema"]["properties"])[1] == LABELS[-1]


Reply = Callable[[BaseHTTPRequestHandler, Question], None]


@dataclass
class _Rule:
    reply: Reply
    times: int
    when: Callable[[Question], bool]


@dataclass
class JudgeServer:
    """The endpoint; misbehaviour applies ``times`` times (-1: always), the oldest rule first."""

    models: tuple[str, ...] = (MODEL,)
    lists_models: bool = True
    key: str | None = None
    """The key it wants, if any."""
    delay_s: float = 0.0
    port: int = 0
    questions: list[Question] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    """The most requests that were being answered at a time."""
    grades: Callable[[Question], dict[str, int]] = lambda question: {}
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "JudgeServer":
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = ThreadingHTTPServer((HOST, self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._closed = threading.Event()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    def grade(self, grades: Callable[[Question], dict[str, int]]) -> None:
        self.grades = grades

    def misbehave(self, reply: Reply, *, times: int = -1, when: Callable[[Question], bool] = lambda _: True) -> None:
        self._rules.append(_Rule(reply, times, when))

    def answered(self) -> None:
        with self._lock:
            self.at_once -= 1

    def wait(self, seconds: float) -> None:
        """Sleeps, but no longer than the server lives."""
        self._closed.wait(seconds)

    def reply_for(self, question: Question) -> Reply:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.questions.append(question)
            for rule in self._rules:
                if rule.times and rule.when(question):
                    rule.times -= 1
                    return rule.reply
        return honest


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: JudgeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path != "/v1/models" or not self.stub.lists_models:
            send_json(self, 404, {"error": {"message": "no such route"}})
            return
        send_json(self, 200, {"object": "list", "data": [{"id": name} for name in self.stub.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = Question(body, self.headers.get("Authorization"), time.monotonic())
        if not self._allowed():
            return
        if body["model"] not in self.stub.models:
            error = {"message": f"The model `{body['model']}` does not exist", "code": "model_not_found"}
            send_json(self, 404, {"error": error})
            return
        reply = self.stub.reply_for(question)
        self.stub.wait(self.stub.delay_s)
        self.stub.answered()
        with suppress(ConnectionError):  # the client had enough
            reply(self, question)

    def _allowed(self) -> bool:
        if self.stub.key is None or self.headers.get("Authorization") == f"Bearer {self.stub.key}":
            return True
        given = self.headers.get("Authorization")
        send_json(self, 401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}})
        return False


def send(handler: BaseHTTPRequestHandler, status: int, data: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def send_json(handler: BaseHTTPRequestHandler, status: int, value: Any, **headers: str) -> None:
    send(handler, status, json.dumps(value).encode(), **headers)


def completion(text: Any, **message: Any) -> dict[str, Any]:
    """A chat completion with this content."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
    return {"id": "1", "object": "chat.completion", "model": f"{MODEL}-2026", "choices": [choice], "usage": usage}


def answer_text(grades: dict[str, int], reason: str = "nothing is wrong") -> str:
    return json.dumps({"reason": reason, **dict.fromkeys(LABELS, 0), **grades})


def honest(handler: BaseHTTPRequestHandler, question: Question) -> None:
    """The answer that the stub's grades give."""
    assert isinstance(handler, _Handler)
    send_json(handler, 200, completion(answer_text(handler.stub.grades(question), f"seen at {question.pts_s:.2f} s")))


def prose(text: Any, **message: Any) -> Reply:
    """A completion with another content."""
    return lambda handler, question: send_json(handler, 200, completion(text, **message))


def status(status: int, message: str = "not now", *, retry_after: str | None = None, **error: Any) -> Reply:
    """An error of the API."""
    headers = {} if retry_after is None else {"Retry_After": retry_after}
    return lambda handler, question: send_json(handler, status, {"error": {"message": message, **error}}, **headers)


def raw(data: bytes, code: int = 200, **headers: str) -> Reply:
    """Bytes that are no reply of the API."""
    return lambda handler, question: send(handler, code, data, **headers)


def hang(seconds: float = 60.0) -> Reply:
    """Says nothing for a while."""

    def reply(handler: BaseHTTPRequestHandler, question: Question) -> None:
        assert isinstance(handler, _Handler)
        handler.stub.wait(seconds)
        honest(handler, question)

    return reply


def drip(interval_s: float = 0.1) -> Reply:
    """Begins an answer and sends a byte now and then, for ever."""

    def reply(handler: BaseHTTPRequestHandler, question: Question) -> None:
        assert isinstance(handler, _Handler)
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(100_000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            handler.stub.wait(interval_s)
            if handler.stub._closed.is_set():
                return

    return reply


def cut(handler: BaseHTTPRequestHandler, question: Question) -> None:
    """Breaks off in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


if __name__ == "__main__":
    with JudgeServer(port=int(sys.argv[1]), delay_s=float(sys.argv[2])) as stub:
        print(stub.url, flush=True)
        threading.Event().wait()
