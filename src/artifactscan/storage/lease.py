"""A lease on a store: one process works on it at a time.

A JSON file that its holder renews; each write of it succeeds only where nobody else has written since. Another process
takes it over at once where it knows that the holder's process has ended, and otherwise after it has seen it unchanged
for STALE_S. No clock is compared with that of another machine.
"""

import json
import logging
import math
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from artifactscan import storage
from artifactscan.errors import CutOffError, UsageError
from artifactscan.storage.compare_and_swap import Versioned, read_versioned, remove_if, write_if
from artifactscan.storage.object_storage import ConditionsUnsupportedError
from artifactscan.storage.process_identity import ProcessIdentity
from artifactscan.storage.retries import ATTEMPTS

LEASE_NAME = "lease.json"
"""Name of the file in a folder that one job at a time may write to."""
RENEW_S = 15.0
STALE_S = 90.0
"""Several renewals, so that no lease is lost to a storage that throttles."""
POLL_S = 3.0
SETTLE_S = 2.0
"""Where a storage has no conditional writes: wait before reading which of several writers was the last."""

TAKE_TRIES = 5
"""Several processes that begin at once need two or three."""
EXIT_ATTEMPTS = 3
"""Half a second of waits: a storage that is busy is asked again, one that is away is not waited for."""
_UNKNOWN = "a process whose lease cannot be read"

_log = logging.getLogger("artifactscan.storage")
_tokens_held: set[str] = set()
"""Of this process's leases: one with its identity and another token it could not remove, and no longer holds."""


