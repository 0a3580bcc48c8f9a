"""Manifests and parts as a run writes them, made by hand, and settling them: no Ray, no video."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from artifactscan.corpus.listed_object import video_id
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.schemas import MANIFEST, PARTS
from artifactscan.scoring.complete_attempts import read_complete_attempts
from artifactscan.scoring.remaining_work import remaining_work
from artifactscan.scoring.settle import RunTotals, ScoredBy, settle
from artifactscan.storage.parquet import write_table
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)
THRESHOLDS = dict.fromkeys(LABELS, 0.5)
SAMPLE_FPS = 2.0
SCORED_BY = ScoredBy(spec="spec", checkpoint="resnet50-00000000", thresholds=THRESHOLDS, sample_fps=SAMPLE_FPS)


def manifest_row(uri: str, etag: str = "1", status: str = "new", **values: Any) -> dict[str, Any]:
    row = {"video_id": video_id(uri, etag), "uri": uri, "size_bytes": 1000, "etag": etag, "modified": MODIFIED}
    return {**row, "status": status, **values}


def write_manifest(store: Store, run: str, rows: list[dict[str, Any]]) -> None:
    write_table(pa.Table.from_pylist(rows, schema=MANIFEST), store.manifest(run))


def score(uri: str, frame: int, label: int) -> float:
    """The made-up score of a frame: a fixed number of two decimals."""
    return (sum(uri.encode()) * 7 + frame * 13 + label * 29) % 100 / 100


def segment(uri: str, index: int, frames: list[int], *, attempt: str = "a", etag: str = "1", **verdict: Any) -> dict:
    """One row of a part; with ``outcome`` it is the attempt's last, and counts the frames of all segments."""
    rows = [
        {"frame_index": frame, "pts_s": frame / 2, **{c: score(uri, frame, n) for n, c in enumerate(SCORE_COLUMNS)}}
        for frame in frames
    ]
    key = {"video_id": video_id(uri, etag), "uri": uri, "attempt": attempt, "segment": index, "slice": 0, "slices": 1}
    return {**key, "last": "outcome" in verdict, "precision": "fp32", "frames": rows, **verdict}


def attempt(uri: str, sizes: list[int], *, name: str = "a", etag: str = "1") -> list[dict]:
    """A whole attempt at a video that is scored, with segments of ``sizes`` frames."""
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    rows = [
        segment(uri, n, list(range(start, start + size)), attempt=name, etag=etag)
        for n, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    facts = {"outcome": "scored", "frames_decoded": sum(sizes), "frames_sampled": sum(sizes)}
    return [*rows[:-1], {**rows[-1], "last": True, **facts}]


def slice_of(rows: list[dict], number: int, of: int, *, first_frame: int = 0, **verdict: Any) -> list[dict]:
    """The rows of an attempt as those of one slice, with frames from ``first_frame`` on."""
    cut = []
    for row in rows:
        frames = [{**frame, "frame_index": frame["frame_index"] + first_frame} for frame in row["frames"]]
        cut.append({**row, "slice": number, "slices": of, "frames": frames, **(verdict if row["last"] else {})})
    return cut


def failure(uri: str, outcome: str = "undecodable", *, name: str = "f") -> dict:
    return segment(uri, 0, [], attempt=name, outcome=outcome, reason="it is broken")


def write_part(store: Store, run: str, name: str, rows: list[dict]) -> str:
    uri = f"{store.parts(run)}/{name}.parquet"
    write_table(pa.Table.from_pylist(rows, schema=PARTS), uri)
    return uri


def open_work(store: Store, run: str, **options: Any) -> pa.Table:
    """The work that a run's parts leave open."""
    return remaining_work(store, run, read_complete_attempts(store, run), **options)


def settle_run(store: Store, run: str) -> RunTotals:
    """Settles a run from its parts."""
    attempts = read_complete_attempts(store, run)
    return settle(store, run, attempts, SCORED_BY)


def record(run: str, *, spec: str = "spec", scope: str = "scope", limits: str = "limits") -> RunRecord:
    return RunRecord(
        run=run,
        spec_digest=spec,
        scope_digest=scope,
        limits_digest=limits,
        spec={},
        settings={},
        checkpoint={},
        versions={},
        precision=["fp32"],
        started="",
        finished="",
        seconds={},
        counts={},
    )
