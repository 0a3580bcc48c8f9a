"""The tables of an extraction: the work to do, what came of each video, the index of images and the ledger."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from artifactscan.annotation.frame_index import INDEX
from artifactscan.errors import LedgerError
from artifactscan.outcomes import Outcome
from artifactscan.schemas import VIDEO_FACTS

_IDENTITY = ("video_id", "uri", "file")

WORK = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("wanted", pa.list_(pa.int32())),
    ]
)
"""One row per video to extract from. ``wanted``: indices of the frames, null for every sampled one."""

_FRAME = pa.struct(
    [
        pa.field("image", pa.string()),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
    ]
)
EXTRACTED = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _IDENTITY),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        *VIDEO_FACTS,
        pa.field("frames", pa.list_(_FRAME), nullable=False),
    ]
)
"""One row per video: its verdict, and its wanted frames; ``image`` is null where no images were written."""

LEDGER = pa.schema([*list(EXTRACTED)[:-1], pa.field("frames_written", pa.int32(), nullable=False)])
"""One row per listed video: its outcome, as in docs/outcomes.md, and how many frames were written. Ledgers of earlier
versions have ``scored`` for EXTRACTED_WHOLE."""
EXTRACTED_WHOLE = "extracted"
"""The outcome of a video of which every wanted frame was decoded and written."""


def shown_outcome(outcome: str) -> str:
    """An outcome of decoding as an extraction calls it: nothing is scored here."""
    return EXTRACTED_WHOLE if outcome == Outcome.SCORED else outcome


def make_work(listing: pa.Table, chosen: pa.Table | None) -> pa.Table:
    """WORK rows of the videos with chosen frames, all videos where ``chosen`` is None.

    ``listing``: LISTING with a column ``file``. The largest object comes first, so that no long one is left to the end.
    """
    if chosen is None:
        lists = pa.nulls(listing.num_rows, WORK.field("wanted").type)
        work = listing.append_column("wanted", lists)
    else:
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for video, frame in zip(chosen["video_id"].to_pylist(), chosen["frame_index"].to_pylist(), strict=True):
            wanted[video].append(frame)
        lists = [wanted.get(video) for video in listing["video_id"].to_pylist()]
        work = listing.append_column("wanted", pa.array(lists, WORK.field("wanted").type))
        work = work.filter(work["wanted"].is_valid())
    return work.select(WORK.names).cast(WORK).sort_by([("size_bytes", "descending"), ("uri", "ascending")])


def make_index(extracted: Sequence[Mapping[str, Any]], chosen: pa.Table | None) -> pa.Table:
    """INDEX rows of the frames in EXTRACTED rows, with value and scores from ``chosen``, sorted by file and frame."""
    known = {(row["video_id"], row["frame_index"]): row for row in chosen.to_pylist()} if chosen is not None else {}
    rows = [
        {
            **known.get((video["video_id"], frame["frame_index"]), {}),
            **{name: video[name] for name in _IDENTITY},
            **frame,
        }
        for video in extracted
        for frame in video["frames"]
    ]
    rows = [{column: row.get(column) for column in INDEX.names} for row in rows]
    return pa.Table.from_pylist(rows, INDEX).sort_by([("file", "ascending"), ("frame_index", "ascending")])


def make_ledger(
    listing: pa.Table, extracted: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Mapping[str, Any]]
) -> pa.Table:
    """LEDGER rows, one per listed video, sorted by file; LedgerError for a video without an outcome.

    ``verdicts``: video_id → outcome, reason and facts of videos that no frame was chosen from. Where there are any, a
    video without one was replaced or removed between listing and scoring.
    """
    extracted_by_id = {video["video_id"]: video for video in extracted}
    changed = {"outcome": str(Outcome.CHANGED), "reason": "it was replaced or removed after it was listed"}
    rows = []
    for listed in listing.to_pylist():
        video = extracted_by_id.get(listed["video_id"])
        verdict = video or verdicts.get(listed["video_id"], changed if verdicts else None)
        if verdict is None:
            raise LedgerError(f"the ledger did not close: {listed['uri']} has no outcome; give the same command again")
        if video:
            verdict = {**video, "outcome": shown_outcome(video["outcome"])}
        written = len(video["frames"]) if video else 0
        rows.append({**verdict, **{name: listed[name] for name in _IDENTITY}, "frames_written": written})
    rows = [{column: row.get(column) for column in LEDGER.names} for row in rows]
    return pa.Table.from_pylist(rows, LEDGER).sort_by("file")
