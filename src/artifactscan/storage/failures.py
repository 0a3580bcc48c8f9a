"""What goes wrong with a storage, in words: boto3's exceptions as OSErrors, and OSErrors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto_errors

from artifactscan.errors import CutOffError


class CredentialsError(PermissionError):
    """The credentials are not there or not accepted (any more): nothing can be had until they are renewed."""


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
_UNREACHABLE_ERRORS = (boto_errors.ConnectionError, boto_errors.HTTPClientError)


@contextmanager
def s3_errors(uri: str) -> Iterator[None]:
    """Turns what boto3 raises into OSErrors that name ``uri``."""
    try:
        yield
    except (boto_errors.ClientError, boto_errors.BotoCoreError) as error:
        raise as_os_error(error, uri) from error


def reason(error: OSError, uri: str) -> str:
    """What ``error`` says in one line, without errno and without naming ``uri`` again."""
    return " ".join((error.strerror or str(error)).split()).removeprefix(f"{uri}: ")


def in_words(error: OSError) -> str:
    """What ``error`` says in one line, with the file it is about."""
    about = f"{error.filename}: " if error.filename and error.strerror else ""
    return about + " ".join((error.strerror or str(error)).split())


def as_os_error(error: Exception, uri: str) -> OSError:
    """The OSError that says the same as boto3's ``error``."""
    if isinstance(error, boto_errors.ClientError):
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchBucket":
            return FileNotFoundError(f"{uri}: the bucket does not exist")
        if code in _CREDENTIAL_CODES:
            # Some stores say this of a single odd key; the others are true of every request.
            kind = PermissionError if code == "SignatureDoesNotMatch" else CredentialsError
            return kind(
                f"{uri}: the AWS credentials are not accepted ({code}); "
                "check AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if status == 404:
            return FileNotFoundError(f"{uri}: no such object")
        if status in (401, 403):
            return PermissionError(f"{uri}: access denied ({code})")
        message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
        return OSError(f"{uri}: the storage answered {status} ({': '.join(filter(None, [code, message]))})")
    if isinstance(error, _CREDENTIAL_ERRORS):
        return CredentialsError(f"{uri}: no AWS credentials ({error}); set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    message = " ".join(str(error).split())
    if isinstance(error, _UNREACHABLE_ERRORS):
        return ConnectionError(f"{uri}: the storage cannot be reached ({message}); check AWS_ENDPOINT_URL")
    return OSError(f"{uri}: {message}")


@contextmanager
def as_cut_off_errors(way_out: str = "the same command continues it") -> Iterator[None]:
    """With work under way what gives out is the machine or the storage, and what has landed stays: CutOffError."""
    try:
        yield
    except (OSError, MemoryError) as error:
        words = in_words(error) if isinstance(error, OSError) else f"out of memory: {error}"
        raise CutOffError(f"the run was cut off: {words}; {way_out}") from error
