"""How long boto3 is made to wait; a storage that is really gone for a while is in test_storage.py."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.hooks import HierarchicalEmitter

from artifactscan import storage_patience
from artifactscan.storage_patience import S3_ATTEMPTS, bear_with

GONE = EndpointConnectionError(endpoint_url="http://s3")


def asking(tries: int = S3_ATTEMPTS) -> Any:
    """Gives what is answered to boto3's question whether to try again."""
    events = HierarchicalEmitter()
    bear_with(SimpleNamespace(meta=SimpleNamespace(events=events, endpoint_url="http://s3")), tries=tries)

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
        waits = [ask(tried, error=GONE) for tried in range(1, S3_ATTEMPTS)]
        assert 25 < sum(waits) < 66
        assert max(waits) <= storage_patience.LONGEST_WAIT_S
    assert ask(S3_ATTEMPTS, error=GONE) is None


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_storage_that_cannot_now_is_asked_again(status: int) -> None:
    assert 0.1 <= asking()(1, status=status) <= 0.2


@pytest.mark.parametrize(
    ("status", "error"), [(200, None), (403, None), (404, None), (412, None), (None, ClientError({}, "GetObject"))]
)
def test_the_rest_is_left_to_boto3(status: int | None, error: Exception | None) -> None:
    assert asking()(1, status=status, error=error) is None


def test_who_tries_again_by_himself_is_not_made_to_wait() -> None:
    assert asking(tries=1)(1, error=GONE) is None


def test_it_is_said_once_by_when_a_person_wonders(caplog: pytest.LogCaptureFixture) -> None:
    ask = asking()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for tried in range(1, S3_ATTEMPTS):
                ask(tried, error=ReadTimeoutError(endpoint_url="http://s3"))
    assert caplog.messages == ["the storage at http://s3 does not answer; it is asked for a minute more at most"]
