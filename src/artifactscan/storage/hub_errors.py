"""What a model hub answers, or does not, as one sentence with the way out; no token is ever in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from artifactscan.errors import ArtifactscanError, CutOffError, UsageError
from artifactscan.messages.text import printable
from artifactscan.storage.storage_errors import describe, one_line

_LOGIN = "set HF_TOKEN, or log in with `hf auth login`"
_MAX_CHARS = 200
_AGAIN = "give the same command again"


@contextmanager
def hub_errors(uri: str, *, writing: bool = False) -> Iterator[None]:
    """Turns what huggingface_hub raises into UsageError, or into CutOffError where a push might go on later.

    HTTP, proxy, socket, TLS and Xet errors are each of another type, with no base but Exception.
    """
    try:
        yield
    except ArtifactscanError:
        raise
    except Exception as error:
        reason, may_pass = _explain(_cause(error), writing=writing)
        message = f"{uri} cannot be {'written' if writing else 'read'}: {_without_token(reason)}"
        raise (CutOffError if writing and may_pass else UsageError)(message) from None


def _cause(error: Exception) -> Exception:
    """What a general error of huggingface_hub was raised from."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionResolutionError

    while isinstance(error, LocalEntryNotFoundError | RevisionResolutionError | RuntimeError) and isinstance(
        error.__cause__, Exception
    ):
        error = error.__cause__
    return error


def _explain(error: Exception, *, writing: bool) -> tuple[str, bool]:
    """Why, with the way out; and whether it may pass by itself."""
    from huggingface_hub import constants, errors

    hub, said = one_line(constants.ENDPOINT), printable(one_line(error), _MAX_CHARS)
    if isinstance(error, errors.OfflineModeIsEnabled) and writing:
        return "HF_HUB_OFFLINE is set; unset it", False
    # RevisionResolutionError without a cause: with HF_HUB_OFFLINE a branch is looked for in the cache only.
    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError | errors.RevisionResolutionError):
        return (
            f"HF_HUB_OFFLINE is set, and it was not downloaded before to {constants.HF_HUB_CACHE}; give the command "
            "once without HF_HUB_OFFLINE, or the commit that was downloaded",
            False,
        )
    unknown = isinstance(error, errors.HfHubHTTPError) and error.response.status_code == 401
    if writing and unknown and _token() is None:
        return f"the hub at {hub} asks who writes; {_LOGIN}", False
    if isinstance(error, errors.GatedRepoError):
        return f"it is gated; ask for access on its page at {hub}, and {_LOGIN} as who has it", False
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub at {hub} has no such repository, or it is private; check the name, and {_LOGIN}", False
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision; give a branch, a tag or a commit of it", False
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_answer(error.response.status_code, error.server_message, hub, writing=writing)
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        return f"{describe(error)}; {constants.HF_HOME} must be writable and have room", True
    if isinstance(error, json.JSONDecodeError):
        return f"the hub at {hub} answered something else than JSON; check HF_ENDPOINT, and {_AGAIN}", True
    if isinstance(error, ValueError):
        return f"the hub refuses it ({said})", False
    name = type(error).__name__
    return (
        f"the hub at {hub} cannot be reached, or hung up ({name}{said and f': {said}'}); check HF_ENDPOINT and the "
        f"network, and {_AGAIN}{'' if writing else '; with HF_HUB_OFFLINE=1 what was downloaded before is used'}",
        True,
    )


def _explain_answer(status: int, told: str | None, hub: str, *, writing: bool) -> tuple[str, bool]:
    """Of an answer that is an error."""
    detail = f" ({printable(one_line(told), _MAX_CHARS)})" if told else ""
    if status == 401:
        return f"the hub at {hub} does not accept the token{detail}; {_LOGIN} anew", False
    if status == 403:
        what = "write to" if writing else "read"
        return f"the token may not {what} it{detail}; give one that may: {_LOGIN}", False
    if status in (408, 429) or status >= 500:
        return f"the hub at {hub} answered {status}{detail}; {_AGAIN}", True
    return f"the hub at {hub} answered {status}{detail}", False


def _without_token(reason: str) -> str:
    token = _token()
    return reason.replace(token, "…") if token else reason


def _token() -> str | None:
    from huggingface_hub import get_token

    try:
        return get_token()
    except Exception:  # one that cannot be had is in no message
        return None
