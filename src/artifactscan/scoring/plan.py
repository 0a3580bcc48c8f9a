"""Plans a run: compares the listing with what earlier runs settled, and writes the manifest."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifactscan import storage
from artifactscan.outcomes import HAS_FRAMES, TRANSIENT, Outcome
from artifactscan.schemas import MANIFEST, outcomes_with_frames
from artifactscan.storage.parquet import parquet_files, read_batches
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord
from artifactscan.store.versions import NOT_INSTALLED

FRAMES_PER_MEGABYTE = 12.0
"""Sampled frames per 10⁶ bytes of clip at 2 per second, as measured on Sora's clips."""


def assumed_frames_per_byte(sample_fps: float) -> float:
    """Sampled frames per byte of video, where no ledger says how many there are."""
    return FRAMES_PER_MEGABYTE / 1e6 * sample_fps / 2.0


@dataclass
class SettledVideos:
    """What earlier runs of one spec settled."""

    by_video: dict[str, tuple[str, str]] = field(default_factory=dict)
    """video_id → (run, outcome)."""
    last_listing: dict[str, str] = field(default_factory=dict)
    """uri → video_id as the last committed run of the same scope listed it."""
    has_last_listing: bool = False
    frames: int = 0
    """Sampled frames of the videos with frames."""
    frames_bytes: int = 0
    """Bytes of those videos."""


def load_settled_videos(
    store: Store,
    runs: Sequence[RunRecord],
    *,
    spec: str,
    scope: str,
    limits: str,
    retry_failed: bool,
    both_decoders: bool = False,
) -> SettledVideos:
    """Reads the ledgers of the committed ``runs`` of one spec.

    Transient outcomes do not settle a video. Failures settle it only under the same limits and without
    ``retry_failed``; with ``both_decoders``, whether decord is tried after pyav here, only where the run had both.
    """
    settled = SettledVideos()
    pairs: dict[tuple[str, str], tuple[str, str]] = {}  # one tuple object per run and outcome saves memory
    for record in (run for run in runs if run.spec_digest == spec):
        had_fewer = both_decoders and record.versions.get("decord") == NOT_INSTALLED
        failures_count = record.limits_digest == limits and not retry_failed and not had_fewer
        columns = ["video_id", "outcome", "size_bytes", "frames_sampled"]
        for file in store.ledger_files(record.run):
            for batch in read_batches(file, columns):
                outcomes = batch["outcome"].to_pylist()
                for video, outcome in zip(batch["video_id"].to_pylist(), outcomes, strict=True):
                    if outcome in HAS_FRAMES or (failures_count and outcome not in TRANSIENT):
                        pair = (record.run, outcome)
                        settled.by_video[video] = pairs.setdefault(pair, pair)
                scored = batch.filter(outcomes_with_frames(batch["outcome"]))
                settled.frames += pc.sum(scored["frames_sampled"]).as_py() or 0
                settled.frames_bytes += pc.sum(scored["size_bytes"]).as_py() or 0
    same_scope = [run for run in runs if run.spec_digest == spec and run.scope_digest == scope]
    if same_scope:
        settled.has_last_listing = True
        for file in parquet_files(store.videos(same_scope[-1].run)):
            for batch in read_batches(file, ["uri", "video_id"]):
                settled.last_listing.update(zip(batch["uri"].to_pylist(), batch["video_id"].to_pylist(), strict=True))
    return settled


