"""The declared schemas of every table artifactscan writes."""

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.outcomes import HAS_FRAMES

IDENTITY = [
    pa.field("video_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
]
"""Identify one version of one object in every table."""
_OBJECT = [
    pa.field("size_bytes", pa.int64()),
    pa.field("etag", pa.string()),
    pa.field("modified", pa.timestamp("us", tz="UTC")),
]
_SCORES = [pa.field(column, pa.float32(), nullable=False) for column in SCORE_COLUMNS]

LISTING = pa.schema(IDENTITY + _OBJECT)
"""One row per listed object. ``size_bytes`` and ``etag`` are null where they could not be read."""

MANIFEST = pa.schema(
    [
        *LISTING,
        pa.field("status", pa.string(), nullable=False),
        pa.field("settled_run", pa.string()),
        pa.field("settled_outcome", pa.string()),
    ]
)
"""The listing with what a run does about each object. ``status`` is new, changed (other content under a known uri),
again (known, but no earlier run settled it), settled (by ``settled_run``), or removed (only in the last listing)."""

TO_DO = ("new", "changed", "again")
"""Statuses of the manifest rows that the run must give an outcome."""

FRAMES = pa.schema(
    [
        *IDENTITY,
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        *_SCORES,
    ]
)
"""One row per sampled frame that was scored."""

VIDEO_FACTS = [
    pa.field("decoder", pa.string()),
    pa.field("container", pa.string()),
    pa.field("codec", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("rotation_deg", pa.int32()),
    pa.field("fps", pa.float64()),
    pa.field("duration_s", pa.float64()),
    pa.field("frames_in_video", pa.int32()),
    pa.field("frames_sampled", pa.int32()),
    pa.field("frames_decoded", pa.int32()),
    pa.field("packets_damaged", pa.int32()),
    pa.field("fetch_s", pa.float64()),
    pa.field("decode_s", pa.float64()),
]
"""The fields of artifactscan.decode.video.VideoFacts, in order; null where decoding did not get that far."""

_SUMMARY = [
    field
    for label in LABELS
    for field in (
        pa.field(f"mean_{label}", pa.float32()),
        pa.field(f"max_{label}", pa.float32()),
        pa.field(f"frames_over_{label}", pa.int32()),
    )
]

VIDEOS = pa.schema(
    [
        *IDENTITY,
        *_OBJECT,
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        *VIDEO_FACTS,
        pa.field("settled_run", pa.string()),
        pa.field("settled_outcome", pa.string()),
        *_SUMMARY,
    ]
)
"""The ledger: one row per listed object, with its outcome, the reason as a sentence, and a summary per label."""

EVENTS = pa.schema(
    [
        *IDENTITY,
        pa.field("label", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("peak", pa.float32(), nullable=False),
        pa.field("peak_frame", pa.int32(), nullable=False),
    ]
)
"""One row per time-coded event of one label."""

PREDICTIONS = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        *[pa.field(f"y_{label}", pa.int8(), nullable=False) for label in LABELS],
        *[pa.field(f"logit_{label}", pa.float32(), nullable=False) for label in LABELS],
        pa.field("fold", pa.int32(), nullable=False),
    ]
)
"""One row per labelled frame and model that scored it without having trained on it. ``y_…`` is 0 or 1, ``logit_…`` the
model's output before calibration, ``fold`` the split of that model. ``video`` is the group that no split divides: two
files of one clip share it."""

METRICS = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("majority", pa.float64()),
        pa.field("reason", pa.string()),
    ]
)
"""One row per figure of an evaluation. ``fold`` is a number or ``all``, ``label`` one of LABELS, ``macro`` or
``overall``; ``low`` and ``high`` bound the interval; ``majority`` is the figure of always answering each label's
majority class. An undefined figure is null, and ``reason`` says why."""

EXPLANATIONS = pa.schema(
    [
        *IDENTITY,
        pa.field("checkpoint", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("peak_x", pa.float32()),
        pa.field("peak_y", pa.float32()),
        pa.field("picture", pa.string(), nullable=False),
    ]
)
"""One row per heat map: a frame and a label. ``checkpoint`` is its digest; ``peak_x`` and ``peak_y`` are the position
of the map's maximum, from 0 at the left and top to 1, null for a map of zeros; ``picture`` is a file beside it."""

_SEGMENT_KEY = [
    *IDENTITY,
    pa.field("attempt", pa.string(), nullable=False),
    pa.field("segment", pa.int32(), nullable=False),
    pa.field("last", pa.bool_(), nullable=False),
    pa.field("slice", pa.int32()),
    pa.field("slices", pa.int32()),
]
"""The attempt decodes slice number ``slice`` of ``slices`` of the video; 0 of 1 is the whole video."""
_VERDICT = [pa.field("outcome", pa.string()), pa.field("reason", pa.string()), *VIDEO_FACTS]

SEGMENTS = pa.schema(
    [
        *_SEGMENT_KEY,
        *_VERDICT,
        pa.field("frame_index", pa.list_(pa.int32())),
        pa.field("pts_s", pa.list_(pa.float64())),
        pa.field("pixels", pa.large_binary()),
        pa.field("context_before", pa.int32()),
        pa.field("context_after", pa.int32()),
    ]
)
"""Decoder output: one row per segment; ``pixels`` is uint8 RGB, (frames, height, width, 3) in C order, of the sampled
frames before the segment, those of ``frame_index``, and those after it: ``context_before`` and ``context_after`` count.
Outcome, reason and facts are on the row with ``last`` true and null on the others."""

PARTS = pa.schema(
    [
        *_SEGMENT_KEY,
        *_VERDICT,
        pa.field("precision", pa.string()),
        pa.field("device", pa.string()),
        pa.field("classify_s", pa.float64()),
        pa.field("frames", pa.list_(pa.struct([*list(FRAMES)[2:]]))),
    ]
)
"""What the graph writes, at least once: segments with scores in place of pixels. ``classify_s``: seconds of a
classifier on ``device``. Columns that an earlier version did not write are null."""


SCORED_BY = [pa.field("spec", pa.string()), pa.field("checkpoint", pa.string())]
"""Columns that tell apart the scorers of one store: the digest of the spec, and the name of the checkpoint.
Files that version 0.1.0 wrote lack them."""

STORED_FRAMES, STORED_VIDEOS, STORED_EVENTS = (pa.schema([*schema, *SCORED_BY]) for schema in (FRAMES, VIDEOS, EVENTS))
"""The tables in frames/, videos/ and events/ of a store."""


def outcomes_with_frames(outcomes: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Boolean mask of the outcomes that have scored frames (HAS_FRAMES)."""
    return pc.is_in(outcomes, pa.array(sorted(map(str, HAS_FRAMES))))
