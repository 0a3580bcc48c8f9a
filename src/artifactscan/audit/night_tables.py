"""The declared schemas of the tables a night leaves in nights/<id>/ of an audit's store."""

import pyarrow as pa

from artifactscan.labels import LABELS
from artifactscan.schemas import IDENTITY

ALL = "all"
"""The group that every video belongs to."""

ARRIVALS = pa.schema(
    [
        *IDENTITY,
        pa.field("path", pa.string(), nullable=False),
        pa.field("groups", pa.list_(pa.string()), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("duration_s", pa.float64()),
        pa.field("frames", pa.int32(), nullable=False),
        *[
            field
            for label in LABELS
            for field in (
                pa.field(f"events_{label}", pa.int32(), nullable=False),
                pa.field(f"event_s_{label}", pa.float64(), nullable=False),
                pa.field(f"frames_over_{label}", pa.int32(), nullable=False),
                pa.field(f"peak_{label}", pa.float32()),
                pa.field(f"peak_frame_{label}", pa.int32()),
                pa.field(f"peak_s_{label}", pa.float64()),
            )
        ],
    ]
)
"""One row per video that this night's runs gave an outcome. ``path`` is below the corpus, ``groups`` are like
``generator=sora``, ``frames`` those that were scored; ``events_…`` counts events and ``event_s_…`` their seconds
together; ``peak_…`` is the highest score, at ``peak_frame_…`` and ``peak_s_…``, null where no frame was scored."""

CELLS = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("videos", pa.int64(), nullable=False),
        pa.field("flagged", pa.int64(), nullable=False),
        *[pa.field(name, pa.float64()) for name in ("rate", "rate_low", "rate_high")],
        pa.field("frames", pa.int64(), nullable=False),
        pa.field("frames_over", pa.int64(), nullable=False),
        *[pa.field(name, pa.float64()) for name in ("frame_rate", "frame_rate_low", "frame_rate_high")],
        pa.field("base_videos", pa.int64(), nullable=False),
        pa.field("base_flagged", pa.int64(), nullable=False),
        *[pa.field(name, pa.float64()) for name in ("base_rate", "base_frame_rate")],
        *[pa.field(name, pa.float64()) for name in ("change", "change_low", "change_high")],
        *[pa.field(name, pa.float64()) for name in ("frame_change", "frame_change_low", "frame_change_high")],
        *[pa.field(name, pa.float64()) for name in ("dispersion", "p_value", "q_value")],
        *[pa.field(name, pa.float64()) for name in ("psi", "ks", "ks_q_value")],
        pa.field("untested", pa.string()),
    ]
)
"""One row per label and group. ``videos`` have a score tonight, ``flagged`` of them an event; ``rate`` is their share,
``frame_rate`` the share of frames at or over the threshold; ``base_…`` the same over the baseline's nights, ``change``
and ``frame_change`` tonight's less the baseline's. All ``…_low`` and ``…_high`` bound a bootstrap interval over videos.
``p_value`` is of no rise in ``rate``, ``q_value`` the same after Benjamini–Hochberg over all tested cells,
``dispersion`` how much more the baseline's nights differ than chance makes them (1: not more). ``psi`` and ``ks``
compare the videos' peak scores with the baseline's. Where the cell was not compared, those are null and ``untested``
says why."""

SAMPLING = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("videos", pa.int64(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
        pa.field("missed", pa.int64(), nullable=False),
    ]
)
"""What the usual sampling rate misses: of the ``events`` that double the rate finds in ``videos``, those that overlap
with none found at the usual rate."""

PREVALENCE = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("labelled_videos", pa.int64(), nullable=False),
        pa.field("labelled_frames", pa.int64(), nullable=False),
        *[pa.field(name, pa.float64()) for name in ("sensitivity", "specificity", "frame_rate")],
        *[pa.field(name, pa.float64()) for name in ("corrected", "corrected_low", "corrected_high")],
        pa.field("reason", pa.string()),
    ]
)
"""The share of frames that truly show each label, estimated from the flagged share and human labels on a sample
(Rogan and Gladen 1978). Where that cannot be said, ``corrected`` is null and ``reason`` says why."""

CANARIES = pa.schema(
    [
        pa.field("clip", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("frames", pa.int64(), nullable=False),
        pa.field("planted", pa.bool_(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("reference", pa.float64()),
        pa.field("shift", pa.float64()),
        pa.field("reason", pa.string()),
    ]
)
"""One row per canary clip and label: the mean score tonight and of the reference, and the largest shift of one frame's
score; ``planted`` says whether the clip has that artifact. A clip that cannot be compared has null and a reason."""

TRENDS = pa.schema(
    [
        pa.field("night", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("videos", pa.int64(), nullable=False),
        *[pa.field(name, pa.float64()) for name in ("rate", "rate_low", "rate_high")],
    ]
)
"""One row per night, label and group, oldest night first."""

PICTURES = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts_s", pa.float64(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("frame_jpeg", pa.binary(), nullable=False),
        pa.field("overlay_jpeg", pa.binary()),
    ]
)
"""One row per picture: a worst video's frame at a label's peak, and the same with its heat map over it."""
