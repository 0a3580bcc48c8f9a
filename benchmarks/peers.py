"""One contestant, in a process of its own; prints what it took as JSON. `bench.py` runs them in turns.

    python benchmarks/peers.py CONTESTANT --clips DIR --checkpoint DIR --output DIR

All look at two frames per second at 224×224 with the same ResNet-50 and write Parquet. Start-up does not count: the
clock starts when imports and model are ready, or, where Ray starts them, all clips are timed less one.
"""

import argparse
import json
import logging
import os
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.video import DecodeSettings
from artifactscan.labels import SCORE_COLUMNS

SIZE, SAMPLE_FPS, BATCH_FRAMES = 224, 2.0, 16
CORES = os.cpu_count() or 1


def decode(clips: list[str], _checkpoint: str, _output: Path) -> dict[str, Any]:
    """The bound's first half: our decoding, nothing else."""
    from artifactscan.decode.with_pyav import decode_pyav

    settings = DecodeSettings(input=InputSpec(height=SIZE, width=SIZE), sample_fps=SAMPLE_FPS)
    before = os.times()
    frames = sum(decode_pyav(clip, settings, lambda *_: None).frames_decoded or 0 for clip in clips)
    after = os.times()
    return {"frames": frames, "cpu_s": after.user - before.user + after.system - before.system}


def classify(clips: list[str], checkpoint: str, _output: Path, *, compile: bool = False) -> dict[str, Any]:
    """The bound's second half: our inference with all cores, on frames that lie ready."""
    from artifactscan.model.backbone import probe_frames
    from artifactscan.model.checkpoint import load_checkpoint
    from artifactscan.model.classifier import Classifier
    from artifactscan.model.classify_settings import ClassifySettings

    loaded = load_checkpoint(checkpoint)
    classifier = Classifier(loaded, ClassifySettings(compile=compile), threads=CORES)
    frames = probe_frames(loaded.card.input, 8 * BATCH_FRAMES)
    classifier.scores([frames[:BATCH_FRAMES]])
    started = time.monotonic()
    classifier.scores([frames])
    return {"frames": len(frames), "seconds": time.monotonic() - started}


def classify_compiled(clips: list[str], checkpoint: str, output: Path) -> dict[str, Any]:
    """The same, compiled."""
    return classify(clips, checkpoint, output, compile=True)


def plain_loop(clips: list[str], checkpoint: str, output: Path) -> dict[str, Any]:
    """decord and timm, one clip after the other, as a person writes it in an afternoon."""
    import decord  # noqa: F401
    import torch

    model = _timm_model(checkpoint)
    started, rows = time.monotonic(), []
    with torch.inference_mode():
        for clip in clips:
            index, frames = _decord_frames(clip)
            for start in range(0, len(frames), BATCH_FRAMES):
                scores = torch.sigmoid(model(_pixels(frames[start : start + BATCH_FRAMES]))).numpy()
                rows += [(clip, int(i), *map(float, row)) for i, row in zip(index[start:], scores, strict=False)]
    pd.DataFrame(rows, columns=["uri", "frame_index", *SCORE_COLUMNS]).to_parquet(output / "frames.parquet")
    return {"frames": len(rows), "seconds": time.monotonic() - started}


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
            columns = {name: scores[:, number] for number, name in enumerate(SCORE_COLUMNS)}
            return {"uri": batch["uri"], "frame_index": batch["frame_index"], **columns}

    def frames_of(row: dict[str, Any]) -> list[dict[str, Any]]:
        index, frames = _decord_frames(row["uri"])
        return [{"uri": row["uri"], "frame_index": i, "frame": frame} for i, frame in zip(index, frames, strict=True)]

    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False, runtime_env=_import_path())
    ray.data.DataContext.get_current().enable_progress_bars = False

    def run(clips: list[str], output: Path) -> tuple[int, float]:
        started = time.monotonic()
        (
            ray.data.from_items([{"uri": clip} for clip in clips])
            .flat_map(frames_of)
            .map_batches(Model, batch_size=BATCH_FRAMES, concurrency=1)
            .write_parquet(str(output))
        )
        return len(pd.read_parquet(output)), time.monotonic() - started

    frames_of_one, seconds_of_one = run(clips[:1], output / "one")
    frames, seconds = run(clips, output / "all")
    return {
        "frames": frames - frames_of_one,
        "seconds": seconds - seconds_of_one,
        "start_up_and_one_clip_s": seconds_of_one,
    }


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
    started = time.monotonic()
    for clip in clips:
        rows = daft.read_video_frames(clip, image_height=SIZE, image_width=SIZE, sample_interval_seconds=1 / SAMPLE_FPS)
        rows.select("path", "frame_index", score(rows["data"]).alias("scores")).write_parquet(str(output))
    seconds = time.monotonic() - started
    return {"frames": len(pd.read_parquet(output)), "seconds": seconds}


CONTESTANTS = {one.__name__: one for one in (decode, classify, classify_compiled, plain_loop, ray_data, daft)}


def _import_path() -> dict[str, Any]:
    here = Path(__file__).resolve().parent
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent), str(here.parent / "src")])}}


def _timm_model(checkpoint: str) -> Any:
    import safetensors.torch
    import timm

    model = timm.create_model("resnet50", num_classes=len(SCORE_COLUMNS))
    model.load_state_dict(safetensors.torch.load_file(Path(checkpoint) / "model.safetensors"))
    return model.eval()


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    os.environ["DAFT_PROGRESS_BAR"] = "0"
    clips = [str(clip) for clip in sorted(arguments.clips.resolve().glob("*.mp4"))]
    print(json.dumps(CONTESTANTS[arguments.contestant](clips, arguments.checkpoint, arguments.output)))


if __name__ == "__main__":
    main()
