"""Scoring stores whose clips have 24 frames per second, two of them sampled in a second; no Ray, no decoding."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from parts import THRESHOLDS, failure, manifest_row, record, segment, settle_run, write_manifest, write_part

from artifactscan.corpus.listed_object import video_id
from artifactscan.export.events.scored_video import ScoredVideo, locate_events
from artifactscan.jobs import export
from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES
from artifactscan.scoring.events import find_events
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

FPS, SAMPLE_FPS, STEP = 24.0, 2.0, 12
"""Of a clip, of sampling, and the frames from one sampled frame to the next."""
Scores = Mapping[str, Sequence[float]]


def export_events(store: Store, to: str, output: Path | str, *flags: str) -> int:
    """The exit code of `artifactscan export`."""
    return export.main([store.root, "--to", to, "--output", str(output), *flags])


def facts_of(frames: int) -> dict[str, Any]:
    """The ledger's facts of a clip of which ``frames`` were sampled."""
    size = {"width": 640, "height": 360, "fps": FPS, "frames_in_video": frames * STEP, "duration_s": frames / 2}
    return {"frames_decoded": frames, "frames_sampled": frames, "container": "mp4", "codec": "h264", **size}


def add_run(
    store: Store,
    run: str,
    videos: Mapping[str, Scores | str],
    *,
    input: str = "/clips",
    etags: Mapping[str, str] | None = None,
    settled: Mapping[str, str] | None = None,
    spec: str = "spec",
    facts: Mapping[str, Any] | None = None,
    commit: bool = True,
) -> RunRecord:
    """A run that scored ``videos``: uri → the scores of its sampled frames by label, or the outcome of one that failed.

    ``etags``: of uris whose etag is not 1; ``settled``: uri → the run that scored it before; ``facts``: in place of
    those of ``facts_of``.
    """
    etags = etags or {}
    rows = [manifest_row(uri, etags.get(uri, "1")) for uri in videos]
    rows += [
        manifest_row(uri, etags.get(uri, "1"), status="settled", settled_run=by, settled_outcome="scored")
        for uri, by in (settled or {}).items()
    ]
    write_manifest(store, run, rows)
    parts = []
    for uri, scores in videos.items():
        if isinstance(scores, str):
            row = failure(uri, scores)
            parts.append({**row, "video_id": video_id(uri, etags.get(uri, "1"))})
            continue
        count = max(map(len, scores.values()))
        given = {**facts_of(count), **(facts or {})}
        row = segment(uri, 0, list(range(count)), etag=etags.get(uri, "1"), outcome="scored", **given)
        for number, frame in enumerate(row["frames"]):
            frame |= {"frame_index": number * STEP, "pts_s": number / SAMPLE_FPS}
            frame |= {f"p_{label}": scores[label][number] if label in scores else 0.0 for label in LABELS}
        parts.append(row)
    write_part(store, run, "one", parts)
    totals = settle_run(store, run)
    written = replace(
        record(run, spec=spec),
        spec={"sample_fps": SAMPLE_FPS},
        settings={"input": input, "sample_fps": SAMPLE_FPS},
        checkpoint={"digest": "0123456789abcdef", "backbone": "resnet50", "thresholds": THRESHOLDS},
        counts={"listed": totals.listed, "frames": totals.frames, "events": totals.events},
    )
    if commit:
        store.commit(written)
    return written


def scored_video(scores: Scores, *, file: str = "day/a.mp4", **facts: Any) -> ScoredVideo:
    """A clip below /clips with its events, as it is read from a store; ``facts`` in place of those of ``facts_of``."""
    count = max(map(len, scores.values()))
    known = {**facts_of(count), "size_bytes": 1000, **facts}
    video, index = video_id(f"/clips/{file}", "1"), np.arange(count, dtype=np.int32) * STEP
    pts_s = index / FPS
    columns = {f"p_{label}": scores.get(label, [0.0] * count) for label in LABELS}
    frames = pa.table(
        {
            "video_id": [video] * count,
            "uri": [f"/clips/{file}"] * count,
            "frame_index": index,
            "pts_s": pts_s,
            **columns,
        }
    ).cast(FRAMES)
    durations = {video: known["duration_s"]}
    events = find_events(frames, THRESHOLDS, sample_fps=SAMPLE_FPS, durations_s=durations).to_pylist()
    return ScoredVideo(
        video_id=video,
        uri=f"/clips/{file}",
        file=file,
        frame_index=index,
        pts_s=pts_s,
        scores=np.stack([np.asarray(columns[name], np.float32) for name in columns], axis=1),
        events=locate_events(events, frame_index=index, pts_s=pts_s, sample_fps=SAMPLE_FPS, facts=known),
        facts=known,
    )


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Path below the folder → content of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
