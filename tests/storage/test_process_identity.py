"""Whether a process has ended is known from its boot, namespaces, pid and start, as far as the kernel has them."""

import subprocess
import sys
from pathlib import Path

import pytest

from artifactscan.storage import process_identity
from artifactscan.storage.process_identity import ProcessIdentity


def test_a_kind_of_namespace_that_the_kernel_lacks_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of time before Linux 5.6: whether another process has ended is known there too."""
    monkeypatch.setattr(process_identity, "_NAMESPACES", ("pid", "unknown"))
    this = ProcessIdentity.of_this_process()
    assert this.namespaces == f"{Path('/proc/self/ns/pid').readlink()} "
    assert this.boot and this.started_ticks
    assert this.is_running()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    other = ProcessIdentity(pid=ended.pid, started_ticks=this.started_ticks, boot=this.boot, namespaces=this.namespaces)
    assert other.is_running() is False
