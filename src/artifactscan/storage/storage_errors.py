"""Storage errors: boto3's exceptions become OSErrors, and OSErrors become one line of text."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from botocore import exceptions as boto_errors
from urllib3.exceptions import LocationParseError

from artifactscan.errors import CutOffError
from artifactscan.messages.text import without_credentials
from artifactscan.storage.aws_environment import PROCESS, ca_bundle, process_profile
from artifactscan.storage.retries import RETRIED_STATUS
from artifactscan.storage.uris import split_bucket
from artifactscan.storage.write_errors import describe_full, is_full


class CredentialsError(PermissionError):
    """Credentials are missing, not accepted or expired: every request fails until they are renewed."""


_CREDENTIAL_CODES = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",
        "InvalidClientTokenId",
        "TokenRefreshRequired",
        "RequestExpired",
    }
)
_CREDENTIAL_ERRORS = (
    boto_errors.NoCredentialsError,
    boto_errors.PartialCredentialsError,
    boto_errors.CredentialRetrievalError,
    boto_errors.ProfileNotFound,
    boto_errors.SSOError,
    boto_errors.TokenRetrievalError,
)
_UNKNOWN_AUTHORITY = ("issuer certificate", "self-signed certificate", "self signed certificate")
"""Words of OpenSSL where nobody who is trusted has signed a certificate."""
_UNREACHABLE_ERRORS = (boto_errors.ConnectionError, boto_errors.HTTPClientError)


@contextmanager
def s3_errors(uri: str) -> Iterator[None]:
    """Turns what boto3 raises into OSErrors that name ``uri``."""
    try:
        yield
    except (boto_errors.ClientError, boto_errors.BotoCoreError) as error:
        raise as_os_error(error, uri) from error
    except JSONDecodeError as error:  # boto3 asks a credential process again when its credentials are about to expire
        raise _process_failed(uri, "it printed something that is not JSON") from error


def describe(error: OSError, uri: str | None = None) -> str:
    """The message of ``error`` in one line, without errno.

    It begins with the name of the file, unless the caller names it as ``uri``.
    """
    text = " ".join((error.strerror or str(error)).split())
    if uri is not None:
        return text.removeprefix(f"{uri}: ")
    if error.filename and error.strerror:
        return f"{error.filename}: {text}{describe_full(error, str(error.filename))}"
    return text


def status_of(error: boto_errors.ClientError) -> int:
    """The HTTP status of an answer; 0 where there was none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def as_os_error(error: Exception, uri: str) -> OSError:
    """boto3's ``error`` as the OSError of the same meaning, with ``uri`` in its message."""
    if isinstance(error, boto_errors.ClientError):
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = status_of(error)
        if code == "NoSuchBucket":
            return FileNotFoundError(f"{uri}: the bucket does not exist")
        if code in _CREDENTIAL_CODES:
            # Some stores answer this for a single unusual key; the other codes hold for every request.
            kind = PermissionError if code == "SignatureDoesNotMatch" else CredentialsError
            return kind(
                f"{uri}: the AWS credentials are not accepted ({code}); "
                "check AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if code == "InvalidObjectState":
            return OSError(f"{uri}: {_archived(error, uri)}")
        if status == 404:
            return FileNotFoundError(f"{uri}: no such object")
        if status in (401, 403):
            return PermissionError(f"{uri}: access denied ({code})")
        message = one_line(error.response.get("Error", {}).get("Message", ""))
        kind = ConnectionError if status in RETRIED_STATUS else OSError
        return kind(f"{uri}: the storage answered {status} ({': '.join(filter(None, [code, message]))})")
    if isinstance(error, boto_errors.CredentialRetrievalError) and error.kwargs.get("provider") == PROCESS:
        return _process_failed(uri, one_line(error.kwargs.get("error_msg", "")) or "it failed without a word")
    if isinstance(error, _CREDENTIAL_ERRORS):
        return CredentialsError(f"{uri}: no AWS credentials ({one_line(error)}); set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    if isinstance(error, boto_errors.SSLError):
        return ConnectionError(f"{uri}: {_untrusted(error)}")
    if isinstance(error.__dict__.get("kwargs", {}).get("error"), LocationParseError):  # its message quotes a password
        return ConnectionError(
            f"{uri}: the proxy in HTTPS_PROXY or HTTP_PROXY is not a URL; write / and @ in its password as %2F and %40"
        )
    message = one_line(error)
    if isinstance(error, _UNREACHABLE_ERRORS):
        return ConnectionError(f"{uri}: the storage cannot be reached ({message}); check AWS_ENDPOINT_URL")
    return OSError(f"{uri}: {message}")


def one_line(message: object) -> str:
    """A library's message in one line, without the user and password that an endpoint may have in it."""
    return without_credentials(" ".join(str(message).split()))


def _process_failed(uri: str, reason: str) -> CredentialsError:
    return CredentialsError(
        f"{uri}: the credential_process of the AWS profile {process_profile()} gave no credentials ({reason}); "
        "run it by hand, or set AWS_PROFILE to another profile"
    )


def _untrusted(error: boto_errors.SSLError) -> str:
    """A failed TLS handshake, and whose certificates are trusted."""
    reason, (named, path) = one_line(error.kwargs.get("error", error)), ca_bundle()
    if not any(word in reason for word in _UNKNOWN_AUTHORITY):  # expired, say, or of another host
        return f"no TLS connection to the storage ({reason}); check AWS_ENDPOINT_URL"
    trusted = f"it is by none of the authorities in {named} {path}" if path else "its authority is not known here"
    return (
        f"the storage's certificate is not trusted ({reason}): {trusted}; set AWS_CA_BUNDLE to the PEM file of its "
        "authority"
    )


def _archived(error: boto_errors.ClientError, uri: str) -> str:
    """How to restore an object of an archive: it must be asked for, and takes minutes to days."""
    storage_class = error.response.get("Error", {}).get("StorageClass", "an archive class")
    request = "{}" if storage_class == "INTELLIGENT_TIERING" else "Days=7"
    bucket, key = (shlex.quote(part) for part in split_bucket(uri))
    return (
        f"the object is archived ({storage_class}); restore it with `aws s3api restore-object --bucket {bucket} "
        f"--key {key} --restore-request {request}`, and give the same command again when that is done"
    )


@contextmanager
def as_cut_off_errors(way_out: str = "the same command continues it", *, if_full: str = "") -> Iterator[None]:
    """Turns OSError and MemoryError of a run under way into CutOffError, whose message ends with ``way_out``.

    Where a disk is full, ``if_full`` says first what to do about it.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        text = describe(error) if isinstance(error, OSError) else f"out of memory: {error}"
        first = f"{if_full}; " if if_full and is_full(error) else ""
        raise CutOffError(f"the run was cut off: {text}; {first}{way_out}") from error
