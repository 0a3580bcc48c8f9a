"""SIGKILL at random moments of an export: the same command does the rest, and every row is there once."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from exported_nights import READERS, Tables, as_the_job_writes, stored
from paths import ROOT
from scored_runs import write_run

from artifactscan.store.layout import Store

NIGHTS, VIDEOS, FRAMES = 4, 20, 250
TARGETS = sorted(READERS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four nights of 5,000 frames each."""
    store, generator = Store(str(tmp_path_factory.mktemp("kills") / "store")), np.random.default_rng(1)
    for number in range(NIGHTS):
        videos = {
            f"/clips/{number}-{video}.mp4": {"motion": generator.random(FRAMES).round(2).tolist()}
            for video in range(VIDEOS)
        }
        as_the_job_writes(store, write_run(store, f"2026010{number + 1}T030000Z-00000000", videos), number)
    return store


def begin(store: Store, to: str, output: Path) -> subprocess.Popen[bytes]:
    """The export in a process of its own, which commits each run by itself, and then merges their files."""
    source = (
        "import sys; from artifactscan.export.tables import table_target; table_target.SMALL_FILES = 2; "
        "from artifactscan.export.tables import write_tables; write_tables.ROWS_PER_COMMIT = 1; "
        "from artifactscan.jobs.export import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", source, store.root, "--to", to, "--output", str(output)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


def wait_for_output(process: subprocess.Popen[bytes], output: Path) -> None:
    while process.poll() is None and not output.exists():
        time.sleep(0.002)


@pytest.fixture(scope="module")
def seconds_of_writing(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Target → seconds from the moment that its output appears to the end, measured once."""
    found = {}
    for to in TARGETS:
        output = tmp_path_factory.mktemp("whole") / "target"
        process = begin(store, to, output)
        wait_for_output(process, output)
        began = time.monotonic()
        finish(process)
        found[to] = time.monotonic() - began
    return found


def peek(to: str, output: Path, copy: Path) -> Tables | None:
    """What a target holds, read from a copy of its files; None where it cannot be read yet."""
    shutil.copytree(output.parent, copy)
    with suppress(Exception):
        return READERS[to](copy / output.name if to == "duckdb" else output)
    return None


def kill_and_continue(store: Store, to: str, folder: Path, count: int, seconds: float, seed: int) -> None:
    """Kills ``count`` exports in the middle, each at another moment, and lets the same command do the rest.

    An export that had everything written by then does not count; the next ones are killed earlier.
    """
    wanted, generator, interrupted = stored(store), random.Random(seed), 0
    for number in range(4 * count):
        output, moment = folder / str(number) / "target", generator.uniform(0, seconds)
        process = begin(store, to, output)
        wait_for_output(process, output)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if peek(to, output, folder / f"{number}-copy") == wanted:
            seconds *= 0.9
        else:
            assert process.returncode == -signal.SIGKILL
            interrupted += 1
        finish(begin(store, to, output))
        assert READERS[to](output) == wanted, f"killed after {moment:.3f} s"
        if interrupted == count:
            return
    pytest.fail(f"only {interrupted} of {4 * count} exports were killed in the middle")


@pytest.mark.long
@pytest.mark.parametrize("to", TARGETS)
def test_a_killed_export_is_continued(
    to: str, store: Store, seconds_of_writing: dict[str, float], tmp_path: Path
) -> None:
    kill_and_continue(store, to, tmp_path, 1, seconds_of_writing[to], seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("to", TARGETS)
def test_twenty_killed_exports_are_continued(
    to: str, store: Store, seconds_of_writing: dict[str, float], tmp_path: Path
) -> None:
    kill_and_continue(store, to, tmp_path, 20, seconds_of_writing[to], seed=2)


def test_a_table_that_is_read_meanwhile_has_whole_runs(store: Store, tmp_path: Path) -> None:
    """Each commit of a Delta table is one run, whole, and the last merges their files: what a reader sees of each."""
    from deltalake import DeltaTable

    output = tmp_path / "target"
    finish(begin(store, "delta", output))
    sizes = []
    for version in range(DeltaTable(output / "frames").version() + 1):
        rows = DeltaTable(output / "frames", version=version).to_pyarrow_table()
        counts = pa.table({"run": rows["run"]}).group_by("run").aggregate([("run", "count")])
        assert set(counts["run_count"].to_pylist()) <= {VIDEOS * FRAMES}
        sizes.append(rows.num_rows)
    assert sizes == [VIDEOS * FRAMES * number for number in (*range(NIGHTS + 1), NIGHTS)]
