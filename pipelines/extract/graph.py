"""The extraction graph on Ray Data: videos in, image files and one row per video out.

Images are written by the actors that decode, so that no pixels travel. A retried block writes the same files again.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

import pyarrow as pa
from ray.actor import ActorProxy

from artifactscan.decode.native_size import NativeSizeDecoder
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import DecoderProcess
from artifactscan.decode.video import DecodeSettings
from artifactscan.extract.images import EXTRACTED, ImageSettings, take_frames
from artifactscan.pipelines.ray_cluster.pools import Pools
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.ray_cluster.ray_data import cut_off_in_words, deal_out, pool, videos_per_block


class Extract:
    """CPU actor: videos in; their wanted frames go to image files, one row per video goes on."""

    def __init__(
        self, settings: DecodeSettings, native_size: bool, images: ImageSettings | None, tally: ActorProxy[Tally]
    ):
        decoder = NativeSizeDecoder(settings) if native_size else DecoderProcess(settings)
        self.reader = VideoReader(decoder, max_object_bytes=settings.limits.max_object_bytes)
        self.images, self.tally = images, tally

    def __call__(self, work: pa.Table) -> Iterator[pa.Table]:
        rows = {row["video_id"]: row for row in work.to_pylist()}
        read = self.reader.read(list(rows.values()))
        for video, pairs in groupby(read, key=lambda pair: pair[0]["video_id"]):
            extracted = take_frames(rows[video], (segment for _, segment in pairs), self.images)
            self.tally.add.remote(frames=len(extracted["frames"]), outcomes={video: extracted["outcome"]}, notes=[])
            yield pa.Table.from_pylist([extracted], EXTRACTED)


def run_extract_graph(
    work: pa.Table,
    *,
    pools: Pools,
    decoding: DecodeSettings,
    native_size: bool,
    images: ImageSettings | None,
    tally: ActorProxy[Tally],
) -> list[dict[str, Any]]:
    """Takes frames from the videos of ``work``, of schema WORK, and returns an EXTRACTED row for each.

    ``native_size``: decode each video at its own size rather than at the settings'; ``images``: None to write nothing
    and only tell what frames there are. CutOffError where the machine or the cluster gives out.
    """
    per_block = videos_per_block(work, pools)
    with cut_off_in_words():
        decoders_only = replace(pools, classifiers=0)
        extracted = deal_out(work, per_block, decoders_only).map_batches(
            Extract,
            batch_size=None,
            batch_format="pyarrow",
            compute=pool(pools.decoders, pools.most_decoders),
            fn_constructor_args=(decoding, native_size, images, tally),
            num_cpus=pools.decoder_cpus,
            label_selector=pools.decoder_label,
        )
        batches = extracted.iter_batches(batch_format="pyarrow", batch_size=None)
        return [row for batch in batches for row in cast(pa.Table, batch).to_pylist()]