@dataclass(frozen=True, kw_only=True)
class LeaseHolder:
    """What a lease says of the process that holds it."""

    token: str
    """Unique to one lease."""
    host: str
    process: ProcessIdentity
    since: str
    """When it was taken, by the holder's clock; for people only."""
    what: str = ""
    """What the holder works on; for people only. Empty in leases of earlier versions."""
    renewals: int = 0

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def decode(data: bytes) -> "LeaseHolder | None":
        """None for what is no lease; fields of a later version are ignored, those an earlier one lacks are empty."""
        try:
            values = json.loads(data)
            process = values.get("process") or {"pid": values["pid"]}
            known = {field.name: process[field.name] for field in fields(ProcessIdentity) if field.name in process}
            return LeaseHolder(
                token=str(values["token"]),
                host=str(values["host"]),
                process=ProcessIdentity(**known),
                since=str(values.get("since", "an unknown time")),
                what=str(values.get("what", "")),
                renewals=int(values.get("renewals", 0)),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def __str__(self) -> str:
        if self.process.is_of_another_container():
            return f"a process in another container (process {self.process.pid} there) on {self.host}"
        return f"process {self.process.pid} on {self.host}"


class Lease:
    """Context manager that holds the lease at ``uri``; raises UsageError where another process holds it.

    Entering takes at most STALE_S longer where it cannot be seen whether the holder's process has ended. Where a
    UsageError ends the block, local folders that were made for the lease and are empty are removed: nothing was done.
    ``what``: what is worked on, for messages of other processes too.
    """

    def __init__(self, uri: str, *, what: str = "store"):
        self._uri, self._what = uri, what
        self._token = secrets.token_hex(8)
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._renewals = 0
        self._version = ""
        self._renewed_s = 0.0
        self._conditional = True
        self._lost = False
        self._made: list[Path] = []
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._renewer = threading.Thread(target=self._keep_renewing, daemon=True, name="lease")

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what differed from an ordinary lease, for the record of the run."""
        return () if self._conditional else (self._without_conditions(),)

    def __enter__(self) -> "Lease":
        _tokens_held.add(self._token)
        self._made = _missing_folders(self._uri)
        try:
            self._await_and_take()
        except BaseException:
            _tokens_held.discard(self._token)
            raise
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewer.join()
        try:
            if not self._lost and self._renew(attempts=EXIT_ATTEMPTS):  # so that nobody takes it while it is removed
                remove_if(self._uri, self._version, attempts=EXIT_ATTEMPTS)
        except OSError as error:  # the one that ended the work matters more
            _log.warning("the lease %s is left behind, void when this process ends: %s", self._uri, error)
        finally:
            _tokens_held.discard(self._token)
        if kind is not None and issubclass(kind, UsageError):
            with suppress(OSError):  # not empty, and so are those above it
                for folder in self._made:
                    folder.rmdir()

    def check(self) -> None:
        """Renews the lease; raises CutOffError where another process has taken it over, or may have."""
        if self._lost or not self._renew():
            raise CutOffError(f"another process has taken over the lease {self._uri}; it goes on with the work")

    def check_if_due(self) -> None:
        """As ``check``, but asks the storage only where the last renewal is over RENEW_S ago: for each step.

        So a process that stood still does not go on where another one has taken the lease over.
        """
        if self._lost or _clock_s() - self._renewed_s > RENEW_S:
            self.check()

    def _await_and_take(self) -> None:
        for _ in range(TAKE_TRIES):
            if self._take(self._await_free()):
                return
            time.sleep(POLL_S)  # another process was quicker; whether it lives is looked at as before
        raise UsageError(
            f"the lease {self._uri} contradicts itself: {TAKE_TRIES} times it was free when it was read, and not when "
            "it was written; remove it where it is a broken link, else check what answers for the storage"
        )

    def _await_free(self) -> Versioned | None:
        """The lease of a process that has ended, or None where there is none; UsageError while a process holds it."""
        found = _read(self._uri)
        if found is None:
            return None
        holder = LeaseHolder.decode(found.data)  # what cannot be read may be half written, or a later version's
        running = holder.process.is_running() if holder else None
        if holder and running and not _was_left_by_this_process(holder):
            self._refuse(holder)
        if running is None:
            _log.warning(
                "%s may be working on this %s (lease %s); waiting up to %.0f s for a sign of life",
                holder or _UNKNOWN,
                self._held_for(holder),
                self._uri,
                STALE_S,
            )
            # Times are counted, not measured: while this machine stood still, the other one may have too.
            for _ in range(math.ceil(STALE_S / POLL_S)):
                time.sleep(POLL_S)
                now = _read(self._uri)
                if now is None:
                    return None
                if now.version != found.version:
                    self._refuse(LeaseHolder.decode(now.data) or holder)
            _log.warning("%s gave no sign of life for %.0f s; its lease is taken over", holder or _UNKNOWN, STALE_S)
        return found

    def _refuse(self, holder: LeaseHolder | None) -> NoReturn:
        since = f", taken at {holder.since} by its clock" if holder else ""
        raise UsageError(
            f"{holder or _UNKNOWN} is working on this {self._held_for(holder)} (lease {self._uri}{since}); "
            "let it end first, or stop it"
        )

    def _held_for(self, holder: LeaseHolder | None) -> str:
        """What the holder works on, which may be other work in the same folder than this process's."""
        return (holder.what if holder else "") or self._what

    def _take(self, found: Versioned | None) -> bool:
        """Writes the first content in place of ``found``; False where another process was quicker."""
        started_s = _clock_s()
        version = self._swap(found.version if found else None)
        if version is None:
            return False
        if storage.is_remote(self._uri) and self._conditional:
            version = self._renew_and_probe(version)
            if version is None:
                return False
        self._version, self._renewed_s = version, started_s
        return True

    def _renew_and_probe(self, first: str) -> str | None:
        """Renews what was just written, so that a storage that ignores conditions shows it; returns the new version.

        None where another process was quicker.
        """
        version = self._swap(first)
        if version is not None and self._conditional and self._is_overwritten_unasked(first):
            self._give_up_conditions()
            time.sleep(SETTLE_S)
            return self._own_version()
        return version

    def _is_overwritten_unasked(self, superseded: str) -> bool:
        """Whether the storage writes what must not exist yet, or in place of a version that is there no more."""
        try:
            return any(write_if(self._uri, self._content(), version=version) for version in (None, superseded))
        except ConditionsUnsupportedError:
            return True

    def _renew(self, *, attempts: int = ATTEMPTS) -> bool:
        """False where the lease is another's now."""
        with self._writing:
            started_s = _clock_s()
            if not self._conditional and started_s - self._renewed_s > STALE_S:
                self._lost = True
            version = None if self._lost else self._swap(self._version, attempts=attempts)
            if version is None:
                self._lost = True
                return False
            self._version, self._renewed_s = version, started_s
            return True

    def _keep_renewing(self) -> None:
        """Renews without retries: a renewal after long waits would be too late, and ``__exit__`` waits for it."""
        while not self._stop.wait(RENEW_S):
            with suppress(OSError):  # the storage may come back
                if not self._renew(attempts=1):
                    return
            # Conditional writes can tell at any time whether another process has it.
            if not self._conditional and _clock_s() - self._renewed_s > STALE_S:
                self._lost = True
                return

    def _swap(self, version: str | None, *, attempts: int = ATTEMPTS) -> str | None:
        """Writes the lease where it still has this version; returns the new one, or None where it has not."""
        if self._conditional:
            try:
                written = write_if(self._uri, self._content(), version=version, attempts=attempts)
                # A write whose answer was lost counts: only this process writes its token.
                return written or self._own_version(attempts=attempts)
            except ConditionsUnsupportedError:
                self._give_up_conditions()
        if self._version:  # by its token: the answer to the last renewal may have been lost
            unchanged = self._own_version(attempts=attempts) is not None
        else:
            found = _read(self._uri, attempts=attempts)
            unchanged = (found.version if found else None) == version
        if not unchanged:
            return None
        storage.write_bytes(self._uri, self._content(), attempts=attempts)
        time.sleep(0.0 if self._version else SETTLE_S)
        return self._own_version(attempts=attempts)

    def _own_version(self, *, attempts: int = ATTEMPTS) -> str | None:
        """The version of the lease if this process was the last to write it."""
        found = _read(self._uri, attempts=attempts)
        holder = LeaseHolder.decode(found.data) if found else None
        return found.version if found and holder and holder.token == self._token else None

    def _give_up_conditions(self) -> None:
        self._conditional = False
        _log.warning("%s", self._without_conditions())

    def _without_conditions(self) -> str:
        return (
            f"the storage of {self._uri} has no conditional writes (If-Match, If-None-Match): of two commands that "
            "start within a second one is only stopped before it commits; start one at a time"
        )

    def _content(self) -> bytes:
        self._renewals += 1  # so that each renewal has another digest
        return LeaseHolder(
            token=self._token,
            host=socket.gethostname(),
            process=ProcessIdentity.of_this_process(),
            since=self._since,
            what=self._what,
            renewals=self._renewals,
        ).encode()


def _missing_folders(uri: str) -> list[Path]:
    """The local folders, innermost first, that writing ``uri`` makes."""
    if storage.is_remote(uri):
        return []
    return [folder for folder in Path(storage.normalise(uri)).parents if not folder.exists()]


def _was_left_by_this_process(holder: LeaseHolder) -> bool:
    return holder.process == ProcessIdentity.of_this_process() and holder.token not in _tokens_held


def _read(uri: str, *, attempts: int = ATTEMPTS) -> Versioned | None:
    try:
        return read_versioned(uri, attempts=attempts)
    except FileNotFoundError:
        return None


def _clock_s() -> float:
    """Seconds that no change of the clock changes; they go on while the machine is suspended, where it tells them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
