"""Fine-tuning against a bare PyTorch loop: training frames per second of the same model on the same frames.

    python benchmarks/finetune.py [--clips 8] [--epochs 5] [--repeats 3] [--json finetune.json]

The job runs with one worker on the CPU. The bare loop is what a person writes by hand: frames that lie decoded in
memory, normalised batch by batch, AdamW, binary cross-entropy. A second one does the same work as the job, and shows
how much of the difference is that work: it augments, clips gradients and averages weights. Every run is a process of
its own and they take turns, so what else the machine does falls on each; start-up, decoding, what the job keeps of
each epoch, and the first epoch are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from artifactscan.labels import LABELS
from artifactscan.training.recipe import TrainSettings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BACKBONE, SIZE = "tf_efficientnet_lite0", 224
TARGET = 0.85
"""Of the bare loop's frames per second."""
WARM_UP_EPOCHS = 1
THREADS = max(2, os.cpu_count() or 1)
"""As many as the job takes, which tells Ray of two cores where there is one."""
CLIP = ("--height", 192, "--width", 336, "--seconds", 1, "--fps", 24, "--sample-fps", 24, "--clean-share", 0)
"""Small, and every frame labelled: clips are slow to draw, and what they show is no matter here."""
LOOPS = {"bare": (), "same_work": ("--same-work",)}
"""Of bare_loop.py."""
WORDS = {"job": "the job", "bare": "a bare loop", "same_work": "a bare loop that does the same work"}


def main() -> int:
    arguments = _arguments()
    result = _compare(arguments.clips, arguments.epochs, arguments.repeats)
    Console().print(_table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=8, help=f"of 24 frames; {len(LABELS)} show every label")
    parser.add_argument("--epochs", type=int, default=5, help=f"of each run; the first {WARM_UP_EPOCHS} does not count")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.clips < len(LABELS):
        parser.error(f"--clips is {arguments.clips}; give {len(LABELS)} or more, by which every label is shown")
    if arguments.epochs <= WARM_UP_EPOCHS:
        parser.error(f"--epochs is {arguments.epochs}, and the first {WARM_UP_EPOCHS} does not count; give more")
    return arguments


def _compare(clips: int, epochs: int, repeats: int) -> dict[str, Any]:
    """Every epoch's rate of each contestant, turn by turn; the medians of the turns' medians, and their ratios."""
    turns: dict[str, list[list[float]]] = {name: [] for name in ("job", *LOOPS)}
    job_s: list[float] = []
    with TemporaryDirectory(prefix="artifactscan-bench-") as folder:
        work = Path(folder)
        _python(ROOT / "jobs" / "synthesise.py", "--output", work / "set", "--count", clips, *CLIP)
        for turn in range(repeats):
            started = time.monotonic()
            turns["job"].append(_job(work / "set" / "labels.csv", work / f"job{turn}", work / "cache", epochs))
            job_s.append(time.monotonic() - started)
            [frames] = work.glob("cache/*/parts")  # decoded by the first job, for all
            for name, flags in LOOPS.items():
                turns[name].append(_bare_loop(frames, epochs, *flags))
        count = pq.read_table(frames, columns=["row"]).num_rows
    rates = {
        name: statistics.median(statistics.median(epochs[WARM_UP_EPOCHS:]) for epochs in of_turns)
        for name, of_turns in turns.items()
    }
    return {
        "backbone": BACKBONE,
        "size": SIZE,
        "frames": count,
        "batch_frames": TrainSettings().batch_frames,
        "threads": THREADS,
        "epochs": turns,
        "job_s": job_s,
        "frames_per_s": rates,
        "ratios": {name: rates["job"] / rates[name] for name in LOOPS},
        "target": TARGET,
    }


def _job(labels: Path, output: Path, cache: Path, epochs: int) -> list[float]:
    where = ("--labels", labels, "--output", output, "--cache", cache, "--device", "cpu", "--workers", 1, "--quiet")
    model = ("--backbone", BACKBONE, "--init", "none", "--height", SIZE, "--width", SIZE)
    how = ("--protocol", "none", "--tune-share", 0, "--epochs", epochs)
    _python(ROOT / "jobs" / "finetune.py", *where, *model, *how)
    rates = pd.read_parquet(output / BACKBONE / "history.parquet")["frames_per_s"].tolist()
    assert len(rates) == epochs, rates
    return rates


def _bare_loop(frames: Path, epochs: int, *flags: str) -> list[float]:
    arguments = ("--backbone", BACKBONE, "--size", SIZE, "--epochs", epochs, "--threads", THREADS)
    return json.loads(_python(HERE / "bare_loop.py", frames, *arguments, *flags))


def _python(*arguments: object) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["RAY_USE_MULTIPROCESSING_CPU_COUNT"] = "1"  # so that the job takes THREADS in a container, too
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment).stdout


def _table(result: dict[str, Any]) -> Table:
    title = f"Fine-tuning {BACKBONE} on {result['frames']} frames with {result['threads']} threads"
    table = Table(title=title, title_justify="left")
    for column in ("", "frames/s", "ratio", "to reach"):
        table.add_column(column, justify="right" if column in ("frames/s", "ratio") else "left")
    for name, rate in result["frames_per_s"].items():
        ratio = result["ratios"].get(name, 1.0)
        reach = f"≥ {TARGET:.2f}×{' missed' if ratio < TARGET else ''}" if name == "bare" else ""
        table.add_row(WORDS[name], f"{rate:.2f}", f"{ratio:.2f}×", reach)
    return table


if __name__ == "__main__":
    sys.exit(main())
