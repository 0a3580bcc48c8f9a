"""A night's arrivals: one row per video that its scoring runs gave an outcome, with events and peaks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.corpus_state import has_outcome, last_per_video
from artifactscan.audit.night_tables import ARRIVALS
from artifactscan.audit.video_groups import Grouping, paths_below
from artifactscan.errors import LedgerError
from artifactscan.labels import LABELS
from artifactscan.outcomes import TRANSIENT
from artifactscan.schemas import EVENTS, FRAMES
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import arrow_reason, parquet_files, read_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

_LEDGER = ["video_id", "uri", "outcome", "reason", "duration_s"]


def gather_arrivals(
    store: Store,
    runs: Iterable[RunRecord],
    *,
    corpus: str,
    grouping: Grouping,
    thresholds: Mapping[str, float],
    sample_fps: float,
    events: EventSettings,
) -> tuple[pa.Table, pa.Table]:
    """ARRIVALS and EVENTS of the videos that these runs gave an outcome; of a video in two runs the last counts.

    A video that could not be read before and still cannot is no arrival. LedgerError where the tables of a committed
    run are damaged or incomplete.
    """
    ledgers, summaries, found = [], [], []
    for record in runs:
        rows = _read_ledger(store, record)
        unreadable_again = pc.and_(
            has_outcome(rows, TRANSIENT), pc.is_in(rows["video_id"], _retried_videos(store, record))
        )
        rows = rows.filter(pc.invert(unreadable_again))
        durations = dict(zip(rows["video_id"].to_pylist(), rows["duration_s"].to_pylist(), strict=True))
        ledgers.append(rows)
        for frames in _read_frames(store, record):
            of_run = find_events(frames, thresholds, sample_fps=sample_fps, durations_s=durations, settings=events)
            found.append(of_run)
            summaries.append(_summary(frames, of_run, thresholds))
    if not ledgers:
        return ARRIVALS.empty_table(), EVENTS.empty_table()
    videos = last_per_video(pa.concat_tables(ledgers))
    if summaries:
        videos = videos.join(pa.concat_tables(summaries), "video_id", use_threads=False)
    uris = videos["uri"].combine_chunks()
    paths = pa.array(paths_below(corpus, uris.to_pylist()), pa.string())
    videos = videos.append_column("path", paths).append_column("groups", grouping.assign(uris, paths))
    order = [("uri", "ascending"), ("label", "ascending"), ("start_s", "ascending")]
    return _as_arrivals(videos).sort_by("uri"), pa.concat_tables([EVENTS.empty_table(), *found]).sort_by(order)


def regroup(arrivals: pa.Table, grouping: Grouping) -> pa.Table:
    """``arrivals`` with the groups of ``grouping``."""
    uris, paths = arrivals["uri"].combine_chunks(), arrivals["path"].combine_chunks()
    column = arrivals.column_names.index("groups")
    return arrivals.set_column(column, ARRIVALS.field("groups"), grouping.assign(uris, paths))


def uncounted_runs(runs: Iterable[RunRecord], counted: Iterable[str]) -> list[RunRecord]:
    """The runs that no night has counted: tonight's, and those of an audit that was cut off."""
    known = set(counted)
    return [record for record in runs if record.run not in known]


def count_statuses(store: Store, runs: Iterable[RunRecord]) -> Counter[str]:
    """Status in the runs' manifests (new, changed, …) → number of objects."""
    counts: Counter[str] = Counter()
    for record in runs:
        for entry in read_table(store.manifest(record.run), ["status"])["status"].value_counts():
            counts[entry["values"].as_py()] += entry["counts"].as_py()
    return counts


def _retried_videos(store: Store, record: RunRecord) -> pa.Array:
    """video_ids that the run tried because an earlier one could not read them."""
    manifest = read_table(store.manifest(record.run), ["video_id", "status"])
    return manifest.filter(pc.equal(manifest["status"], "again"))["video_id"].combine_chunks()


def _read_ledger(store: Store, record: RunRecord) -> pa.Table:
    empty = pa.schema([ARRIVALS.field(name) for name in _LEDGER]).empty_table()
    files = store.ledger_files(record.run)
    try:
        rows = pa.concat_tables([read_table(file, _LEDGER) for file in files]) if files else empty
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise _damaged(store.videos(record.run), record, arrow_reason(error)) from None
    settled = sum(record.outcomes.values()) - record.outcomes.get("unchanged", 0)
    if rows.num_rows != settled:
        raise _damaged(store.videos(record.run), record, f"{rows.num_rows} rows for {settled} videos")
    return rows


def _read_frames(store: Store, record: RunRecord) -> Iterator[pa.Table]:
    folder, found = store.frames(record.run), 0
    try:
        for frames in map_in_order(lambda file: read_table(file, FRAMES.names), parquet_files(folder)):
            found += frames.num_rows
            if frames.num_rows:
                yield frames.cast(FRAMES)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise _damaged(folder, record, arrow_reason(error)) from None
    if found != record.counts["frames"]:
        raise _damaged(folder, record, f"{found} frames, and run.json says {record.counts['frames']}")


def _damaged(folder: str, record: RunRecord, what: str) -> LedgerError:
    return LedgerError(
        f"{folder} is not what run {record.run} wrote ({what}); restore it, or remove "
        f"runs/{record.run} and the run's folders to have its videos scored again"
    )


def _summary(frames: pa.Table, events: pa.Table, thresholds: Mapping[str, float]) -> pa.Table:
    """One row per video: video_id, frames, and the columns of each label; ``frames`` is sorted by video."""
    ids = frames["video_id"].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    order = codes[starts]  # position of each video in the dictionary
    columns: dict[str, pa.Array | np.ndarray] = {
        "video_id": ids.dictionary.take(pa.array(order)),
        "frames": np.diff(np.r_[starts, len(codes)]).astype(np.int32),
    }
    index, pts = frames["frame_index"].to_numpy(), frames["pts_s"].to_numpy()
    for label in LABELS:
        p = frames[f"p_{label}"].to_numpy()
        peak = np.maximum.reduceat(p, starts)
        at_peak = np.flatnonzero(p == np.repeat(peak, columns["frames"]))
        first = at_peak[np.searchsorted(at_peak, starts)]  # the first frame at its video's peak
        columns[f"frames_over_{label}"] = np.add.reduceat((p >= thresholds[label]).astype(np.int32), starts)
        columns[f"peak_{label}"] = peak
        columns[f"peak_frame_{label}"] = index[first]
        columns[f"peak_s_{label}"] = pts[first]
        of_label = events.filter(pc.equal(events["label"], label))
        video = pc.index_in(of_label["video_id"], value_set=ids.dictionary).to_numpy()
        length_s = of_label["end_s"].to_numpy() - of_label["start_s"].to_numpy()
        columns[f"events_{label}"] = np.bincount(video, minlength=len(ids.dictionary))[order].astype(np.int32)
        columns[f"event_s_{label}"] = np.bincount(video, length_s, minlength=len(ids.dictionary))[order]
    return pa.table(columns)


def _as_arrivals(videos: pa.Table) -> pa.Table:
    """With every column of ARRIVALS: counts are 0 and peaks null where no frame was scored."""
    columns = []
    for field in ARRIVALS:
        if field.name in videos.column_names:
            column = videos[field.name]
        else:
            column = pa.chunked_array([pa.nulls(videos.num_rows, field.type)])
        if not field.nullable and column.null_count:
            column = pc.fill_null(column, pa.scalar(0, column.type))
        columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=ARRIVALS)