@dataclass
class Plan:
    """What a run would do, in counts."""

    new: int = 0
    changed: int = 0
    """Known uris with other content."""
    again: int = 0
    """Known, unchanged objects that no earlier run settled."""
    settled: int = 0
    removed: int = 0
    """Objects of the last run of the same scope that are not listed any more."""
    bytes_to_read: int = 0
    frames_per_byte: float = 0.0
    """Sampled frames per byte: as the ledgers of the spec have it, or as assumed."""
    local_uri: str | None = None
    """One of the objects to do that is a local path, if there is any."""
    settled_outcomes: Counter[str] = field(default_factory=Counter)
    first_of_scope: bool = True

    @property
    def to_do(self) -> int:
        return self.new + self.changed + self.again

    @property
    def expected_frames(self) -> int:
        return round(self.bytes_to_read * self.frames_per_byte)

    @property
    def listed(self) -> int:
        return self.to_do + self.settled

    @property
    def nothing_new(self) -> bool:
        """Whether a committed run already covers this listing completely."""
        return self.to_do == 0 and self.removed == 0 and not self.first_of_scope


def make_plan(
    listing: Iterable[pa.RecordBatch],
    settled: SettledVideos,
    manifest: Path,
    schema: pa.Schema = MANIFEST,
    *,
    sample_fps: float,
) -> Plan:
    """Compares a listing with what is settled and writes ``manifest``, batch by batch.

    Removes every listed uri from ``settled.last_listing``: what is left there is no longer in the corpus.
    """
    plan = Plan(first_of_scope=not settled.has_last_listing)
    with pq.ParquetWriter(manifest, schema, compression="zstd") as writer:
        for batch in listing:
            writer.write_batch(_mark(batch, settled, plan).cast(schema))
        plan.removed = len(settled.last_listing)
        if plan.removed:
            writer.write_table(_removed(settled.last_listing).cast(schema))
    measured = settled.frames / settled.frames_bytes if settled.frames_bytes else None
    plan.frames_per_byte = assumed_frames_per_byte(sample_fps) if measured is None else measured
    return plan


def _mark(batch: pa.RecordBatch, settled: SettledVideos, plan: Plan) -> pa.RecordBatch:
    statuses, runs, outcomes = [], [], []
    for video, uri in zip(batch["video_id"].to_pylist(), batch["uri"].to_pylist(), strict=True):
        before = settled.last_listing.pop(uri, None)
        run, outcome = settled.by_video.get(video, (None, None))
        if run is not None:
            status = "settled"
        elif before is None:
            status = "new"
        else:
            status = "again" if before == video else "changed"
        statuses.append(status)
        runs.append(run)
        outcomes.append(outcome)
    counts = Counter(statuses)
    plan.new += counts["new"]
    plan.changed += counts["changed"]
    plan.again += counts["again"]
    plan.settled += counts["settled"]
    plan.settled_outcomes.update(outcome for outcome in outcomes if outcome)
    status_array = pa.array(statuses, pa.string())
    to_do = batch.filter(pc.not_equal(status_array, "settled"))
    plan.bytes_to_read += pc.sum(to_do["size_bytes"]).as_py() or 0
    plan.local_uri = plan.local_uri or first_local_uri(to_do["uri"])
    return pa.record_batch(
        [*batch.columns, status_array, pa.array(runs, pa.string()), pa.array(outcomes, pa.string())],
        schema=pa.schema([*batch.schema, *list(MANIFEST)[-3:]]),
    )


def _removed(last_listing: dict[str, str]) -> pa.Table:
    columns = {name: pa.nulls(len(last_listing), MANIFEST.field(name).type) for name in MANIFEST.names}
    columns["uri"] = pa.array(last_listing.keys(), pa.string())
    columns["video_id"] = pa.array(last_listing.values(), pa.string())
    columns["status"] = pa.array(["removed"] * len(last_listing), pa.string())
    return pa.table(columns, schema=MANIFEST)


def first_local_uri(uris: pa.Array | pa.ChunkedArray) -> str | None:
    """The first of ``uris`` that is a local path, or None."""
    return next((uri for uri in uris.to_pylist() if not storage.is_remote(uri)), None)


def without_frames(outcomes: Mapping[str, int]) -> int:
    """The number of videos without a scored frame, from counts by outcome."""
    return sum(count for outcome, count in outcomes.items() if Outcome(outcome) not in HAS_FRAMES)
