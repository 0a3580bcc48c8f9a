"""An OpenAI-compatible endpoint over HTTP: one request, and what each kind of reply means.

Source: the OpenAI API's `POST /chat/completions` and `GET /models`, as vLLM, SGLang, Ollama and others serve them.
"""

import json
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from artifactscan.cli.exit_codes import unknown_name
from artifactscan.errors import UsageError
from artifactscan.messages.text import printable
from artifactscan.messages.web_address import is_web_address, refused_address

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable with the endpoint's key, unless another one is named."""
CONNECT_TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 1 << 20
MAX_WAIT_S = 600.0
"""A Retry-After beyond this ends the run, which can be continued later."""

_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_SHOWN = 200
_MODELS_LISTED = 8


class RefusedError(Exception):
    """The judge declines to grade this frame."""


class UnansweredError(Exception):
    """There is no usable reply to this request, and another try would bring none."""


class RetryableError(Exception):
    """There is no reply now; another try may bring one."""

    def __init__(self, reason: str, after_s: float | None = None):
        super().__init__(reason)
        self.after_s = after_s
        """Seconds that the endpoint asks to wait."""


class JudgeUnusableError(ConnectionError):
    """No frame can be judged: a refused key, a missing model, an exhausted quota, a wrong URL."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a judge answered to one request."""

    text: str
    model: str | None
    """The model's name in the reply, which may be more exact than that in the request."""
    prompt_tokens: int
    """0 where the endpoint does not tell."""
    completion_tokens: int


