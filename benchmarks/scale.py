"""What grows with the corpus: planning over settled objects, cost per video, memory.

    python benchmarks/scale.py plan     [--count 1000000]    # seconds and peak memory of --plan over a settled corpus
    python benchmarks/scale.py overhead [--count 10000]      # milliseconds that a tiny clip costs, all in
    python benchmarks/scale.py memory   [--count 100 1000]   # peak memory of all processes together

Each prints one line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from media import write_clip  # noqa: E402
from s3_server import GeneratedBucket  # noqa: E402

from artifactscan.backbone import initialise  # noqa: E402
from artifactscan.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from artifactscan.corpus import list_corpus  # noqa: E402
from artifactscan.settings import ScoreSettings  # noqa: E402
from artifactscan.store import RunRecord, Store  # noqa: E402
from artifactscan.tables import VIDEOS  # noqa: E402
from pipelines.scoring import Request, make_request  # noqa: E402

SAMPLE_S = 0.5
SIDE = 64
FEW = 32
"""Clips of the run whose time counts as start-up."""


def plan(count: int) -> dict[str, Any]:
    """Planning a second run over ``count`` settled objects of a bucket that exists only in its listing."""
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder, GeneratedBucket(count) as bucket:
        os.environ.update(bucket.env)
        save_checkpoint(initialise("test_resnet.r160_in1k"), f"{folder}/checkpoint")
        settings = ScoreSettings(input=bucket.uri, output=f"{folder}/store", checkpoint=f"{folder}/checkpoint")
        request = make_request(settings, load_checkpoint(settings.checkpoint))
        store, run = Store(settings.output), "20260101T000000Z-00000000"
        Path(store.videos(run)).mkdir(parents=True)
        with pq.ParquetWriter(f"{store.videos(run)}/videos-00000.parquet", VIDEOS, compression="zstd") as writer:
            for batch in list_corpus(bucket.uri, settings.listing()):
                writer.write_table(_as_ledger(batch))
        store.commit(_record_of(run, request))
        flags = ("--input", settings.input, "--output", settings.output, "--checkpoint", settings.checkpoint)
        seconds, peak_bytes, output = _job(*flags, "--plan")
    settled = next(line for line in output.splitlines() if "already settled" in line)
    assert f" {count:,} " in settled, output
    return {"objects": count, "seconds": seconds, "peak_bytes": peak_bytes}


def _record_of(run: str, request: Request) -> RunRecord:
    return RunRecord(
        run=run,
        spec_digest=request.spec.digest,
        scope_digest=request.scope,
        limits_digest=request.limits,
        spec={},
        settings={},
        checkpoint={},
        versions={},
        precision=[],
        started="",
        finished="",
        seconds={},
        counts={},
    )


def _as_ledger(batch: pa.RecordBatch) -> pa.Table:
    columns = {
        field.name: batch[field.name] if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in VIDEOS
    }
    columns["outcome"] = pa.repeat("scored", batch.num_rows)
    columns["frames_sampled"] = pa.repeat(pa.scalar(8, pa.int32()), batch.num_rows)
    return pa.table(columns, schema=VIDEOS)


def overhead(count: int) -> dict[str, Any]:
    """Milliseconds a video costs, all in, with ``count`` clips that are next to nothing to decode and classify."""
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder:
        clips, checkpoint = _tiny_clips(Path(folder, "many"), count), f"{folder}/checkpoint"
        save_checkpoint(initialise("test_resnet.r160_in1k", height=SIDE, width=SIDE), checkpoint)
        few = _tiny_clips(Path(folder, "few"), FEW)
        seconds, _, _ = _job("--input", clips, "--output", f"{folder}/all", "--checkpoint", checkpoint, "--quiet")
        started, _, _ = _job("--input", few, "--output", f"{folder}/some", "--checkpoint", checkpoint, "--quiet")
    return {"videos": count, "ms_per_video": (seconds - started) / (count - FEW) * 1000}


def memory(counts: list[int]) -> dict[str, Any]:
    """Peak memory of all processes together, by number of clips."""
    peaks = {}
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder:
        checkpoint = f"{folder}/checkpoint"
        save_checkpoint(initialise("resnet18", height=224, width=224), checkpoint)
        for count in counts:
            clips = _tiny_clips(Path(folder, str(count)), count, width=320, height=192, seconds=4)
            _, peaks[count], _ = _job(
                "--input", clips, "--output", f"{folder}/store{count}", "--checkpoint", checkpoint, "--quiet"
            )
    return {"peak_bytes": peaks, "growth": peaks[counts[-1]] / peaks[counts[0]] - 1}


def _tiny_clips(folder: Path, count: int, **clip: Any) -> Path:
    """``count`` names for one clip, by default a second long with two sampled frames."""
    folder.mkdir(parents=True, exist_ok=True)
    original = write_clip(folder.parent / f"{folder.name}.mp4", **{"width": SIDE, "height": 48, "seconds": 1, **clip})
    (folder / "clips").mkdir()
    for number in range(count):
        (folder / "clips" / f"clip{number:06d}.mp4").hardlink_to(original)
    return folder / "clips"


def _job(*arguments: object) -> tuple[float, int, str]:
    """Wall-clock seconds, peak memory of the process and all below it, and what it printed."""
    command = [sys.executable, str(ROOT / "jobs" / "score.py"), *map(str, arguments)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peaks = [0]
        watch = threading.Thread(target=_watch, args=(process, peaks))
        watch.start()
        output = process.communicate()[0]
        watch.join()
    assert process.returncode == 0, output
    return time.monotonic() - started, max(peaks), output


def _watch(process: subprocess.Popen, peaks: list[int]) -> None:
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        except psutil.Error:
            return
        peaks.append(sum(map(_proportional_bytes, family)))
        time.sleep(SAMPLE_S)


def _proportional_bytes(process: psutil.Process) -> int:
    """Memory of a process, with what it shares with others (the object store too) divided between them."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("plan", "overhead", "memory"))
    parser.add_argument("--count", type=int, nargs="+")
    arguments = parser.parse_args()
    if arguments.what == "plan":
        result = plan(*(arguments.count or [1_000_000]))
    elif arguments.what == "overhead":
        result = overhead(*(arguments.count or [10_000]))
    else:
        result = memory(arguments.count or [100, 1000])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
