"""What the errors of DuckDB, delta-rs, PyIceberg and the databases of catalogues say, and the way out of each cause.

These libraries tell causes apart by their words only, which are the system's or a database's own.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from artifactscan.errors import CutOffError, UsageError
from artifactscan.messages.text import without_credentials
from artifactscan.storage.storage_errors import describe, one_line
from artifactscan.storage.write_errors import FREE_SPACE

CONTINUES = "the same command continues the export"
"""The way out where an export was cut off."""


@dataclass(frozen=True)
class _Cause:
    words: str
    """Regular expression of what the library says."""
    way_out: str
    """Of opening a target."""
    before_going_on: str = ""
    """What is to be done where writing failed, before the same command can continue."""


_RESTORE = "restore it from a copy, or give another one"
_CAUSES = (
    _Cause(
        "Could not set lock on file",
        "close it where it is open, or give another file, and give the same command again",
    ),
    _Cause("database is locked", "let what else works on it end, or give another one, and give the same command again"),
    _Cause(
        "No space left on device|database or disk is full|Disk quota exceeded",
        f"{FREE_SPACE}, and give the same command again",
        FREE_SPACE,
    ),
    _Cause(
        "File too large",
        "raise the limit on the size of files (ulimit -f), or give a place on another file system",
        "raise the limit on the size of files (ulimit -f)",
    ),
    _Cause(
        "Permission denied|Operation not permitted|Read-only file system|readonly database",
        "give another place, or get the right to read and write there",
        "get the right to write there",
    ),
    _Cause("unable to open database file", "give a file in a folder that is there and can be written"),
    _Cause(
        "Corrupt database file|Could not read enough bytes|not a valid DuckDB database|file is not a database"
        "|database disk image is malformed",
        _RESTORE,
        _RESTORE,
    ),
    _Cause("No such file or directory", _RESTORE, _RESTORE),
    _Cause("File exists|Not a directory", "give a file in a folder"),
    _Cause(
        "password authentication failed|no password (supplied|was provided)|Access denied for user"
        "|Login failed for user|(Ident|Peer) authentication failed|role .* does not exist",
        "check the user and the password that are given for it",
    ),
    _Cause(
        "UnauthorizedError|ForbiddenError|OAuthError|AuthorizationExpiredError|Unable to locate credentials"
        "|ExpiredToken|UnrecognizedClient|AccessDenied",
        "check the credentials that PyIceberg's configuration has for it",
        "check the credentials that PyIceberg's configuration has for it",
    ),
    _Cause("permission denied for|command denied to user", "give its user that right", "give its user that right"),
    _Cause('database "[^"]*" does not exist|Unknown database', "create that database, or name another one"),
    _Cause(
        "Connection refused|could not translate host name|Name or service not known|No address associated with hostname"
        "|Temporary failure in name resolution|No route to host|Network is unreachable|timeout expired|timed out"
        "|Can't connect to|Can't create a connection|Could not connect|failed to resolve host",
        "check its host and port, and that it runs there",
        "check that it runs",
    ),
)
_ARROW = "↳"
"""Before each further error in the messages of delta-rs, whose first line may be "Generic LocalFileSystem error"."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def opening(what: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns a library's ``errors`` and OSErrors of opening a target into UsageError: nothing was written.

    Where the cause is not known, the message ends with what the library says.
    """
    try:
        yield
    except (*errors, OSError) as error:
        cause = _find_cause(error)
        way_out = f"; {cause.way_out}" if cause else ""
        raise UsageError(f"{what} cannot be used: {_reason(error, cause)}{way_out}") from error


@contextmanager
def writing(what: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns a library's ``errors`` and OSErrors of writing to a target into CutOffError: what was committed stays."""
    try:
        yield
    except (*errors, OSError) as error:
        cause = _find_cause(error)
        first = f"{cause.before_going_on}; then " if cause and cause.before_going_on else ""
        raise CutOffError(f"writing to {what} failed: {_reason(error, cause)}; {first}{CONTINUES}") from error


def _find_cause(error: Exception) -> _Cause | None:
    said = f"{type(error).__name__}: {error}"
    return next((cause for cause in _CAUSES if re.search(cause.words, said)), None)


def _reason(error: Exception, cause: _Cause | None) -> str:
    """The line of a library's message that has the cause, or the first one, without passwords in URLs.

    PostgreSQL's client has a line for each address that it tried, delta-rs one for each error behind the first.
    """
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    chain = [line.removeprefix(_ARROW).strip() for line in lines[1:] if line.startswith(_ARROW)]
    if isinstance(error, OSError) and error.strerror:
        text = describe(error)
    elif not lines:
        text = type(error).__name__
    elif chain:
        text = ": ".join([lines[0], *chain])
    else:
        text = next((line for line in lines if cause and re.search(cause.words, line)), lines[0])
    return without_credentials(one_line(text))
