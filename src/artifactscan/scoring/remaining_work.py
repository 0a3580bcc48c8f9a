"""Finds what is left to do in a run: its manifest, less the videos and slices with a complete attempt."""

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.schemas import MANIFEST, TO_DO
from artifactscan.scoring.complete_attempts import CompleteAttempts
from artifactscan.scoring.slicing import cut_into_slices
from artifactscan.storage.parquet import read_batches
from artifactscan.store.layout import Store


def count_to_do(store: Store, run: str) -> int:
    """The number of videos in the manifest that the run must give an outcome."""
    statuses = (batch["status"] for batch in read_batches(store.manifest(run), ["status"]))
    return sum(pc.sum(_is_to_do(status)).as_py() or 0 for status in statuses)


def remaining_work(
    store: Store, run: str, attempts: CompleteAttempts, *, slice_bytes: int = 0, max_object_bytes: int | None = None
) -> pa.Table:
    """Manifest rows of the videos without one of ``attempts``, cut into slices: as ``cut_into_slices`` does.

    ``slice_bytes``: size of a slice, 0 for whole videos; objects over ``max_object_bytes`` are not cut.
    """
    left = [MANIFEST.empty_table()]
    for batch in read_batches(store.manifest(run)):
        to_do = batch.filter(_is_to_do(batch["status"]))
        is_open = pa.array([video not in attempts for video in to_do["video_id"].to_pylist()], pa.bool_())
        left.append(pa.Table.from_batches([to_do.filter(is_open)]).cast(MANIFEST))
    return cut_into_slices(
        pa.concat_tables(left),
        slice_bytes,
        max_bytes=max_object_bytes,
        whole=attempts.failed_slices,
        done=attempts.done_slices,
    )


def _is_to_do(status: pa.Array) -> pa.Array:
    return pc.is_in(status, pa.array(TO_DO))
