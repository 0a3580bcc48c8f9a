"""Watches whether the head of a joined cluster is still there; without one, Ray ends the process without a message."""

import os
import socket
import threading
import time

import ray

from artifactscan.cli.exit_codes import EXIT_LEDGER, fail

POLL_S = 5.0
LOST_AFTER_S = 45.0
"""Seconds without an answer; after 60 (gcs_rpc_server_reconnect_timeout_s) Ray itself ends the process with 1."""


def watch_head() -> None:
    """Starts a thread that ends this process with a message and EXIT_LEDGER once the head is gone."""
    address = ray.get_runtime_context().gcs_address
    threading.Thread(target=_watch, args=(address,), daemon=True, name="head watch").start()


def _watch(address: str) -> None:
    seen = time.monotonic()
    while ray.is_initialized():
        if _listens(address):
            seen = time.monotonic()
        elif time.monotonic() - seen > LOST_AFTER_S:
            fail(
                f"the cluster's head at {address} is gone; the same command continues on a cluster that is there",
                EXIT_LEDGER,
            )
            os._exit(EXIT_LEDGER)  # the main thread may be waiting inside Ray, where no exception reaches it
        time.sleep(POLL_S)


def _listens(address: str) -> bool:
    """Whether the port accepts connections, which a busy head does too."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=POLL_S).close()
    except OSError:
        return False
    return True
