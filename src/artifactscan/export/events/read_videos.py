"""Reads the latest scores of each video of a store as a stream, one video at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.corpus_state import has_outcome, last_per_video
from artifactscan.audit.given_store import GivenStore
from artifactscan.corpus.path_below import path_below
from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.events.scored_video import ScoredVideo, locate_events
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.outcomes import TRANSIENT
from artifactscan.schemas import VIDEOS, outcomes_with_frames
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import parquet_files, read_table
from artifactscan.store.layout import UNCHANGED_PREFIX, Store
from artifactscan.store.run_records import RunRecord
from artifactscan.store.stored_rows import iterate_frames, stored_events
from artifactscan.store.table_files import TABLES, RunChangedError, check_tables

FACTS = ("size_bytes", "width", "height", "fps", "duration_s", "frames_in_video")
_COLUMNS = ["video_id", "uri", "outcome", *FACTS]
_SHOWN_DIGITS = 8


@dataclass(frozen=True)
class ScorerRuns:
    """The committed runs of one spec, and what its events are found by."""

    store: Store
    records: tuple[RunRecord, ...]
    """Oldest first, at least one."""
    thresholds: Mapping[str, float] | None = None
    """An audit's, by which its pages find events; None: the events are those of the scoring runs."""
    events: EventSettings | None = None

    @property
    def spec_digest(self) -> str:
        return self.records[-1].spec_digest

    @property
    def scorer(self) -> str:
        """The name of the checkpoint, as tables have it."""
        return self.records[-1].checkpoint_name or "checkpoint-"


def choose_runs(given: GivenStore, spec: str | None) -> ScorerRuns:
    """The committed runs of the spec that begins with ``spec``, or of the latest run's.

    UsageError where no run or several specs match, and while the events of a run are being computed anew.
    """
    store, committed = given.scores, given.scores.committed()
    if not committed:
        raise UsageError(f"{store.root} has no finished run yet; finish the scoring that began there")
    digests = list(dict.fromkeys(record.spec_digest for record in reversed(committed)))
    matching = digests[:1] if spec is None else [digest for digest in digests if spec and digest.startswith(spec)]
    if len(matching) != 1:
        how_many = "several specs begin" if matching else "no spec begins"
        known = ", ".join(digest[:_SHOWN_DIGITS] for digest in matching or digests)
        raise UsageError(f"--spec {spec}: {how_many} with it in {store.root}; give one of {known}")
    records = tuple(record for record in committed if record.spec_digest == matching[0])
    if (night := given.last_night(matching[0])) is not None:
        return ScorerRuns(store, records, dict(night.thresholds), EventSettings(**night.events))
    for record in records:
        if record.is_being_flagged:
            raise UsageError(
                f"the events of run {record.run} in {store.root} are being computed by other thresholds; wait for the "
                "scoring that does it, or give its command again"
            )
    return ScorerRuns(store, records)


def check_whole(runs: ScorerRuns) -> None:
    """UsageError for a run whose tables do not hold all its rows; CutOffError where another job changes it."""
    tables = [table for table in TABLES if table != "events" or runs.thresholds is None]
    try:
        check_tables(runs.store, runs.records, tables)
    except RunChangedError as error:
        raise CutOffError(f"another job changes the store meanwhile ({error}); give the same command again") from error


@dataclass(frozen=True)
class StoredVideos:
    """The videos of a spec whose latest version has scores."""

    runs: ScorerRuns
    rows: pa.Table
    """One ledger row per video, with ``run``, its run's position, and ``file``, its unique name."""
    without_frames: int
    """Videos that were listed, and whose latest version has no scored frame."""

    @property
    def files(self) -> list[str]:
        """The name of each video."""
        return self.rows["file"].to_pylist()

    def iterate(self, check: Callable[[], None] = lambda: None) -> Iterator[ScoredVideo]:
        """Each video once, in the order of the runs and their files; ``check`` is called now and then."""
        for position, record in enumerate(self.runs.records):
            rows = self.rows.filter(pc.equal(self.rows["run"], position))
            if rows.num_rows:
                yield from self._of_run(record, rows, check)

    def _of_run(self, record: RunRecord, rows: pa.Table, check: Callable[[], None]) -> Iterator[ScoredVideo]:
        ids = rows["video_id"].combine_chunks()
        known = {row["video_id"]: row for row in rows.to_pylist()}
        stored = None if self.runs.thresholds else stored_events(self.runs.store, [record.run], ids)
        for frames in iterate_frames(self.runs.store, record.run, ids):
            check()
            events = self._find(record, frames, known) if stored is None else _events_of(stored, frames)
            by_video: dict[str, list[dict[str, Any]]] = {}
            for event in events.to_pylist():
                by_video.setdefault(event["video_id"], []).append(event)
            for video_id, part in _split(frames):
                yield _scored_video(
                    known[video_id], part, by_video.get(video_id, []), sample_fps=record.spec["sample_fps"]
                )

    def _find(self, record: RunRecord, frames: pa.Table, known: Mapping[str, Mapping[str, Any]]) -> pa.Table:
        """The events by an audit's thresholds."""
        assert self.runs.thresholds
        durations_s = {video: known[video]["duration_s"] for video in pc.unique(frames["video_id"]).to_pylist()}
        return find_events(
            frames,
            self.runs.thresholds,
            sample_fps=record.spec["sample_fps"],
            durations_s=durations_s,
            settings=self.runs.events,
        )


