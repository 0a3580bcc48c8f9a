"""Whether the head of a cluster that was joined is still there: Ray ends a process without one, and says nothing."""

import os
import socket
import threading
import time

import ray

from artifactscan.cli.job import EXIT_LEDGER, fail

ASK_S = 5.0
GONE_S = 45.0
"""Ray itself waits for 60 s (gcs_rpc_server_reconnect_timeout_s), and then ends the process with 1."""


def watch_head() -> None:
    """Ends this process with a sentence and EXIT_LEDGER, as any run that is cut off, once its head is gone."""
    address = ray.get_runtime_context().gcs_address
    threading.Thread(target=_watch, args=(address,), daemon=True, name="head watch").start()


def _watch(address: str) -> None:
    seen = time.monotonic()
    while ray.is_initialized():
        if _listens(address):
            seen = time.monotonic()
        elif time.monotonic() - seen > GONE_S:
            fail(
                f"the cluster's head at {address} is gone; the same command continues on a cluster that is there",
                EXIT_LEDGER,
            )
            os._exit(EXIT_LEDGER)  # whoever waits for an answer of Ray's is not to be woken
        time.sleep(ASK_S)


def _listens(address: str) -> bool:
    """Whether the port is open, which does not depend on how busy the head is."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_S).close()
    except OSError:
        return False
    return True
