"""boto3's retries and their waits; test_files.py has a storage that is really gone for a while."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError, SSLError
from botocore.hooks import HierarchicalEmitter
from s3_server import S3Server

from artifactscan import storage
from artifactscan.messages import logs
from artifactscan.storage import retries
from artifactscan.storage.retries import ATTEMPTS, RetryLimits, retry_requests

GONE = EndpointConnectionError(endpoint_url="http://s3")


def asking(tries: int = ATTEMPTS) -> Any:
    """A function that returns the handler's answer to boto3's question whether to retry."""
    events = HierarchicalEmitter()
    retry_requests(SimpleNamespace(meta=SimpleNamespace(events=events, endpoint_url="http://s3")), tries=tries)

    def ask(attempts: int, *, status: int | None = None, error: Exception | None = None) -> float | None:
        response = None if status is None else (SimpleNamespace(status_code=status), {})
        [(_, answer)] = events.emit(
            "needs-retry.s3.PutObject", attempts=attempts, response=response, caught_exception=error
        )
        return answer

    return ask


def test_all_waits_together_outlast_a_storage_that_restarts() -> None:
    ask = asking()
    for _ in range(100):
        waits = [ask(tried, error=GONE) for tried in range(1, ATTEMPTS)]
        assert 32 < sum(waits) < 66 < RetryLimits().total_wait_s
        assert max(waits) <= retries.LONGEST_WAIT_S
    assert ask(ATTEMPTS, error=GONE) is None


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_status_codes_are_retried(status: int) -> None:
    assert 0.1 <= asking()(1, status=status) <= 0.2


@pytest.mark.parametrize("kind", [ConnectTimeoutError, ConnectionClosedError, EndpointConnectionError])
def test_connection_errors_are_retried(kind: Any) -> None:
    assert 0.1 <= asking()(1, error=kind(endpoint_url="http://s3")) <= 0.2


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 412])
def test_other_answers_are_left_to_boto3(status: int) -> None:
    assert asking()(1, status=status) is None
    assert asking()(1, error=ValueError("what we did wrong")) is None


def test_tls_errors_are_not_retried() -> None:
    assert asking()(1, error=SSLError(endpoint_url="https://s3", error="self-signed")) is False


def test_a_client_with_one_try_does_not_retry() -> None:
    assert asking(tries=1)(1, error=GONE) is None


def test_one_warning_after_several_tries(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(logs.ROOT_LOGGER), "propagate", True)  # a job with JSON logs turns it off
    ask = asking()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for tried in range(1, ATTEMPTS):
                ask(tried, error=GONE)
    assert caplog.messages == ["the storage at http://s3 does not answer; it is asked 5 times more"]


def test_clients_retry_a_busy_storage(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: waited.append(failures) or 0.0)
    s3.put("busy", b"there")
    s3.faults.status("busy", 503, times=ATTEMPTS - 1)
    assert storage.read_bytes(s3.uri("busy")) == b"there"
    assert waited == list(range(1, ATTEMPTS))
    s3.faults.status("busy", 503, times=ATTEMPTS)
    with pytest.raises(OSError, match="answered 503"):
        storage.read_bytes(s3.uri("busy"))


def test_a_body_that_breaks_off_is_read_again(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(retries, "wait_s", lambda failures, **_: waited.append(failures) or 0.0)
    data = bytes(range(256)) * 4000
    s3.put("cut", data)
    s3.faults.cut("cut", after_bytes=len(data) // 2)
    assert storage.read_bytes(s3.uri("cut")) == data
    assert waited == [1]
    s3.faults.cut("cut", after_bytes=len(data) // 2)
    with pytest.raises(OSError, match="/cut: "):
        storage.read_bytes(s3.uri("cut"), attempts=1)
