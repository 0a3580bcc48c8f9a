"""What is left to do in a run."""

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.schemas import TO_DO
from artifactscan.scoring import slicing
from artifactscan.scoring.attempts import complete_attempts
from artifactscan.storage.parquet import read_batches, read_table
from artifactscan.store.layout import Store

_TO_DO = pa.array(TO_DO)


def count_to_do(store: Store, run: str) -> int:
    """How many videos a run set out to do, of those in its manifest."""
    statuses = (batch["status"] for batch in read_batches(store.manifest(run), ["status"]))
    return sum(pc.sum(pc.is_in(status, _TO_DO)).as_py() or 0 for status in statuses)


def remaining_work(store: Store, run: str, *, slice_bytes: int = 0, max_object_bytes: int | None = None) -> pa.Table:
    """The rows of the manifest still to be done, the largest first: cut into slices of ``slice_bytes`` (0: whole), but
    not those over ``max_object_bytes``, and less the slices that are done."""
    done = complete_attempts(store, run)
    batches = []
    for batch in read_batches(store.manifest(run)):
        open_rows = batch.filter(pc.is_in(batch["status"], _TO_DO))
        left = pa.array([video not in done for video in open_rows["video_id"].to_pylist()], pa.bool_())
        batches.append(open_rows.filter(left))
    table = pa.Table.from_batches(batches) if batches else read_table(store.manifest(run))
    table = table.replace_schema_metadata(None)
    return slicing.cut(table, slice_bytes, max_bytes=max_object_bytes, whole=done.failed_slices, landed=done.landed)
