"""What a job that starts its own Ray leaves on its machine, for each of its exits: real processes, real signals."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from media import write_clip
from own_ray_job import OwnRayJob, end_all, processes_of
from paths import ROOT

from artifactscan.cli.interruption import INTERRUPTED
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

LINGERS = """
import os, sys
if any(word.endswith("default_worker.py") for word in sys.argv) or "default_worker.py" in " ".join(sys.orig_argv):
    import subprocess
    subprocess.Popen(["sleep", "600"], start_new_session=True)
"""
"""Each worker leaves a process behind that nobody ends, as one that waits for a lock in its exit handlers."""
CLASSIFY, DECODE = "ray::MapWorker(MapBatches(Classify))", "ray::MapWorker(MapBatches(Decode))"


@pytest.fixture
def tmpdir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="left-", dir="/tmp"))
    yield folder
    end_all(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("places")
    (folder / "clips").mkdir()
    write_clip(folder / "clips" / "clip.mp4", seconds=2)
    save_checkpoint(initialise("test_resnet.r160_in1k", height=96, width=160, seed=1), str(folder / "checkpoint"))
    return ("--input", folder / "clips", "--checkpoint", folder / "checkpoint", "--decode-actors", 1)


def sessions(tmpdir: Path) -> list[Path]:
    return sorted((tmpdir / "ray").glob("session_2*"))


def records(tmpdir: Path) -> list[Path]:
    [folder] = tmpdir.glob("artifactscan-runs-*")
    return list(folder.iterdir())


def temporary_folders(tmpdir: Path) -> list[Path]:
    return [path for path in tmpdir.glob("artifactscan-*") if not path.name.startswith("artifactscan-runs-")]


INTERRUPTIONS = [
    pytest.param((signal.SIGINT, signal.SIGINT), CLASSIFY, id="Ctrl-C twice"),
    pytest.param((signal.SIGINT,), CLASSIFY, id="Ctrl-C", marks=pytest.mark.long),
    pytest.param((signal.SIGTERM,), CLASSIFY, id="SIGTERM", marks=pytest.mark.long),
    pytest.param((signal.SIGTERM,), "gcs_server", id="SIGTERM while Ray starts", marks=pytest.mark.long),
    pytest.param((signal.SIGINT, signal.SIGINT), "core/src/ray/raylet/raylet", id="Ctrl-C twice while Ray starts"),
]


@pytest.mark.parametrize(("signals", "at_work"), INTERRUPTIONS)
def test_an_interrupted_job_leaves_no_process_no_lease_and_one_sentence(
    signals: tuple[signal.Signals, ...], at_work: str, places: tuple, tmpdir: Path, tmp_path: Path
) -> None:
    with OwnRayJob(tmpdir, *places, "--output", tmp_path / "store") as job:
        job.wait_for(at_work)
        job.signal(*signals)
        code, said = job.end()
        assert processes_of(tmpdir) == []
    assert (code, said) == (3, f"error: {INTERRUPTED}\n")
    assert not (tmp_path / "store" / "lease.json").exists()
    assert temporary_folders(tmpdir) == []


@pytest.mark.long
def test_a_worker_that_does_not_end_is_killed_and_sessions_do_not_pile_up(
    places: tuple, tmpdir: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LINGERS)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    left = set()
    for number in range(3):
        with OwnRayJob(tmpdir, *places, "--output", tmp_path / str(number), PYTHONPATH=path) as job:
            lingering = job.wait_for("sleep 600")
            code, said = job.end()
            assert processes_of(tmpdir) == [] and not lingering.is_running()
        assert (code, said) == (0, "")
        left.add((len(sessions(tmpdir)), len(records(tmpdir)), len(temporary_folders(tmpdir))))
    assert left == {(1, 1, 0)}, "the last session's logs stay until the next run"


@pytest.mark.long
def test_the_next_run_ends_and_removes_what_a_killed_one_has_left(places: tuple, tmpdir: Path, tmp_path: Path) -> None:
    with OwnRayJob(tmpdir, *places, "--output", tmp_path / "store") as job:
        stuck = job.wait_for(DECODE)
        stuck.suspend()  # a stopped process ends by SIGKILL alone
        job.process.kill()
        job.end()
    [session], [folder] = sessions(tmpdir), temporary_folders(tmpdir)
    assert stuck.is_running() and (tmp_path / "store" / "lease.json").exists()
    with OwnRayJob(tmpdir, *places, "--output", tmp_path / "store") as job:
        assert job.end() == (0, "")
        assert processes_of(tmpdir) == []
    assert not stuck.is_running()
    assert not session.exists() and not folder.exists()
    assert (len(sessions(tmpdir)), len(records(tmpdir)), len(temporary_folders(tmpdir))) == (1, 1, 0)
    assert not (tmp_path / "store" / "lease.json").exists()


@pytest.mark.long
def test_a_refused_job_leaves_nothing(places: tuple, tmpdir: Path, tmp_path: Path) -> None:
    with OwnRayJob(tmpdir, *places, "--output", tmp_path / "store", "--classify-actors", 100_000) as job:
        code, said = job.end()
        assert processes_of(tmpdir) == []
    assert code == 2
    assert said.startswith("error: --classify-actors is 100000; the nodes for them have ")
    assert said.count("\n") == 1
    assert not (tmp_path / "store" / "lease.json").exists()
    assert not list((tmp_path / "store").glob("runs/*"))


@pytest.mark.long
def test_a_tmpdir_that_is_too_long_for_sockets_is_worked_with(places: tuple, tmpdir: Path, tmp_path: Path) -> None:
    long, short = tmpdir / ("long" * 35), Path(f"/tmp/artifactscan-ray-{os.getuid()}/ray")
    long.mkdir()
    left: list[list[Path]] = []
    for number in range(2):
        with OwnRayJob(long, *places, "--output", tmp_path / str(number)) as job:
            assert job.end() == (
                0,
                f"TMPDIR is too long for Ray's sockets: the Ray of this job keeps its files in {short}\n",
            )
            assert processes_of(long) == []
            left.append(list(short.glob(f"session_*_{job.process.pid}")))
    [[first], [second]] = left
    assert not first.exists(), "the next run removes it"
    assert second.exists() and not (long / "ray").exists() and temporary_folders(long) == []
    shutil.rmtree(second)
