"""One contestant, in a process of its own; prints what it did as JSON. `bench.py` runs them in turns.

    python benchmarks/peers.py CONTESTANT --clips DIR --checkpoint DIR --output DIR

All look at two frames per second at 224×224 with the same ResNet-50 and write Parquet. ``decode`` and ``classify`` are
the two halves of the bound: decoding and inference by themselves. ``faster_precision`` is what ``engineer_loop`` is to
run in. The others print when how many frames were scored, and those that decode ahead how many had been decoded when
the first were.
"""

import argparse
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pandas as pd

from artifactscan.labels import SCORE_COLUMNS

SIZE, SAMPLE_FPS, BATCH_FRAMES = 224, 2.0, 16
CORES = os.cpu_count() or 1
LEAST_S = 20.0
"""That decoding by itself and inference by itself are measured for, with as many rounds over the clips as it takes."""
PRECISION_ROUNDS = 5
CLIPS_AHEAD = 4
"""That the thread of the good engineer's loop decodes ahead."""


def decode(clips: list[str], _checkpoint: str, _output: Path, least_s: float) -> dict[str, Any]:
    """Our decoding in this process, one thread, nothing else."""
    started, before, frames, rounds = time.monotonic(), os.times(), 0, 0
    while not rounds or time.monotonic() - started < least_s:
        frames, rounds = frames + sum(map(len, _our_frames(clips))), rounds + 1
    after = os.times()
    cpu_s = after.user - before.user + after.system - before.system
    return {"frames": frames, "cpu_s": cpu_s, "rounds": rounds}


def classify(clips: list[str], checkpoint: str, _output: Path, least_s: float) -> dict[str, Any]:
    """Our inference with all cores, at the job's default settings, on frames that lie ready."""
    from artifactscan.model.checkpoint import load_checkpoint
    from artifactscan.model.classifier import Classifier

    classifier = Classifier(load_checkpoint(checkpoint), threads=CORES)
    ready = list(_our_frames(clips))
    classifier.scores([np.concatenate(ready)[:BATCH_FRAMES]])
    started, frames = time.monotonic(), 0
    while not frames or time.monotonic() - started < least_s:
        frames += len(classifier.scores(ready))
    return {"frames": frames, "seconds": time.monotonic() - started, "precision": classifier.precision}


def faster_precision(_clips: list[str], checkpoint: str, _output: Path, _least_s: float) -> dict[str, Any]:
    """bf16 or fp32, whichever the good engineer found to be faster here: not every processor that has bf16 gains by it.

    Both by the fastest of PRECISION_ROUNDS batches each, in turns.
    """
    import torch

    seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
    models = {name: _engineers_model(checkpoint, name) for name in seconds} if _has_bf16() else {}
    frames = np.zeros((BATCH_FRAMES, SIZE, SIZE, 3), np.uint8)
    with torch.inference_mode():
        for _ in range(1 + PRECISION_ROUNDS):
            for name, model in models.items():
                started = time.monotonic()
                model(frames)
                seconds[name].append(time.monotonic() - started)
    return {"precision": min(models, key=lambda name: min(seconds[name][1:]), default="fp32")}


def plain_loop(clips: list[str], checkpoint: str, output: Path) -> dict[str, Any]:
    """decord and timm in fp32, one clip after the other, as a person writes it in an afternoon."""
    import torch

    model, rows, scored = _timm_model(checkpoint), [], []
    with torch.inference_mode():
        for clip in clips:
            index, frames = _decord_frames(clip)
            for start in range(0, len(frames), BATCH_FRAMES):
                scores = torch.sigmoid(model(_pixels(frames[start : start + BATCH_FRAMES]))).numpy()
                rows += [(clip, int(i), *map(float, row)) for i, row in zip(index[start:], scores, strict=False)]
            scored.append((time.time(), len(frames)))
    _write(rows, output)
    return {"scored": scored}


