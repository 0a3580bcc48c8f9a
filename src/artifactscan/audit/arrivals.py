"""The night's videos with their events: what the scoring runs of a night leave, as one row per video."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.video_groups import Grouping, below
from artifactscan.audit.night_tables import ARRIVALS
from artifactscan.errors import LedgerError
from artifactscan.labels import LABELS
from artifactscan.outcomes import TRANSIENT
from artifactscan.schemas import EVENTS, FRAMES
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import RunRecord, Store

_TRANSIENT = pa.array([str(outcome) for outcome in TRANSIENT])
_LEDGER = ["video_id", "uri", "outcome", "reason", "duration_s"]


def gather(
    store: Store,
    runs: Iterable[RunRecord],
    *,
    corpus: str,
    grouping: Grouping,
    thresholds: Mapping[str, float],
    sample_fps: float,
    settings: EventSettings,
) -> tuple[pa.Table, pa.Table]:
    """The ARRIVALS and EVENTS of the videos that these runs gave an outcome; a video of two runs counts once, as last.

    A video that no run could read before and none could read now does not arrive again. LedgerError where a committed
    run's tables are damaged or not whole.
    """
    ledger, summaries, events = [], [], []
    for record in runs:
        rows = _ledger(store, record)
        still = pc.and_(
            pc.is_in(rows["outcome"], _TRANSIENT), pc.is_in(rows["video_id"], _with_status(store, record, "again"))
        )
        rows = rows.filter(pc.invert(still))
        durations = dict(zip(rows["video_id"].to_pylist(), rows["duration_s"].to_pylist(), strict=True))
        ledger.append(rows)
        for frames in _frames(store, record):
            found = find_events(frames, thresholds, sample_fps=sample_fps, durations_s=durations, settings=settings)
            events.append(found)
            summaries.append(_summary(frames, found, thresholds))
    if not ledger:
        return ARRIVALS.empty_table(), EVENTS.empty_table()
    videos = _last_of_each(pa.concat_tables(ledger))
    if summaries:
        videos = videos.join(pa.concat_tables(summaries), "video_id", use_threads=False)
    uris = videos["uri"].combine_chunks()
    paths = pa.array(below(corpus, uris.to_pylist()), pa.string())
    videos = videos.append_column("path", paths).append_column("groups", grouping.assign(uris, paths))
    all_events = pa.concat_tables(events) if events else EVENTS.empty_table()
    order = [("uri", "ascending"), ("label", "ascending"), ("start_s", "ascending")]
    return _as_arrivals(videos).sort_by("uri"), all_events.sort_by(order)


def regroup(arrivals: pa.Table, grouping: Grouping) -> pa.Table:
    """``arrivals`` of an earlier night in the groups that are asked for now."""
    uris, paths = arrivals["uri"].combine_chunks(), arrivals["path"].combine_chunks()
    column = arrivals.column_names.index("groups")
    return arrivals.set_column(column, ARRIVALS.field("groups"), grouping.assign(uris, paths))


def unclaimed(runs: Iterable[RunRecord], claimed: Iterable[str]) -> list[RunRecord]:
    """The runs that no night has counted yet: this night's, and those of one that was cut off before its end."""
    counted = set(claimed)
    return [record for record in runs if record.run not in counted]


def statuses(store: Store, runs: Iterable[RunRecord]) -> Counter[str]:
    """How many objects these runs found new, changed, and so on: the statuses of their manifests, added up."""
    counts: Counter[str] = Counter()
    for record in runs:
        for entry in read_table(store.manifest(record.run), ["status"])["status"].value_counts():
            counts[entry["values"].as_py()] += entry["counts"].as_py()
    return counts


def _with_status(store: Store, record: RunRecord, status: str) -> pa.Array:
    manifest = read_table(store.manifest(record.run), ["video_id", "status"])
    return manifest.filter(pc.equal(manifest["status"], status))["video_id"].combine_chunks()


def _ledger(store: Store, record: RunRecord) -> pa.Table:
    files = store.ledger_files(record.run)
    try:
        rows = pa.concat_tables([read_table(file, _LEDGER) for file in files]) if files else None
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise _damaged(store.videos(record.run), record, error) from None
    done = sum(record.outcomes.values()) - record.outcomes.get("unchanged", 0)
    if (found := rows.num_rows if rows is not None else 0) != done:
        raise _damaged(store.videos(record.run), record, f"{found} rows for {done} videos")
    return rows if rows is not None else pa.schema([ARRIVALS.field(name) for name in _LEDGER]).empty_table()


def _frames(store: Store, record: RunRecord) -> Iterator[pa.Table]:
    folder, found = store.frames(record.run), 0
    try:
        for frames in map_in_order(read_table, parquet_files(folder)):
            found += frames.num_rows
            if frames.num_rows:
                yield frames.cast(FRAMES)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise _damaged(folder, record, error) from None
    if found != record.counts["frames"]:
        raise _damaged(folder, record, f"{found} frames, and run.json says {record.counts['frames']}")


def _damaged(folder: str, record: RunRecord, what: object) -> LedgerError:
    return LedgerError(
        f"{folder} is not what run {record.run} wrote ({' '.join(str(what).split())}); restore it, or remove "
        f"runs/{record.run} and the run's folders to have its videos scored again"
    )


def _last_of_each(ledger: pa.Table) -> pa.Table:
    """One row per video: a video that failed in one run may be scored in the next."""
    numbered = ledger.append_column("row", pa.array(range(ledger.num_rows), pa.int64()))
    kept = numbered.group_by("video_id", use_threads=False).aggregate([("row", "max")])["row_max"]
    return ledger.take(kept)


def _summary(frames: pa.Table, events: pa.Table, thresholds: Mapping[str, float]) -> pa.Table:
    """video_id, frames and each label's figures of whole videos; ``frames`` is sorted by video."""
    ids = frames["video_id"].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    order = codes[starts]  # a video's place in the dictionary
    columns: dict[str, pa.Array | np.ndarray] = {
        "video_id": ids.dictionary.take(pa.array(order)),
        "frames": np.diff(np.r_[starts, len(codes)]).astype(np.int32),
    }
    index, pts = frames["frame_index"].to_numpy(), frames["pts_s"].to_numpy()
    for label in LABELS:
        p = frames[f"p_{label}"].to_numpy()
        peak = np.maximum.reduceat(p, starts)
        # The first frame at its video's peak.
        at = np.flatnonzero(p == np.repeat(peak, columns["frames"]))
        first = at[np.searchsorted(at, starts)]
        columns[f"frames_over_{label}"] = np.add.reduceat((p >= thresholds[label]).astype(np.int32), starts)
        columns[f"peak_{label}"] = peak
        columns[f"peak_frame_{label}"] = index[first]
        columns[f"peak_s_{label}"] = pts[first]
        of_label = events.filter(pc.equal(events["label"], label))
        place = pc.index_in(of_label["video_id"], value_set=ids.dictionary).to_numpy()
        seconds = of_label["end_s"].to_numpy() - of_label["start_s"].to_numpy()
        columns[f"events_{label}"] = np.bincount(place, minlength=len(ids.dictionary))[order].astype(np.int32)
        columns[f"event_s_{label}"] = np.bincount(place, seconds, minlength=len(ids.dictionary))[order]
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