def find_videos(runs: ScorerRuns) -> StoredVideos:
    """The latest version of each video that the runs settled; one that was replaced or failed since is not shown twice.

    A try that could not read a video, or found it changed, decides nothing: the scores before it stay.
    """
    numbered = [(n, file) for n, record in enumerate(runs.records) for file in runs.store.ledger_files(record.run)]
    rows = pa.concat_tables(map_in_order(lambda one: _ledger(*one), numbered)) if numbered else _empty_ledger()
    settled = rows.filter(pc.invert(has_outcome(rows, TRANSIENT)))
    latest = last_per_video(_of_listed_versions(runs, settled), by="uri")
    scored = latest.filter(outcomes_with_frames(latest["outcome"]))
    inputs = [str(record.settings.get("input") or "/") for record in runs.records]
    uris = scored["uri"].to_pylist()
    files = [path_below(uri, inputs[run]) for uri, run in zip(uris, scored["run"].to_pylist(), strict=True)]
    counts = Counter(files)
    names = [file if counts[file] == 1 else uri for file, uri in zip(files, uris, strict=True)]
    listed = pc.count_distinct(rows["uri"]).as_py()
    scored = scored.append_column("file", pa.array(names, pa.string()))
    return StoredVideos(runs, scored, listed - scored.num_rows)


def _of_listed_versions(runs: ScorerRuns, rows: pa.Table) -> pa.Table:
    """Those of the ledger's ``rows`` that are of the version listed last, of videos of which there are several.

    A version that came back is in the later runs' files of what was unchanged alone; these repeat the corpus in each
    run, and are read only where a video was replaced.
    """
    versions = rows.group_by("uri").aggregate([("video_id", "count_distinct")])
    replaced = versions.filter(pc.greater(versions["video_id_count_distinct"], 1))["uri"].combine_chunks()
    if not len(replaced):
        return rows
    several = pc.is_in(rows["uri"], replaced)
    files = [
        (n, file)
        for n, record in enumerate(runs.records)
        for file in parquet_files(runs.store.videos(record.run), prefix=UNCHANGED_PREFIX)
    ]
    names = ["video_id", "uri", "run"]
    listed = [rows.filter(several).select(names)]
    for unchanged in map_in_order(lambda one: _with_run(one[0], read_table(one[1], names[:2])), files):
        listed.append(unchanged.select(names).filter(pc.is_in(unchanged["uri"], replaced)))
    last = last_per_video(pa.concat_tables(listed).sort_by("run"), by="uri")["video_id"].combine_chunks()
    return rows.filter(pc.or_(pc.invert(several), pc.is_in(rows["video_id"], last)))


def check_not_empty(videos: StoredVideos) -> None:
    """UsageError where no video has scores."""
    if not videos.rows.num_rows:
        raise UsageError(
            f"{videos.runs.store.root} has no scored video of spec {videos.runs.spec_digest[:_SHOWN_DIGITS]}; the "
            f"reasons are in its ledger, videos/"
        )


def _empty_ledger() -> pa.Table:
    return pa.schema([*(VIDEOS.field(name) for name in _COLUMNS), ("run", pa.int64())]).empty_table()


def _ledger(position: int, file: str) -> pa.Table:
    return _with_run(position, read_table(file, _COLUMNS).select(_COLUMNS))


def _with_run(position: int, rows: pa.Table) -> pa.Table:
    return rows.append_column("run", pa.array([position] * rows.num_rows, pa.int64()))


def _events_of(events: pa.Table, frames: pa.Table) -> pa.Table:
    return events.filter(pc.is_in(events["video_id"], pc.unique(frames["video_id"])))


@dataclass(frozen=True)
class _Frames:
    """The sampled frames of one video, in order."""

    index: np.ndarray
    pts_s: np.ndarray
    scores: np.ndarray
    """(frames, labels)."""


def _split(frames: pa.Table) -> Iterator[tuple[str, _Frames]]:
    """Each video's id and frames; its rows lie together."""
    encoded = frames["video_id"].combine_chunks().dictionary_encode()
    codes, ids = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    index, pts_s = frames["frame_index"].to_numpy(), frames["pts_s"].to_numpy()
    scores = np.stack([frames[column].to_numpy() for column in SCORE_COLUMNS], axis=1)
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]).tolist()
    for start, stop in zip(starts, [*starts[1:], len(codes)], strict=True):
        part = _Frames(index[start:stop], pts_s[start:stop], scores[start:stop])
        if (np.diff(part.index) < 0).any():
            order = np.argsort(part.index, kind="stable")
            part = _Frames(part.index[order], part.pts_s[order], part.scores[order])
        yield ids[codes[start]], part


def _scored_video(
    row: Mapping[str, Any], frames: _Frames, events: Sequence[Mapping[str, Any]], *, sample_fps: float
) -> ScoredVideo:
    facts = {name: row[name] for name in FACTS}
    return ScoredVideo(
        video_id=row["video_id"],
        uri=row["uri"],
        file=row["file"],
        frame_index=frames.index,
        pts_s=frames.pts_s,
        scores=frames.scores,
        events=locate_events(events, frame_index=frames.index, pts_s=frames.pts_s, sample_fps=sample_fps, facts=facts),
        facts=facts,
    )
