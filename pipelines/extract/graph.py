"""The extraction graph on Ray Data: videos in, image files and one row per video out.

Images are written by the actors that decode, so that pixels stay in their process. A retried block writes the same
files again.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

import pyarrow as pa
from ray.actor import ActorProxy

from artifactscan.decode.native_resolution import NativeResolutionDecoder
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeSettings
from artifactscan.extract.extraction_tables import EXTRACTED, shown_outcome
from artifactscan.extract.write_frames import ImageWriter, take_frames
from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.ray_cluster.ray_data import (
    actor_pool,
    make_dataset,
    ray_errors_as_cut_off,
    videos_per_block,
)


class Extract:
    """CPU actor: takes videos, writes their wanted frames as image files, and returns one row per video."""

    def __init__(
        self, settings: DecodeSettings, native_size: bool, writer: ImageWriter | None, tally: ActorProxy[Tally]
    ):
        decoder = NativeResolutionDecoder(settings) if native_size else SandboxedDecoder(settings)
        self.reader = VideoReader(decoder, max_object_bytes=settings.limits.max_object_bytes)
        self.writer, self.tally = writer, tally

    def __call__(self, work: pa.Table) -> Iterator[pa.Table]:
        rows = {row["video_id"]: row for row in work.to_pylist()}
        read = self.reader.read(list(rows.values()))
        for video, pairs in groupby(read, key=lambda pair: pair[0]["video_id"]):
            extracted = take_frames(rows[video], (segment for _, segment in pairs), self.writer)
            outcome = shown_outcome(extracted["outcome"])
            self.tally.add.remote(frames=len(extracted["frames"]), outcomes={video: outcome}, notes=[])
            yield pa.Table.from_pylist([extracted], EXTRACTED)


def run_extract_graph(
    work: pa.Table,
    *,
    pools: PoolSizes,
    decoding: DecodeSettings,
    native_size: bool,
    writer: ImageWriter | None,
    tally: ActorProxy[Tally],
    check: Callable[[], None],
) -> list[dict[str, Any]]:
    """Takes frames from the videos of ``work``, of schema WORK, and returns an EXTRACTED row for each.

    ``native_size``: decode each video at its own size instead of the size in ``decoding``. ``writer``: None to write
    no images and only list the frames. ``check``: called after each block of videos; what it raises stops the graph.
    CutOffError where a node or the storage fails for good.
    """
    per_block = videos_per_block(work, pools)
    with ray_errors_as_cut_off(), LossWatch():
        decoders_only = replace(pools, classifiers=0)
        extracted = make_dataset(work, per_block, decoders_only).map_batches(
            Extract,
            batch_size=None,
            batch_format="pyarrow",
            compute=actor_pool(pools.decoders, pools.most_decoders),
            fn_constructor_args=(decoding, native_size, writer, tally),
            num_cpus=pools.decoder_cpus,
            label_selector=pools.decoder_label,
        )
        batches = extracted.iter_batches(batch_format="pyarrow", batch_size=None)
        rows = []
        for batch in batches:
            check()
            rows += cast(pa.Table, batch).to_pylist()
        return rows
