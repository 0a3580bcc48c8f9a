"""What a model hub answers, or does not, as one sentence with the way out; no token is ever in it."""

import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from artifactscan.errors import ArtifactscanError, CutOffError, UsageError
from artifactscan.messages.hub_endpoint import wrong_endpoint
from artifactscan.messages.text import printable
from artifactscan.messages.web_address import is_web_address, origin
from artifactscan.messages.web_errors import causes
from artifactscan.storage.storage_errors import describe, one_line

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_LOGIN = "set HF_TOKEN, or log in with `hf auth login`"
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_MAX_CHARS = 200
_AGAIN = "give the same command again"
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}
"""Besides errors of the server: the last two say that somebody else has written just now."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
"""OpenSSL's reasons where plain HTTP answers."""
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""Another code, EAI_AGAIN, says that the name server did not answer."""


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
        message = f"{refused(uri, writing=writing)}: {_without_token(reason)}"
        raise (CutOffError if writing and may_pass else UsageError)(message) from None


def check_endpoint(uri: str, *, writing: bool = False) -> None:
    """UsageError where HF_ENDPOINT is no address of a server, before it is asked; offline nothing is asked."""
    from huggingface_hub import constants, is_offline_mode

    if not is_offline_mode() and not is_web_address(constants.ENDPOINT):
        raise UsageError(f"{refused(uri, writing=writing)}: {wrong_endpoint(constants.ENDPOINT)}")


def refused(uri: str, *, writing: bool) -> str:
    """That ``uri`` cannot be used: how messages begin."""
    return f"{uri} cannot be {'written' if writing else 'read'}"


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
    from huggingface_hub import constants, errors, is_offline_mode

    hub = one_line(constants.ENDPOINT)
    if is_offline_mode() or isinstance(error, errors.OfflineModeIsEnabled):
        if writing:
            return "HF_HUB_OFFLINE is set; unset it", False
        # RevisionResolutionError without a cause: a branch was looked for in the cache only.
        if isinstance(
            error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError | errors.RevisionResolutionError
        ):
            return (
                f"HF_HUB_OFFLINE is set, and it was not downloaded before to {constants.HF_HUB_CACHE}; give the "
                "command once without HF_HUB_OFFLINE, or the commit that was downloaded",
                False,
            )
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_answer(error, hub, writing=writing)
    if isinstance(error, errors.FileMetadataError | json.JSONDecodeError):
        return f"what answers at {hub} is no model hub; check HF_ENDPOINT", False
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        return f"{describe(error)}; {constants.HF_HUB_CACHE} must be writable and have room", True
    return _explain_no_answer(error, hub, writing=writing)


def _explain_answer(error: "HfHubHTTPError", hub: str, *, writing: bool) -> tuple[str, bool]:
    """Of an answer that is an error."""
    from huggingface_hub import errors

    status, told = error.response.status_code, error.server_message
    detail = f" ({printable(one_line(told), _MAX_CHARS)})" if told else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return f"the hub at {hub} answered {status}{detail}; {_AGAIN} in some minutes", True
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the hub at {hub} answered {status}{detail}; {_AGAIN}", True
    if isinstance(error, errors.DisabledRepoError):
        return f"the hub at {hub} has disabled it; ask whoever owns it", False
    if isinstance(error, errors.GatedRepoError):
        return f"it is gated; ask for access on its page at {hub}, and {_LOGIN} as who has it", False
    if isinstance(error, errors.RevisionNotFoundError):
        way_out = "a branch of it, or make this one on the hub" if writing else "a branch, a tag or a commit of it"
        return f"the repository has no such revision; give {way_out}", False
    if (place := origin(str(error.response.url))) != origin(hub):
        # Large files are kept elsewhere, at addresses that the hub signs for a while.
        expired = status == HTTPStatus.FORBIDDEN
        return (
            f"the storage of the hub at {hub}, {place}, answered {status}{detail}; "
            f"{_AGAIN if expired else 'tell whoever runs the hub'}",
            expired,
        )
    return _explain_access(error, hub, detail, writing=writing), False


def _explain_access(error: "HfHubHTTPError", hub: str, detail: str, *, writing: bool) -> str:
    """Of an answer that the repository is not there or may not be used, with the token or without one."""
    from huggingface_hub import errors

    status, has_token = error.response.status_code, _token() is not None
    if writing and status == HTTPStatus.UNAUTHORIZED and not has_token:
        return f"the hub at {hub} asks who writes; {_LOGIN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        if has_token:
            return (
                f"the hub at {hub} has no such repository, or the token may not see it; check the name, or "
                f"{_another_token()}"
            )
        return f"the hub at {hub} has no such repository, or it is private; check the name, and {_LOGIN}"
    if status == HTTPStatus.UNAUTHORIZED:
        return f"the hub at {hub} does not accept the token{detail}; {_another_token()}"
    if status == HTTPStatus.FORBIDDEN and has_token:
        return f"the token may not {'write to' if writing else 'read'} it{detail}; {_another_token()} that may"
    if status == HTTPStatus.FORBIDDEN:
        return f"the hub at {hub} refuses it to who has no token{detail}; {_LOGIN}"
    if status == HTTPStatus.NOT_FOUND:
        return f"the hub at {hub} answered {status}{detail}; check HF_ENDPOINT: it may be no hub"
    return f"the hub at {hub} answered {status}{detail}"


def _explain_no_answer(error: Exception, hub: str, *, writing: bool) -> tuple[str, bool]:
    """Of what was raised before there was an answer, or while it came."""
    name, said, found = type(error).__name__, printable(one_line(error), _MAX_CHARS), [*causes(error)]
    if isinstance(error, UnicodeEncodeError) or name == "LocalProtocolError":  # its text quotes the header
        return f"the token has characters that cannot be sent; {_another_token()}", False
    if name == "ProxyError" or (isinstance(error, ValueError) and "proxy" in said):
        return f"the proxy to the hub at {hub} does not work ({said}); check HTTPS_PROXY and HTTP_PROXY", False
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in found):
        return (
            f"the certificate of the hub at {hub} is not trusted ({said}); set SSL_CERT_FILE to the PEM file of its "
            "authority",
            False,
        )
    if any(isinstance(one, ssl.SSLError) and one.reason in _NO_TLS for one in found):
        return f"what answers at {hub} does not speak TLS ({said}); check HF_ENDPOINT", False
    if any(isinstance(one, socket.gaierror) and one.errno in _NO_SUCH_HOST for one in found):
        return f"there is no host of the name in {hub} ({said}); check HF_ENDPOINT and the network", False
    if isinstance(error, ValueError):
        return f"the hub refuses it ({said})", False
    return (
        f"the hub at {hub} cannot be reached, or hung up ({name}{said and f': {said}'}); check HF_ENDPOINT and the "
        f"network, and {_AGAIN}{'' if writing else '; with HF_HUB_OFFLINE=1 what was downloaded before is used'}",
        True,
    )


def _another_token() -> str:
    """Where a token that is no good is from, to be followed by ``that …``."""
    variable = next((name for name in _TOKEN_VARIABLES if os.environ.get(name, "").strip()), None)
    return f"put another one into {variable}" if variable else "log in with `hf auth login` with another one"


def _without_token(reason: str) -> str:
    token = _token()
    return reason.replace(token, "…") if token else reason


def _token() -> str | None:
    from huggingface_hub import get_token

    try:
        return get_token()
    except Exception:  # one that cannot be had is in no message
        return None