def engineer_loop(clips: list[str], checkpoint: str, output: Path, precision: str) -> dict[str, Any]:
    """The same as a good engineer writes it: decoding in a thread beside, full batches across clips, weights in bf16
    where that is faster, channels last."""
    import torch

    model = _engineers_model(checkpoint, precision)
    decoded: Queue[tuple[str, list[int], np.ndarray] | None] = Queue(maxsize=CLIPS_AHEAD)
    frames_decoded = 0

    def decode_clips() -> None:
        nonlocal frames_decoded
        for clip in clips:
            index, frames = _decord_frames(clip)
            frames_decoded += len(frames)
            decoded.put((clip, index, frames))
        decoded.put(None)

    threading.Thread(target=decode_clips, daemon=True).start()
    rows, scored, ahead = [], [], 0
    with torch.inference_mode():
        for names, index, frames in _full_batches(iter(decoded.get, None)):
            scores = torch.sigmoid(model(frames).float()).numpy()
            rows += [(n, int(i), *map(float, row)) for n, i, row in zip(names, index, scores, strict=True)]
            scored.append((time.time(), len(scores)))
            ahead = ahead or frames_decoded
    _write(rows, output)
    return {"scored": scored, "ahead_frames": ahead, "precision": precision}


def ray_data(clips: list[str], checkpoint: str, output: Path) -> dict[str, Any]:
    """Ray Data as its documentation shows it: flat_map to frames, map_batches with a model, write_parquet."""
    import ray
    import torch

    class Model:
        def __init__(self) -> None:
            self.model = _timm_model(checkpoint)

        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            with torch.inference_mode():
                scores = torch.sigmoid(self.model(_pixels(batch["frame"]))).numpy()
            kept = {name: batch[name] for name in ("uri", "frame_index", "decoded_s")}
            scored_s = np.full(len(scores), time.time())
            return {**kept, "scored_s": scored_s, **{name: scores[:, i] for i, name in enumerate(SCORE_COLUMNS)}}

    def frames_of(row: dict[str, Any]) -> list[dict[str, Any]]:
        index, frames = _decord_frames(row["uri"])
        now = {"uri": row["uri"], "decoded_s": time.time()}
        return [{**now, "frame_index": i, "frame": frame} for i, frame in zip(index, frames, strict=True)]

    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False, runtime_env=_import_path())
    ray.data.DataContext.get_current().enable_progress_bars = False
    (
        ray.data.from_items([{"uri": clip} for clip in clips])
        .flat_map(frames_of)
        .map_batches(Model, batch_size=BATCH_FRAMES, compute=ray.data.ActorPoolStrategy(size=1))
        .write_parquet(str(output))
    )
    written = pd.read_parquet(output, columns=["decoded_s", "scored_s"])
    scored = sorted(Counter(written["scored_s"].tolist()).items())
    return {"scored": scored, "ahead_frames": sum(at <= scored[0][0] for at in written["decoded_s"].tolist())}


def daft(clips: list[str], checkpoint: str, output: Path) -> dict[str, Any]:
    """Daft: read_video_frames, a batch UDF, write_parquet; clip by clip, for with several at once it stalls."""
    import daft  # pyright: ignore[reportMissingImports]  # only `make bench` installs it
    import torch

    model = _timm_model(checkpoint)

    def scores_of(frames: Any) -> list[list[float]]:
        with torch.inference_mode():
            pixels = _pixels(np.stack([np.asarray(frame) for frame in frames.to_pylist()]))
            return torch.sigmoid(model(pixels)).tolist()

    score: Any = daft.func.batch(return_dtype=daft.DataType.list(daft.DataType.float32()), batch_size=BATCH_FRAMES)(
        scores_of
    )
    scored, written = [], 0
    for clip in clips:
        rows = daft.read_video_frames(clip, image_height=SIZE, image_width=SIZE, sample_interval_seconds=1 / SAMPLE_FPS)
        rows.select("path", "frame_index", score(rows["data"]).alias("scores")).write_parquet(str(output))
        at, files = time.time(), set(output.rglob("*.parquet"))
        frames = sum(len(pd.read_parquet(file, columns=["frame_index"])) for file in files) - written
        written += frames
        scored.append((at, frames))
    return {"scored": scored}


MEASURED = {one.__name__: one for one in (decode, classify, faster_precision)}
PEERS = {one.__name__: one for one in (plain_loop, ray_data, daft)}


