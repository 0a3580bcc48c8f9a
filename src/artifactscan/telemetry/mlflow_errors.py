"""What MLflow's client raises, in words, and whether its server would take anything else."""

import re
from http import HTTPStatus

from artifactscan.messages.text import printable, without_credentials
from artifactscan.messages.web_errors import causes

_AFTER_ALL_TRIES = re.compile(r"too many (\d{3}) error responses")
"""What urllib3's ResponseError says."""
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_TIMEOUTS = ("ReadTimeoutError", "ReadTimeout", "ConnectTimeoutError", "ConnectTimeout")
_MAX_CHARS = 200


def answered_status(error: BaseException) -> int | None:
    """The status that the server answered in all tries; None where it was another error."""
    for cause in causes(error):
        if type(cause).__name__ == "ResponseError" and (found := _AFTER_ALL_TRIES.search(str(cause))):
            return int(found[1])
    return None


def is_down(error: BaseException) -> bool:
    """Whether the server would take nothing else, or only after waits: it does not answer, or refuses whoever asks.

    An answer of 500 may be about one run alone.
    """
    from mlflow.exceptions import MlflowException

    if (status := answered_status(error)) is not None:
        return status != HTTPStatus.INTERNAL_SERVER_ERROR
    if any(isinstance(cause, OSError) for cause in causes(error)):  # all errors of requests are
        return True
    return isinstance(error, MlflowException) and error.get_http_status_code() in _REFUSED


def explain(error: BaseException) -> str:
    """Why: the server's answer, the system's own word for why it cannot be reached, or what MLflow says."""
    if (status := answered_status(error)) is not None:
        return f"it answered {status}"
    for cause in reversed([*causes(error)]):  # the innermost first
        if isinstance(cause, OSError) and cause.strerror:
            return f"it cannot be reached ({printable(cause.strerror)})"
        if type(cause).__name__ in _TIMEOUTS:
            return "it does not answer in time"
    text = " ".join(str(error).split()) or type(error).__name__
    return printable(without_credentials(text), _MAX_CHARS)
