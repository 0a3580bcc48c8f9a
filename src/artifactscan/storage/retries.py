"""Retries of requests to a storage: one limit and one back-off for requests, bodies that break off, and downloads."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from botocore import exceptions as boto_errors

from artifactscan.messages.text import without_credentials

ATTEMPTS = 10
"""Tries per request, the first included; their waits, half a minute to a minute, outlast a storage that restarts."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 20.0
RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""Status codes of a storage that cannot answer now."""
BODY_ERRORS = (
    boto_errors.ReadTimeoutError,
    boto_errors.ResponseStreamingError,
    boto_errors.IncompleteReadError,
)
"""Raised when the connection breaks while a body is read."""
_CONNECTION_ERRORS = (boto_errors.ConnectionError, boto_errors.ConnectionClosedError, boto_errors.ReadTimeoutError)
_WARN_AFTER_TRIES = 5
"""Two seconds or more: long enough for a person who waits to want to know."""
_WARN_AGAIN_S = 60.0
"""Many threads see the same failure."""

_log = logging.getLogger("artifactscan.storage")
Result = TypeVar("Result")


def wait_s(failures: int, *, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S) -> float:
    """Seconds before the next try after ``failures`` in a row: doubled each time, less a random part up to half."""
    return min(first_s * 2 ** (failures - 1), longest_s) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class RetryLimits:
    """How often, and how long altogether, a request is retried."""

    attempts: int = ATTEMPTS
    """Tries in a row without a new byte, the first included."""
    first_wait_s: float = FIRST_WAIT_S
    """Wait before the first retry; see ``wait_s``."""
    longest_wait_s: float = LONGEST_WAIT_S
    total_wait_s: float = 120.0
    """All waits for one object together."""


class RetryBudget:
    """What is left of the RetryLimits of one object."""

    def __init__(self, limits: RetryLimits):
        self._limits = limits
        self.failures = 0
        """Tries in a row that brought no new byte."""
        self.retries = 0
        self.waited_s = 0.0

    def wait(self, *, progress: bool = False) -> bool:
        """Sleeps before the next try and returns True, or returns False at once when the budget is used up.

        ``progress``: the failed try brought new bytes, so that the count of failures starts again.
        """
        self.failures = 1 if progress else self.failures + 1
        if self.failures >= self._limits.attempts:
            return False
        seconds = wait_s(self.failures, first_s=self._limits.first_wait_s, longest_s=self._limits.longest_wait_s)
        if self.waited_s + seconds > self._limits.total_wait_s:
            return False
        time.sleep(seconds)
        self.waited_s += seconds
        self.retries += 1
        return True


def with_retries(ask: Callable[[], Result], *, attempts: int, where: str) -> Result:
    """What ``ask`` returns; after a ConnectionError it is asked again, and a line says so once it takes long."""
    budget = RetryBudget(RetryLimits(attempts=attempts))
    while True:
        try:
            return ask()
        except ConnectionError:
            if not budget.wait():
                raise
            if budget.failures == _WARN_AFTER_TRIES:
                _log.warning("%s does not answer; it is asked %d times more", where, attempts - budget.failures)


def retry_requests(client: Any, *, tries: int) -> None:
    """Makes a boto3 S3 client try requests ``tries`` times while the storage is unreachable or busy, and warn once.

    boto3's own rules would give up after a second or two. TLS errors are not retried: an untrusted certificate stays
    untrusted.
    """
    warned_s = -_WARN_AGAIN_S

    def needs_retry(
        *, attempts: int, response: tuple[Any, Any] | None, caught_exception: Exception | None, **_event: Any
    ) -> float | Literal[False] | None:
        """boto3's question after try number ``attempts``: seconds before the next one, False for no retry.

        None leaves it to boto3's own rules, which are asked about every try and have a quota that our retries use up.
        """
        nonlocal warned_s
        if isinstance(caught_exception, boto_errors.SSLError):
            return False
        unreachable = isinstance(caught_exception, _CONNECTION_ERRORS)
        busy = response is not None and response[0].status_code in RETRIED_STATUS
        if attempts >= tries or not (unreachable or busy):
            return None
        if attempts == _WARN_AFTER_TRIES and time.monotonic() - warned_s > _WARN_AGAIN_S:
            warned_s = time.monotonic()
            endpoint = without_credentials(client.meta.endpoint_url)
            state = "does not answer" if unreachable else "cannot answer now"
            _log.warning("the storage at %s %s; it is asked %d times more", endpoint, state, tries - attempts)
        return wait_s(attempts)

    client.meta.events.register_first("needs-retry.s3", needs_retry)
