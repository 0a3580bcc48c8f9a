"""How long a storage that does not answer is borne with: boto3 by itself gives it a second or two."""

import logging
import random
import time
from typing import Any, Literal

from botocore import exceptions as boto_errors

from artifactscan.messages.text import without_credentials

S3_ATTEMPTS = 10
"""Tries per request, the first included; their waits, half a minute to a minute, outlast a storage that restarts."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 20.0
RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""What a storage answers that could not do it now."""
BROKEN_OFF = (
    boto_errors.ReadTimeoutError,
    boto_errors.ResponseStreamingError,
    boto_errors.IncompleteReadError,
)
"""What reading a body raises where the storage goes away in the middle of it."""
_GONE = (boto_errors.ConnectionError, boto_errors.ConnectionClosedError, boto_errors.ReadTimeoutError)
_SAID_AT = 5
"""Tries after which a person who waits wants to know; by then it has been two seconds or more."""
_SAID_AGAIN_S = 60.0
"""Many threads find out at the same time."""

_log = logging.getLogger("artifactscan.storage")


def wait_s(tries_in_vain: int, *, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S) -> float:
    """Seconds before the next try: they double with every one, and a random half is taken off."""
    return min(first_s * 2 ** (tries_in_vain - 1), longest_s) * random.uniform(0.5, 1.0)


def bear_with(client: Any, *, tries: int) -> None:
    """Has a boto3 client try ``tries`` times where the storage does not answer, or not now, and say so once.

    A certificate that is not trusted will not be a moment later: that is not tried again.
    """
    said_s = -_SAID_AGAIN_S

    def needs_retry(
        *, attempts: int, response: tuple[Any, Any] | None, caught_exception: Exception | None, **_event: Any
    ) -> float | Literal[False] | None:
        """What boto3 asks after each try: seconds to wait before another one; False for none, None where its own rules
        shall say, which ask about every try and have a quota that ours use up."""
        nonlocal said_s
        if isinstance(caught_exception, boto_errors.SSLError):
            return False
        gone = isinstance(caught_exception, _GONE)
        busy = response is not None and response[0].status_code in RETRIED_STATUS
        if attempts >= tries or not (gone or busy):
            return None
        if attempts == _SAID_AT and time.monotonic() - said_s > _SAID_AGAIN_S:
            said_s = time.monotonic()
            does = "does not answer" if gone else "cannot answer now"
            endpoint, left = without_credentials(client.meta.endpoint_url), tries - attempts
            _log.warning("the storage at %s %s; it is asked %d times more", endpoint, does, left)
        return wait_s(attempts)

    client.meta.events.register_first("needs-retry.s3", needs_retry)
