"""Ending one's own head, as the README says, and no other Ray of the same user on the machine."""

import signal
from pathlib import Path

import psutil
import pytest
from nodes import Nodes
from paths import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_head_that_was_started_with_block_ends_alone(how: signal.Signals) -> None:
    """Nodes starts its head with the README's --block."""
    assert "ray start --head --block " in Path(ROOT, "README.md").read_text()
    mine, other = Nodes({}), Nodes({})
    try:
        assert (mine.alive(), other.alive()) == (1, 1)
        processes = [psutil.Process(mine.head.pid), *psutil.Process(mine.head.pid).children(recursive=True)]
        names = {process.name() for process in processes}
        assert {"gcs_server", "raylet"} <= names
        mine.head.send_signal(how)
        mine.head.wait(120)
        _, left = psutil.wait_procs(processes, timeout=120)
        assert [process.name() for process in left] == []
        assert other.alive() == 1
    finally:
        mine.close()
        other.close()
