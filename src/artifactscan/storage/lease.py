"""A lease on a store: one process works on it at a time.

A JSON file that its holder renews. It is void once it has not been renewed for STALE_S, or at once where its process
is found to be dead; then the next command takes over.
"""

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType

import psutil

from artifactscan import storage
from artifactscan.errors import CutOffError, UsageError
from artifactscan.storage.retries import S3_ATTEMPTS

RENEW_S = 15.0
STALE_S = 90.0
"""Several renewals, so that no lease is lost to a storage that throttles; clocks may differ by some seconds."""


@dataclass(frozen=True, kw_only=True)
class LeaseHolder:
    """The process that holds a lease."""

    token: str
    """Unique to one lease."""
    host: str
    pid: int
    started_s: float
    """When the process started, seconds since 1970; tells it from a later process with the same pid."""
    renewed_s: float
    """When the lease was last renewed, seconds since 1970."""

    @property
    def alive(self) -> bool:
        if time.time() - self.renewed_s > STALE_S:
            return False
        return self.host != socket.gethostname() or self._runs_here()

    def _runs_here(self) -> bool:
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started_s) < 1
        except psutil.Error:
            return False


class Lease:
    """Context manager that holds the lease at ``uri``; raises UsageError where another process holds it.

    Two processes that enter at the same moment may both get it; ``check`` raises for all but the last.
    """

    def __init__(self, uri: str):
        self._uri = uri
        self._token = secrets.token_hex(8)
        self._lost = False
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True, name="lease")

    def __enter__(self) -> "Lease":
        if (holder := _read(self._uri)) is not None and holder.alive:
            raise UsageError(
                f"process {holder.pid} on {holder.host} is working on this store (lease {self._uri}, renewed "
                f"{max(0.0, time.time() - holder.renewed_s):.0f} s ago); let it end first, or stop it"
            )
        self._write()
        self._renewer.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewer.join()
        with suppress(OSError):  # the error that ended the work matters more; a lease left behind is void soon
            if not self._lost and self._ours(attempts=1):
                storage.remove_tree(self._uri, attempts=1)

    def check(self) -> None:
        """Raises CutOffError where another process has taken over, or may have."""
        if self._lost or not self._ours():
            raise CutOffError(f"another process has taken over the lease {self._uri}; it goes on with the work")

    def _ours(self, *, attempts: int = S3_ATTEMPTS) -> bool:
        holder = _read(self._uri, attempts=attempts)
        return holder is not None and holder.token == self._token

    def _write(self, *, attempts: int = S3_ATTEMPTS) -> None:
        holder = LeaseHolder(
            token=self._token,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_s=psutil.Process().create_time(),
            renewed_s=time.time(),
        )
        storage.write_bytes(self._uri, json.dumps(asdict(holder)).encode(), attempts=attempts)

    def _renew(self) -> None:
        """Renews without retries: a renewal after long waits would be too late, and ``__exit__`` waits for it."""
        renewed = time.monotonic()
        while not self._stop.wait(RENEW_S):
            with suppress(OSError):  # the storage may come back
                if not self._ours(attempts=1):
                    self._lost = True
                    return
                if (asked := time.monotonic()) - renewed < STALE_S:
                    self._write(attempts=1)
                    renewed = asked
            if time.monotonic() - renewed > STALE_S:
                self._lost = True
                return


def _read(uri: str, *, attempts: int = S3_ATTEMPTS) -> LeaseHolder | None:
    """The holder of the lease; None where there is no lease, or no valid one."""
    try:
        return LeaseHolder(**json.loads(storage.read_bytes(uri, attempts=attempts)))
    except (FileNotFoundError, ValueError, TypeError):
        return None