def _our_frames(clips: list[str]) -> Iterator[np.ndarray]:
    """The sampled frames of each clip, uint8 (n, SIZE, SIZE, 3), by our decoding."""
    from artifactscan.decode.input_spec import InputSpec
    from artifactscan.decode.video import DecodeSettings
    from artifactscan.decode.with_pyav import decode_pyav

    settings = DecodeSettings(input=InputSpec(height=SIZE, width=SIZE), sample_fps=SAMPLE_FPS)
    for clip in clips:
        frames: list[np.ndarray] = []
        decode_pyav(clip, settings, lambda _index, _pts_s, pixels, frames=frames: frames.append(pixels))
        yield np.stack(frames)


def _full_batches(
    clips: Iterator[tuple[str, list[int], np.ndarray]],
) -> Iterator[tuple[list[str], list[int], np.ndarray]]:
    """Names, indices and frames of BATCH_FRAMES frames at a time, of several clips where one has too few."""
    names: list[str] = []
    index: list[int] = []
    waiting = np.empty((0, SIZE, SIZE, 3), np.uint8)
    for clip, of_clip, frames in clips:
        names, index = names + [clip] * len(frames), index + of_clip
        waiting = np.concatenate([waiting, frames])
        while len(waiting) >= BATCH_FRAMES:
            yield names[:BATCH_FRAMES], index[:BATCH_FRAMES], waiting[:BATCH_FRAMES]
            names, index, waiting = names[BATCH_FRAMES:], index[BATCH_FRAMES:], waiting[BATCH_FRAMES:]
    if len(waiting):
        yield names, index, waiting


def _import_path() -> dict[str, Any]:
    here = Path(__file__).resolve().parent
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent), str(here.parent / "src")])}}


def _timm_model(checkpoint: str) -> Any:
    import safetensors.torch
    import timm

    model = timm.create_model("resnet50", num_classes=len(SCORE_COLUMNS))
    model.load_state_dict(safetensors.torch.load_file(Path(checkpoint) / "model.safetensors"))
    return model.eval()


def _engineers_model(checkpoint: str, precision: str) -> Callable[[np.ndarray], Any]:
    """uint8 frames to logits."""
    import torch

    form: dict[str, Any] = {
        "dtype": torch.bfloat16 if precision == "bf16" else torch.float32,
        "memory_format": torch.channels_last,
    }
    model = _timm_model(checkpoint).to(**form)
    return lambda frames: model(_pixels(frames).to(**form))


def _has_bf16() -> bool:
    import torch

    return any(torch.cpu.get_capabilities().get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def _pixels(frames: np.ndarray) -> Any:
    import torch

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((torch.from_numpy(np.ascontiguousarray(frames)).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def _decord_frames(clip: str) -> tuple[list[int], np.ndarray]:
    import decord

    reader = decord.VideoReader(clip, width=SIZE, height=SIZE)
    starts = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(float)
    end = starts[-1] + 1 / reader.get_avg_fps()
    times = np.arange(0, end - starts[0] - 1e-6, float(1 / Fraction(SAMPLE_FPS)))
    shown = np.unique(np.searchsorted(starts - starts[0], times + 1e-6, side="right") - 1).tolist()
    return shown, reader.get_batch(shown).asnumpy()


def _write(rows: list[tuple[Any, ...]], output: Path) -> None:
    pd.DataFrame(rows, columns=["uri", "frame_index", *SCORE_COLUMNS]).to_parquet(output / "frames.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("contestant", choices=[*MEASURED, "engineer_loop", *PEERS])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--least-s", type=float, default=LEAST_S, help="that decode and classify are measured for")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of engineer_loop")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    os.environ["DAFT_PROGRESS_BAR"] = "0"
    clips = [str(clip) for clip in sorted(arguments.clips.resolve().glob("*.mp4"))]
    of_contestant = (clips, arguments.checkpoint, arguments.output)
    if arguments.contestant in MEASURED:
        result = MEASURED[arguments.contestant](*of_contestant, arguments.least_s)
    elif arguments.contestant == "engineer_loop":
        result = engineer_loop(*of_contestant, arguments.precision)
    else:
        result = PEERS[arguments.contestant](*of_contestant)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
