"""What grows with the corpus: planning over settled objects, cost per video, memory.

    python benchmarks/scale.py plan     [--count 1000000]    # seconds and peak memory of --plan over a settled corpus
    python benchmarks/scale.py overhead [--count 10000]      # milliseconds that a tiny clip costs, all in
    python benchmarks/scale.py memory   [--count 100 1000]   # peak memory of all processes together
    python benchmarks/scale.py night    [--count 1000000]    # seconds and peak memory of an audit with nothing new

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
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from media import write_clip  # noqa: E402
from s3_server import GeneratedBucket  # noqa: E402

from artifactscan.audit import canaries  # noqa: E402
from artifactscan.audit.audit_store import AuditStore  # noqa: E402
from artifactscan.audit.night import Night, Verdict  # noqa: E402
from artifactscan.audit.night_tables import ARRIVALS, PICTURES, PREVALENCE, SAMPLING  # noqa: E402
from artifactscan.audit.night_tables import CANARIES as CANARY_SCHEMA  # noqa: E402
from artifactscan.audit.policy import Policy, as_record  # noqa: E402
from artifactscan.audit.statistics.flag_rates import measure_rates  # noqa: E402
from artifactscan.corpus.listing import list_corpus  # noqa: E402
from artifactscan.demo import marks  # noqa: E402
from artifactscan.labels import LABELS  # noqa: E402
from artifactscan.model.backbone import initialise  # noqa: E402
from artifactscan.model.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from artifactscan.pipelines.score.request import Request, make_request  # noqa: E402
from artifactscan.schemas import EVENTS, VIDEOS  # noqa: E402
from artifactscan.scoring.events import EventSettings  # noqa: E402
from artifactscan.scoring.settings import ScoreSettings  # noqa: E402
from artifactscan.storage.parquet import write_table  # noqa: E402
from artifactscan.store.layout import UNCHANGED_PREFIX, Store  # noqa: E402
from artifactscan.store.run_records import RunRecord  # noqa: E402

NIGHTS, ARRIVALS_A_NIGHT, CANARIES = 14, 10_000, 12
SAMPLE_S = 0.5
SIDE = 64
ON_RAY = ("score.py", "--executor", "ray", "--quiet")
"""A few clips would be scored without Ray."""
FEW = 32
"""Clips of the run whose time counts as start-up."""


def plan(count: int) -> dict[str, Any]:
    """Planning a second run over ``count`` settled objects of a bucket that exists only in its listing."""
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder, GeneratedBucket(count) as bucket:
        os.environ.update(bucket.env)
        save_checkpoint(initialise("test_resnet.r160_in1k"), f"{folder}/checkpoint")
        settings = ScoreSettings(input=bucket.uri, output=f"{folder}/store", checkpoint=f"{folder}/checkpoint")
        _write_settled(settings)
        flags = ("--input", settings.input, "--output", settings.output, "--checkpoint", settings.checkpoint)
        seconds, peak_bytes, output = _job("score.py", *flags, "--plan")
    settled = next(line for line in output.splitlines() if "already settled" in line)
    assert f" {count:,} " in settled, output
    return {"objects": count, "seconds": seconds, "peak_bytes": peak_bytes}


def night(count: int) -> dict[str, Any]:
    """An audit with nothing new over ``count`` settled objects of a bucket that exists only in its listing.

    Fourteen nights of ten thousand arrivals each came before.
    """
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder, GeneratedBucket(count) as bucket:
        os.environ.update(bucket.env)
        checkpoint = marks.write_checkpoint(Path(folder, "checkpoint"))
        store = AuditStore(f"{folder}/audit")
        settings = ScoreSettings(input=bucket.uri, output=store.scores.root, checkpoint=checkpoint)
        request, settled = _write_settled(settings)
        names = [f"202601{day:02d}T030000Z-00000000" for day in range(2, 2 + NIGHTS)]
        canaries.ensure_clips(store.canary, CANARIES)
        canary_scores = store.canary_scores(names[0]).root
        clips = canaries.clips_folder(store.canary)
        _job("score.py", "--input", clips, "--output", canary_scores, "--checkpoint", checkpoint)
        for number, name in enumerate(names):
            _write_night(store, name, scorer=names[0], runs=settled if not number else (), request=request)
        flags = ("--corpus", bucket.uri, "--store", store.root, "--checkpoint", checkpoint, "--quiet")
        seconds, peak_bytes, output = _job("audit.py", *flags)
        [*_, last] = store.nights()
    assert (last.counts["settled"], last.counts["arrivals"]) == (count, 0), output
    assert len(last.baseline) == NIGHTS, last.baseline
    return {"objects": count, "seconds": seconds, "peak_bytes": peak_bytes, "said": output.splitlines()[0]}


def _write_night(store: AuditStore, name: str, *, scorer: str, runs: tuple[str, ...], request: Request) -> None:
    arrivals = _arrivals(name)
    empty = {"events": EVENTS, "sampling": SAMPLING, "prevalence": PREVALENCE, "pictures": PICTURES}
    tables = {table: schema.empty_table() for table, schema in empty.items()}
    cells = measure_rates(arrivals, {}, Policy())
    written = store.write_tables(
        name, {**tables, "arrivals": arrivals, "cells": cells, "canaries": CANARY_SCHEMA.empty_table()}
    )
    store.commit(
        Night(
            night=name,
            corpus="",
            started="2026-01-01T00:00:00+00:00",
            finished="2026-01-01T00:00:00+00:00",
            scorer=scorer,
            spec_digest=request.spec.digest,
            spec=asdict(request.spec),
            checkpoint={"digest": request.spec.checkpoint_digest},
            versions={},
            tables=written,
            runs=runs or (f"run-{name}",),
            counts={},
            outcomes={"scored": ARRIVALS_A_NIGHT},
            standing_outcomes={},
            standing_rates={},
            baseline=(),
            thresholds=dict.fromkeys(LABELS, 0.5),
            events=asdict(EventSettings()),
            policy=as_record(Policy()),
            verdict=Verdict(code=0, headline=""),
        )
    )


def _arrivals(night: str) -> pa.Table:
    rng = np.random.default_rng(sum(night.encode()))
    paths = [f"{night}/{number:05d}.mp4" for number in range(ARRIVALS_A_NIGHT)]
    columns: dict[str, Any] = dict.fromkeys(("video_id", "uri", "path"), paths)
    columns |= {"groups": [[]] * ARRIVALS_A_NIGHT, "outcome": ["scored"] * ARRIVALS_A_NIGHT}
    columns |= {"reason": pa.nulls(ARRIVALS_A_NIGHT, pa.string()), "duration_s": np.full(ARRIVALS_A_NIGHT, 10.0)}
    columns["frames"] = np.full(ARRIVALS_A_NIGHT, 20, np.int32)
    for label in LABELS:
        flagged = rng.random(ARRIVALS_A_NIGHT) < 0.05
        columns |= {f"{name}_{label}": flagged.astype(np.int32) for name in ("events", "frames_over", "peak_frame")}
        columns |= {f"{name}_{label}": flagged.astype(np.float64) for name in ("event_s", "peak_s")}
        columns[f"peak_{label}"] = rng.random(ARRIVALS_A_NIGHT).astype(np.float32)
    return pa.table({name: columns[name] for name in ARRIVALS.names}).cast(ARRIVALS)


def _write_settled(settings: ScoreSettings) -> tuple[Request, tuple[str, ...]]:
    """A store in which runs of BATCH_ROWS videos each settled everything of the input.

    Returns what they were asked, and their ids.
    """
    checkpoint = load_checkpoint(settings.checkpoint)
    request = make_request(settings, checkpoint)
    store, runs = Store(settings.output), []
    batches = list(list_corpus(settings.input, settings.listing()))
    for number, batch in enumerate(batches):
        runs.append(f"20260101T{number // 60:02d}{number % 60:02d}00Z-00000000")
        write_table(_as_ledger(batch), f"{store.videos(runs[-1])}/videos-00000.parquet")
        store.commit(_record_of(runs[-1], request, checkpoint.card.thresholds))
    # The last one has listed them all.
    with pq.ParquetWriter(f"{store.videos(runs[-1])}/{UNCHANGED_PREFIX}00000.parquet", VIDEOS) as writer:
        for batch in batches[:-1]:
            writer.write_table(_as_ledger(batch, outcome="unchanged"))
    return request, tuple(runs)


def _record_of(run: str, request: Request, thresholds: Mapping[str, float]) -> RunRecord:
    return RunRecord(
        run=run,
        spec_digest=request.spec.digest,
        scope_digest=request.scope,
        limits_digest=request.limits,
        spec={},
        settings={},
        checkpoint={"digest": request.spec.checkpoint_digest, "thresholds": dict(thresholds)},
        versions={},
        precision=[],
        started="",
        finished="",
        seconds={},
        counts={},
    )


def _as_ledger(batch: pa.RecordBatch, outcome: str = "scored") -> pa.Table:
    columns = {
        field.name: batch[field.name] if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in VIDEOS
    }
    columns["outcome"] = pa.repeat(outcome, batch.num_rows)
    columns["frames_sampled"] = pa.repeat(pa.scalar(8, pa.int32()), batch.num_rows)
    rng = np.random.default_rng(0)
    columns |= {f"max_{label}": pa.array(rng.random(batch.num_rows), pa.float32()) for label in LABELS}
    return pa.table(columns, schema=VIDEOS)


def overhead(count: int) -> dict[str, Any]:
    """Milliseconds a video costs, all in, with ``count`` clips that are next to nothing to decode and classify."""
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder:
        clips, checkpoint = _tiny_clips(Path(folder, "many"), count), f"{folder}/checkpoint"
        save_checkpoint(initialise("test_resnet.r160_in1k", height=SIDE, width=SIDE), checkpoint)
        few = _tiny_clips(Path(folder, "few"), FEW)
        seconds, _, _ = _job(*ON_RAY, "--input", clips, "--output", f"{folder}/all", "--checkpoint", checkpoint)
        started, _, _ = _job(*ON_RAY, "--input", few, "--output", f"{folder}/some", "--checkpoint", checkpoint)
    return {"videos": count, "ms_per_video": (seconds - started) / (count - FEW) * 1000}


def memory(counts: list[int]) -> dict[str, Any]:
    """Peak memory of all processes together, by number of clips."""
    peaks = {}
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder:
        checkpoint = f"{folder}/checkpoint"
        save_checkpoint(initialise("resnet18", height=224, width=224), checkpoint)
        for count in counts:
            clips = _tiny_clips(Path(folder, str(count)), count, width=320, height=192, seconds=4)
            store = f"{folder}/store{count}"
            _, peaks[count], _ = _job(*ON_RAY, "--input", clips, "--output", store, "--checkpoint", checkpoint)
    return {"peak_bytes": peaks, "growth": peaks[counts[-1]] / peaks[counts[0]] - 1}


def _tiny_clips(folder: Path, count: int, **clip: Any) -> Path:
    """``count`` names for one clip, by default a second long with two sampled frames."""
    folder.mkdir(parents=True, exist_ok=True)
    original = write_clip(folder.parent / f"{folder.name}.mp4", **{"width": SIDE, "height": 48, "seconds": 1, **clip})
    (folder / "clips").mkdir()
    for number in range(count):
        (folder / "clips" / f"clip{number:06d}.mp4").hardlink_to(original)
    return folder / "clips"


def _job(job: str, *arguments: object) -> tuple[float, int, str]:
    """Wall-clock seconds, peak memory of the process and all below it, and what it printed."""
    command = [sys.executable, str(ROOT / "jobs" / job), *map(str, arguments)]
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
    parser.add_argument("what", choices=("plan", "overhead", "memory", "night"))
    parser.add_argument("--count", type=int, nargs="+")
    arguments = parser.parse_args()
    if arguments.what == "plan":
        result = plan(*(arguments.count or [1_000_000]))
    elif arguments.what == "night":
        result = night(*(arguments.count or [1_000_000]))
    elif arguments.what == "overhead":
        result = overhead(*(arguments.count or [10_000]))
    else:
        result = memory(arguments.count or [100, 1000])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
