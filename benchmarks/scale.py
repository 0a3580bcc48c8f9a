"""What grows with the corpus: planning over settled objects, cost per video, memory.

    python benchmarks/scale.py plan     [--count 1000000]    # seconds and peak memory of --plan over a settled corpus
    python benchmarks/scale.py overhead [--count 10000]      # milliseconds a tiny clip costs beyond decode and classify
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

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))

from media import write_clip  # noqa: E402
from s3_server import GeneratedBucket  # noqa: E402

from artifactscan.backbone import initialise  # noqa: E402
from artifactscan.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from artifactscan.classifier import Classifier  # noqa: E402
from artifactscan.classify_settings import ClassifySettings  # noqa: E402
from artifactscan.corpus import list_corpus  # noqa: E402
from artifactscan.inputs import InputSpec  # noqa: E402
from artifactscan.isolation import DecoderProcess  # noqa: E402
from artifactscan.settings import ScoreSettings  # noqa: E402
from artifactscan.store import RunRecord, Store  # noqa: E402
from artifactscan.tables import VIDEOS  # noqa: E402
from artifactscan.video import DecodeSettings  # noqa: E402
from pipelines.scoring import make_request  # noqa: E402

SAMPLE_S = 0.5
SIDE = 64
CORES = os.cpu_count() or 1


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
        values = {"spec": {}, "settings": {}, "checkpoint": {}, "versions": {}, "seconds": {}, "counts": {}}
        digests = {"spec_digest": request.spec.digest, "scope_digest": request.scope, "limits_digest": request.limits}
        store.commit(RunRecord(run=run, precision=[], started="", finished="", **digests, **values))
        flags = ("--input", settings.input, "--output", settings.output, "--checkpoint", settings.checkpoint)
        seconds, peak_bytes, output = _job(*flags, "--plan")
    settled = next(line for line in output.splitlines() if "already settled" in line)
    assert f" {count:,} " in settled, output
    return {"objects": count, "seconds": seconds, "peak_bytes": peak_bytes}


def _as_ledger(batch: pa.RecordBatch) -> pa.Table:
    columns = {
        field.name: batch[field.name] if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in VIDEOS
    }
    columns["outcome"] = pa.repeat("scored", batch.num_rows)
    columns["frames_sampled"] = pa.repeat(pa.scalar(8, pa.int32()), batch.num_rows)
    return pa.table(columns, schema=VIDEOS)


def overhead(count: int) -> dict[str, Any]:
    """Milliseconds per video of the scoring stage beyond decoding and inference, with ``count`` tiny clips."""
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder:
        clips, checkpoint = _tiny_clips(Path(folder), count), f"{folder}/checkpoint"
        save_checkpoint(initialise("test_resnet.r160_in1k", height=SIDE, width=SIDE), checkpoint)
        few = _tiny_clips(Path(folder, "few"), 32)
        seconds, _, _ = _job("--input", clips, "--output", f"{folder}/all", "--checkpoint", checkpoint, "--quiet")
        started, _, _ = _job("--input", few, "--output", f"{folder}/some", "--checkpoint", checkpoint, "--quiet")
        bound_s = _bound_s(sorted(few.glob("*.mp4"))) / 32
    per_video_s = (seconds - started) / (count - 32)
    return {
        "videos": count,
        "ms_per_video": per_video_s * 1000,
        "bound_ms": bound_s * 1000,
        "overhead_ms": (per_video_s - bound_s) * 1000,
    }


def _bound_s(clips: list[Path]) -> float:
    """Seconds in which all cores, never idle, decode these clips and classify their frames."""
    spec = InputSpec(height=SIDE, width=SIDE)
    classifier = Classifier(initialise("test_resnet.r160_in1k", height=SIDE, width=SIDE), ClassifySettings())
    with DecoderProcess(DecodeSettings(input=spec)) as decoder:
        list(decoder.decode(str(clips[0])))
        started = time.monotonic()
        for clip in clips:
            list(decoder.decode(str(clip)))
        decode_s = time.monotonic() - started
    frames = np.zeros((2 * len(clips), SIDE, SIDE, 3), np.uint8)
    classifier.scores([frames])
    started = time.monotonic()
    classifier.scores([frames])
    return decode_s / CORES + time.monotonic() - started


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
