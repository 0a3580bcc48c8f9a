"""Decodes labelled clips into the frame table on Ray Data: each clip once, by the scoring job's own decoder."""

from collections.abc import Iterator
from itertools import groupby

import pyarrow as pa
import ray

from artifactscan import storage
from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.pipelines.ray_cluster.node_losses import LossWatch
from artifactscan.pipelines.ray_cluster.pool_sizes import LIGHT_CPUS, PoolSizes
from artifactscan.pipelines.ray_cluster.ray_data import (
    actor_pool,
    configure_ray_data,
    make_dataset,
    ray_errors_as_cut_off,
)
from artifactscan.storage.lease import Lease
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.training.frame_table import (
    FRAME_TABLE,
    FrameTable,
    check_complete,
    clips_to_decode,
    every_frame_settings,
    find_frame_table,
    select_labelled_frames,
)
from artifactscan.training.labelled_frames import LabelledFrames


class DecodeLabelledFrames:
    """CPU actor: clips in, their labelled frames out, or why they have none."""

    def __init__(self, settings: DecodeSettings):
        self.reader = VideoReader(SandboxedDecoder(settings), max_object_bytes=settings.limits.max_object_bytes)

    def __call__(self, clips: pa.Table) -> Iterator[pa.Table]:
        rows = {row["video_id"]: row for row in clips.to_pylist()}
        for video, pairs in groupby(self.reader.read(list(rows.values())), key=lambda pair: pair[0]["video_id"]):
            yield select_labelled_frames(rows[video], (segment for _, segment in pairs))


def build_frame_table(
    labelled: LabelledFrames, spec: InputSpec, folder: str, *, pools: PoolSizes, limits: DecodeLimits
) -> FrameTable:
    """The frame table of these labels at this size: read from ``folder`` where an earlier run wrote it, else decoded.

    UsageError for labels that name frames a clip does not have, for clips that cannot be decoded, and while another
    job holds the lease.
    """
    table = find_frame_table(folder, labelled, spec)
    if not table.exists():
        with Lease(table.lease, what="frame table") as lease:  # a second job would delete the parts of the first
            if not table.exists():  # another job may have written it since
                _decode(labelled, spec, table, lease, pools=pools, limits=limits)
    return table


def _decode(
    labelled: LabelledFrames,
    spec: InputSpec,
    table: FrameTable,
    lease: Lease,
    *,
    pools: PoolSizes,
    limits: DecodeLimits,
) -> None:
    storage.remove_tree(table.root)  # parts of an interrupted run
    filesystem, parts = storage.filesystem(table.parts)
    decoding = every_frame_settings(spec, DecodeSettings(input=spec, limits=limits))
    with ray_errors_as_cut_off(), LossWatch():
        (
            make_dataset(clips_to_decode(labelled), 1)
            .map_batches(
                DecodeLabelledFrames,
                batch_size=1,
                batch_format="pyarrow",
                compute=actor_pool(min(pools.decoders, len(labelled.clips))),
                fn_constructor_args=(decoding,),
                num_cpus=pools.decoder_cpus,
                label_selector=pools.decoder_label,
            )
            .write_parquet(
                parts,
                filesystem=filesystem,
                try_create_dir=not storage.is_remote(table.parts),  # in a bucket it needs rights to the whole bucket
                ray_remote_args={"num_cpus": LIGHT_CPUS},
                concurrency=pools.decoders,  # their CPU request alone would allow hundreds per node
                compression="zstd",
            )
        )
    columns = [name for name in FRAME_TABLE.names if name != "pixels"]
    index = pa.concat_tables([read_table(file, columns) for file in parquet_files(table.parts)])
    try:
        check_complete(index, labelled)
    except BaseException:
        storage.remove_tree(table.root)
        raise
    lease.check()
    table.write_index(index)


def load_frames(table: FrameTable) -> ray.data.Dataset:
    """The frame table as a dataset whose blocks stay in Ray's object store, so that every training reads them there."""
    configure_ray_data()
    filesystem, parts = storage.filesystem(table.parts)
    return ray.data.read_parquet(parts, filesystem=filesystem).materialize()