def read_key(variable: str = KEY_VARIABLE) -> str | None:
    """The key in an environment variable, or None; UsageError for one that no header can hold.

    It is in no field of any settings, as these are printed and stored.
    """
    key = os.environ.get(variable, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(f"the key in {variable} has characters that no key has, such as spaces; correct it")
    return key or None


def check_endpoint_url(url: str) -> str:
    """The base URL without a slash at the end; UsageError for one that cannot be used."""
    if not is_web_address(url):
        raise UsageError(
            f"--endpoint {refused_address(url)} is not a URL; give the base URL of the API, "
            "http://127.0.0.1:8000/v1 say"
        )
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("--endpoint has more than a host and a path; the key belongs into an environment variable")
    return url.rstrip("/").removesuffix("/chat/completions")


class ChatEndpoint:
    """Sends requests to one endpoint; safe for several threads.

    ``key`` is sent as a bearer token and replaced by an ellipsis in every message that comes back.
    """

    def __init__(self, url: str, *, key: str | None, timeout_s: float):
        self._url, self._key, self._timeout_s = url, key, timeout_s
        self._local = threading.local()

    def ask(self, body: dict[str, Any]) -> Reply:
        """Sends a chat completion request.

        RefusedError, UnansweredError, RetryableError or JudgeUnusableError, with the reason, where there is no text.
        """
        status, headers, data = self._send("POST", "/chat/completions", body)
        if status != 200:
            self._raise_for(status, headers, data)
        return self._read_reply(data)

    def check_model(self, model: str) -> None:
        """UsageError where the endpoint cannot be used or does not offer ``model``.

        An endpoint that does not list its models passes: the first request will tell.
        """
        try:
            status, headers, data = self._send("GET", "/models")
            if status in (404, 405, 501):
                return
            if status != 200:
                self._raise_for(status, headers, data)
            names = [entry["id"] for entry in json.loads(data)["data"]]
        except (RetryableError, UnansweredError, RefusedError, JudgeUnusableError) as error:
            raise UsageError(f"{error}; start it, or correct --endpoint") from None
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"endpoint {self._url} answered something that is no list of models "
                f"('{self._shown(data)}'); give the base URL of an OpenAI-compatible API"
            ) from None
        if not any(name in (model, f"{model}:latest") or str(name).endswith(f"/{model}") for name in names):
            known = [printable(str(name), 80) for name in names[:_MODELS_LISTED]] or ["none"]
            raise UsageError(f"endpoint {self._url}: {unknown_name('model', model, known)}")

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any, bytes]:
        """Status, headers and body of the reply; RetryableError where it does not come, or not in time."""
        started = time.monotonic()
        try:
            with self._session().request(
                method,
                f"{self._url}{path}",
                json=body,
                auth=self._authorise,  # set this way, ~/.netrc cannot replace it
                headers={"Accept-Encoding": "identity"},
                timeout=(CONNECT_TIMEOUT_S, self._timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, response.headers, self._read(response, started)
        except (requests.Timeout, ReadTimeoutError):
            raise RetryableError(f"endpoint {self._url} did not answer within {self._timeout_s:g} s") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            reason = self._shown(str(_root_cause(error)).encode())
            raise RetryableError(f"endpoint {self._url} does not answer ({reason})") from None

    def _read(self, response: requests.Response, started: float) -> bytes:
        """The body; a timeout of the socket alone would let a body trickle for ever."""
        data = bytearray()
        while chunk := response.raw.read1(65536):
            data += chunk
            if len(data) > MAX_REPLY_BYTES:
                raise UnansweredError(f"endpoint {self._url} answered with more than {MAX_REPLY_BYTES >> 20} MiB")
            if time.monotonic() - started > self._timeout_s:
                raise requests.Timeout
        return bytes(data)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        return self._local.session

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _raise_for(self, status: int, headers: Any, data: bytes) -> NoReturn:
        """Raises what an error status means."""
        message, codes = self._error(data)
        said = f"endpoint {self._url} answered {status} ({message})"
        if status in (401, 403):
            raise JudgeUnusableError(f"{said}: it does not accept the key" if self._key else f"{said}: no key is set")
        if status == 404 or 300 <= status < 400 or "model_not_found" in codes:
            raise JudgeUnusableError(said)
        if "insufficient_quota" in codes or status == 402:
            raise JudgeUnusableError(f"{said}: the quota is used up")
        if "content_filter" in codes or "content_policy_violation" in codes:
            raise RefusedError(message)
        if status in _RETRIED_STATUS:
            after_s = _retry_after_s(headers.get("Retry-After"))
            if after_s is not None and after_s > MAX_WAIT_S:
                raise JudgeUnusableError(f"{said}: it asks to wait {after_s:,.0f} s")
            raise RetryableError(said, after_s)
        raise UnansweredError(said)

    def _error(self, data: bytes) -> tuple[str, set[str]]:
        """The message of an error's body, and its codes."""
        try:
            error = json.loads(data)["error"]
            if isinstance(error, str):
                return self._shown(error.encode()), set()
            return self._shown(str(error["message"]).encode()), {str(error.get(name)) for name in ("code", "type")}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._shown(data), set()

    def _read_reply(self, data: bytes) -> Reply:
        try:
            reply = json.loads(data)
            choice = reply["choices"][0]
            message, finish = choice["message"], choice.get("finish_reason")
            content, refusal = message.get("content"), message.get("refusal")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise RetryableError(
                f"endpoint {self._url} answered something that is no chat completion ('{self._shown(data)}')"
            ) from None
        if refusal or finish == "content_filter":
            raise RefusedError(self._shown(str(refusal or "stopped by the endpoint's content filter").encode()))
        usage = reply.get("usage")
        return Reply(
            text=self._hide(content) if isinstance(content, str) else "",
            model=printable(reply["model"], _SHOWN) if isinstance(reply.get("model"), str) else None,
            prompt_tokens=_count(usage, "prompt_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
        )

    def _shown(self, data: bytes) -> str:
        """Text of a stranger as a message may quote it."""
        text = self._hide(data[:MAX_REPLY_BYTES].decode(errors="replace"))
        return printable(" ".join(text.split()), _SHOWN) or "nothing"

    def _hide(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


def _count(usage: Any, name: str) -> int:
    """A count of tokens as the endpoint tells it; 0 where it is none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else 0


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number, or an HTTP date (RFC 9110, 10.2.3); None for anything else."""
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if value.strip().replace(".", "", 1).isdigit() else _until(value)
    except (ValueError, TypeError):
        return None


def _until(date: str) -> float:
    return max(0.0, (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())


def _root_cause(error: BaseException) -> BaseException:
    """The innermost of the wrapped errors, whose text names no object in memory."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
