"""Measures exporting the tables of a store: seconds and peak memory of `artifactscan export` for each target.

    python benchmarks/export_tables.py                    # 10 nights of 100,000 frames
    python benchmarks/export_tables.py --nights 1         # one of 1,000,000

The store is drawn: 20 frames a clip, an event in every second clip, and the ledger of each night repeats what the
nights before settled. Each export is a process of its own; it is given twice, the second time with nothing to do.
"""

import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from artifactscan import storage
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.schemas import STORED_EVENTS, STORED_FRAMES, STORED_VIDEOS
from artifactscan.storage.parquet import write_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

FRAMES_PER_CLIP = 20
FRAMES_PER_FILE = 200_000
"""As settling writes them."""
SPEC, CHECKPOINT = "0123456789abcdef", "resnet50-01234567"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measured:
    """One command."""

    seconds: float
    peak_mb: float
    said: str


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--to", nargs="+", default=["duckdb", "delta", "iceberg"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(str(Path(folder, "store")))
        draw_store(store, options.nights, options.frames // options.nights)
        for to in options.to:
            for turn in ("whole", "nothing new"):
                measured = export(store, to, Path(folder, to))
                said = measured.said.partition(";")[0][:40]
                print(f"{to:8} {turn:12} {measured.seconds:6.1f} s  {measured.peak_mb:7.0f} MB  {said}")


def draw_store(store: Store, nights: int, frames: int) -> None:
    """Commits ``nights`` runs of ``frames`` frames each."""
    generator, settled = np.random.default_rng(1), 0
    for number in range(nights):
        run, clips = f"20260101T{number:06d}Z-00000000", frames // FRAMES_PER_CLIP
        for file, start in enumerate(range(0, clips, FRAMES_PER_FILE // FRAMES_PER_CLIP)):
            names = clip_names(number, start, min(clips, start + FRAMES_PER_FILE // FRAMES_PER_CLIP))
            write_table(draw_frames(names, generator), storage.join(store.frames(run), f"frames-{file:05d}.parquet"))
            write_table(draw_events(names[::2]), storage.join(store.events(run), f"events-{file:05d}.parquet"))
        ledger = draw_ledger(clip_names(number, 0, clips), "scored", None)
        write_table(ledger, storage.join(store.videos(run), "videos-00000.parquet"))
        if number:
            before = [name for earlier in range(number) for name in clip_names(earlier, 0, clips)]
            unchanged = draw_ledger(before, "unchanged", "20260101T000000Z-00000000")
            write_table(unchanged, storage.join(store.videos(run), "unchanged-00000.parquet"))
        settled += clips
        store.commit(a_record(run, {"frames": clips * FRAMES_PER_CLIP, "listed": settled, "events": (clips + 1) // 2}))


def clip_names(night: int, start: int, end: int) -> list[str]:
    return [
        f"s3://bucket/videos/generator-a/2026-01/night-{night:03d}/clip-{number:07d}.mp4"
        for number in range(start, end)
    ]


def draw_frames(names: list[str], generator: np.random.Generator) -> pa.Table:
    rows = len(names) * FRAMES_PER_CLIP
    index = np.tile(np.arange(FRAMES_PER_CLIP), len(names))
    columns = {
        "video_id": np.repeat([f"{hash(name) & (2**64 - 1):016x}" for name in names], FRAMES_PER_CLIP),
        "uri": np.repeat(names, FRAMES_PER_CLIP),
        "frame_index": index * 12,
        "pts_s": index / 2.0,
        **{column: generator.random(rows) for column in SCORE_COLUMNS},
        "spec": np.full(rows, SPEC),
        "checkpoint": np.full(rows, CHECKPOINT),
    }
    return pa.table(
        {name: pa.array(values).cast(STORED_FRAMES.field(name).type) for name, values in columns.items()}
    ).cast(STORED_FRAMES)


def draw_events(names: list[str]) -> pa.Table:
    rows = [
        {
            "video_id": f"{hash(name) & (2**64 - 1):016x}",
            "uri": name,
            "label": LABELS[number % len(LABELS)],
            "start_s": 1.0,
            "end_s": 3.5,
            "peak": 0.9,
            "peak_frame": 36,
            "spec": SPEC,
            "checkpoint": CHECKPOINT,
        }
        for number, name in enumerate(names)
    ]
    return pa.Table.from_pylist(rows, STORED_EVENTS)


def draw_ledger(names: list[str], outcome: str, settled_by: str | None) -> pa.Table:
    known = {"outcome": outcome, "settled_run": settled_by, "spec": SPEC, "checkpoint": CHECKPOINT, "etag": "0" * 32}
    known |= {"settled_outcome": settled_by and "scored", "frames_decoded": FRAMES_PER_CLIP, "codec": "h264"}
    columns = {
        "video_id": pa.array([f"{hash(name) & (2**64 - 1):016x}" for name in names]),
        "uri": pa.array(names),
    }
    for field in list(STORED_VIDEOS)[2:]:
        columns[field.name] = pa.repeat(pa.scalar(known.get(field.name), field.type), len(names))
    return pa.table(columns, STORED_VIDEOS)


def a_record(run: str, counts: dict[str, int]) -> RunRecord:
    return RunRecord(
        run=run,
        spec_digest=SPEC,
        scope_digest="scope",
        limits_digest="limits",
        spec={"sample_fps": 2.0},
        settings={},
        checkpoint={"backbone": "resnet50", "digest": "0123456789abcdef", "thresholds": dict.fromkeys(LABELS, 0.5)},
        versions={},
        precision=["fp32"],
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T01:00:00+00:00",
        seconds={},
        counts=counts,
    )


def export(store: Store, to: str, output: Path) -> Measured:
    """Exports the store and measures it."""
    return run_job("export", store.root, "--to", to, "--output", str(output))


def run_job(name: str, *arguments: str) -> Measured:
    """Runs a job in a process of its own; SystemExit where it fails."""
    command = [sys.executable, str(ROOT / "jobs" / f"{name}.py"), *arguments]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read().strip()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return Measured(time.monotonic() - began, usage.ru_maxrss / 1000, said)


if __name__ == "__main__":
    main()
