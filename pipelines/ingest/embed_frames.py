"""Embeds labelled frames on Ray Data: each clip is decoded once, and what the backbone gives for its frames is kept."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.ray_cluster.ray_data import actor_pool, make_dataset, ray_errors_as_cut_off
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import write_part
from artifactscan.training.embeddings import (
    EMBEDDINGS,
    LabelledWindows,
    clips_to_embed,
    find_embeddings,
    gather_windows,
)
from artifactscan.training.frame_table import describe_problem, every_frame_settings, refuse_problems
from artifactscan.training.labelled_frames import LabelledFrames
from artifactscan.training.labelled_windows import select_windows

FRAMES_PER_CALL = 64
"""Frames per call of an embedder on a GPU, which batches them anew."""

WINDOW_FRAMES = pa.schema(
    [
        *(EMBEDDINGS.field(name) for name in ("video_id", "frame_index", "window")),
        pa.field("pixels", pa.large_binary()),
        pa.field("problem", pa.string()),
    ]
)
"""Decoder output: a row per frame of a window, or per labelled frame that could not be decoded, with the problem."""

EMBEDDED = EMBEDDINGS.append(pa.field("problem", pa.string()))


class DecodeWindows:
    """CPU actor: clips in, their labelled frames and the sampled frames around them out."""

    def __init__(self, settings: DecodeSettings, sample_fps: float, neighbours: int):
        self.reader = VideoReader(SandboxedDecoder(settings), max_object_bytes=settings.limits.max_object_bytes)
        self.sample_fps, self.neighbours = sample_fps, neighbours

    def __call__(self, clips: pa.Table) -> Iterator[pa.Table]:
        rows = {row["video_id"]: row for row in clips.to_pylist()}
        for video, pairs in groupby(self.reader.read(list(rows.values())), key=lambda pair: pair[0]["video_id"]):
            clip = rows[video]
            found = select_windows(
                (segment for _, segment in pairs),
                clip["wanted"],
                sample_fps=self.sample_fps,
                neighbours=self.neighbours,
            )
            frames: list[dict[str, Any]] = [
                {"frame_index": index, "window": found.windows.get(index), "pixels": rgb.tobytes()}
                for index, rgb in found.pixels.items()
            ]
            frames += [
                {"frame_index": index, "problem": describe_problem(clip["file"], index, found.result)}
                for index in clip["wanted"]
                if index not in found.windows
            ]
            yield pa.Table.from_pylist([{"video_id": video, **frame} for frame in frames], WINDOW_FRAMES)


class EmbedFrames:
    """CPU or GPU actor: decoded frames in, their features out."""

    def __init__(self, checkpoint: Checkpoint, device: str, asked: str, bf16: bool, threads: int):
        from artifactscan.model.embedder import Embedder  # loads torch

        self.spec = checkpoint.card.input
        self.embedder = Embedder(checkpoint, device=device, asked=asked, bf16=bf16, threads=threads)

    def __call__(self, frames: pa.Table) -> Iterator[pa.Table]:
        shape = (self.spec.height, self.spec.width, 3)
        rows = frames.to_pylist()
        pixels = [np.frombuffer(row["pixels"], np.uint8).reshape(shape) for row in rows if row["pixels"] is not None]
        features = iter(self.embedder.read(np.stack(pixels)).reshape(len(pixels), -1) if pixels else ())
        embedded = [
            {
                **{name: row[name] for name in ("video_id", "frame_index", "window", "problem")},
                "features": next(features) if row["pixels"] is not None else [],
            }
            for row in rows
        ]
        yield pa.Table.from_pylist(embedded, EMBEDDED)


def embed_labelled_frames(
    labelled: LabelledFrames,
    checkpoint: Checkpoint,
    folder: str,
    *,
    limits: DecodeLimits,
    device: str,
    precision: str,
    start: Callable[[], PoolSizes],
) -> LabelledWindows:
    """What a probe reads of the window of each labelled frame, in the order of the labels.

    Read from ``folder`` as far as an earlier run wrote it; ``start`` joins the cluster, if there is anything to embed.
    ``device``: the setting, for what an error says; ``precision``: bf16, or fp32, which auto is here.
    UsageError for labels that name frames a clip does not have, for clips that cannot be decoded, and while another
    job holds the lease.
    """
    probe = checkpoint.card.probe
    assert probe is not None
    bf16 = precision == "bf16"
    cache = find_embeddings(folder, checkpoint, bf16=bf16)
    stored = cache.read()
    clips = clips_to_embed(labelled, stored)
    if clips.num_rows:
        with Lease(f"{cache.root}.lease.json", what="folder of embeddings") as lease:
            clips = clips_to_embed(labelled, cache.read())  # another job may have embedded some since
            if clips.num_rows:
                _embed(clips, checkpoint, cache.root, start(), lease, limits=limits, device=device, bf16=bf16)
        stored = cache.read()
    return gather_windows(labelled, stored, probe.tile_count)


def _embed(
    clips: pa.Table,
    checkpoint: Checkpoint,
    folder: str,
    pools: PoolSizes,
    lease: Lease,
    *,
    limits: DecodeLimits,
    device: str,
    bf16: bool,
) -> None:
    spec, probe = checkpoint.card.input, checkpoint.card.probe
    assert probe is not None
    decoding = every_frame_settings(spec, DecodeSettings(input=spec, limits=limits))
    problems: list[str] = []
    with ray_errors_as_cut_off(), LossWatch():
        batches = (
            make_dataset(clips, 1)
            .map_batches(
                DecodeWindows,
                batch_size=1,
                batch_format="pyarrow",
                compute=actor_pool(min(pools.decoders, clips.num_rows)),
                fn_constructor_args=(decoding, probe.sample_fps, probe.context_frames),
                num_cpus=pools.decoder_cpus,
                label_selector=pools.decoder_label,
            )
            .map_batches(
                EmbedFrames,
                batch_size=FRAMES_PER_CALL if pools.classifier_gpus else None,  # Ray Data asks for one with GPUs
                batch_format="pyarrow",
                compute=actor_pool(pools.classifiers),
                fn_constructor_args=(checkpoint, pools.device, device, bf16, pools.classifier_threads),
                num_cpus=pools.classifier_cpus,
                num_gpus=pools.classifier_gpus,
                label_selector=pools.classifier_label,
            )
            .iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        )
        for batch in batches:
            rows = cast(pa.Table, batch)
            lease.check_if_due()
            problems += rows["problem"].drop_null().to_pylist()
            write_part(folder, rows.filter(pc.is_null(rows["problem"])).select(EMBEDDINGS.names))
    refuse_problems(problems)
    assert storage.list_names(folder), "no frame was embedded"
