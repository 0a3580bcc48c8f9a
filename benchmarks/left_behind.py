"""Processes, files and bytes that a scoring job leaves on its machine, after one run and after many.

    python benchmarks/left_behind.py [--runs 20]

Each run is a process that scores one small clip into a store of its own, with its own Ray, and temporary files in a
folder of their own. Exit code 0 where many runs leave what one does: no process, as many files, and bytes that differ
only by the length of Ray's logs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from artifactscan.demo.clips import write_demo_corpus
from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

ROOT = Path(__file__).resolve().parent.parent
LOGS_DIFFER_BY = 0.25
"""Share by which the logs of one Ray session differ from another's."""


class Left(NamedTuple):
    """What is left after a run."""

    processes: int
    folders: int
    """Directly below TMPDIR and below Ray's folder."""
    files: int
    bytes: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="left-", dir="/tmp") as folder:  # short: Ray's sockets are below it
        tmpdir = Path(folder, "t")
        tmpdir.mkdir()
        _prepare(Path(folder))
        left = []
        for number in range(1, runs + 1):
            started = time.perf_counter()
            _run(Path(folder), tmpdir, number)
            left.append(_measure(tmpdir))
            print(f"run {number:3}  {time.perf_counter() - started:5.1f} s  {_describe(left[-1])}", flush=True)
    first, last = left[0], left[-1]
    same = last.processes == 0 and last.folders == first.folders and last.bytes <= (1 + LOGS_DIFFER_BY) * first.bytes
    print(f"{runs} runs leave {'what one does' if same else 'MORE than one'}")
    return 0 if same else 1


def _prepare(folder: Path) -> None:
    clip = write_demo_corpus(folder / "all")[0]
    (folder / "clips").mkdir()
    shutil.copy(clip, folder / "clips")
    checkpoint = initialise("test_resnet.r160_in1k", height=96, width=160, seed=1)
    save_checkpoint(checkpoint, str(folder / "checkpoint"))


def _run(folder: Path, tmpdir: Path, number: int) -> None:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, str(ROOT / "jobs" / "score.py"), "--quiet", "--executor", "ray", "--decode-actors", "1"]
    places = ["--input", folder / "clips", "--checkpoint", folder / "checkpoint", "--output", folder / f"store{number}"]
    subprocess.run(
        [*command, *map(str, places)],
        env={**usual, "TMPDIR": str(tmpdir)},
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )


def _measure(tmpdir: Path) -> Left:
    paths = [path for path in tmpdir.rglob("*") if not path.is_symlink()]
    files = [path for path in paths if path.is_file()]
    folders = [path for parent in (tmpdir, tmpdir / "ray") for path in parent.iterdir() if not path.is_symlink()]
    return Left(
        processes=sum(_has_tmpdir(process, str(tmpdir)) for process in psutil.process_iter()),
        folders=len(folders),
        files=len(files),
        bytes=sum(path.lstat().st_size for path in files),
    )


def _has_tmpdir(process: psutil.Process, tmpdir: str) -> bool:
    try:
        return process.environ().get("TMPDIR") == tmpdir and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _describe(left: Left) -> str:
    return f"{left.processes} processes, {left.folders} folders, {left.files} files, {left.bytes:,} bytes"


if __name__ == "__main__":
    sys.exit(main())
