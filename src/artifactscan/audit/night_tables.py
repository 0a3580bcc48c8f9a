"""Schemas of the tables of a night, one file each in nights/<id>/tables-…/ of an audit's store."""

import pyarrow as pa

from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.schemas import IDENTITY

ALL = "all"
"""The group that every video belongs to."""

_STRING, _INT32, _INT64, _FLOAT32, _FLOAT64 = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64()


def _required(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name in names]


def _nullable(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names]


def _with_interval(*names: str) -> list[pa.Field]:
    """Each name, and its lower and upper bound."""
    return _nullable(_FLOAT64, *(f"{name}{end}" for name in names for end in ("", "_low", "_high")))


def _label_columns(label: str) -> list[pa.Field]:
    return [
        *_required(_INT32, f"events_{label}"),
        *_required(_FLOAT64, f"event_s_{label}"),
        *_required(_INT32, f"frames_over_{label}"),
        *_nullable(_FLOAT32, f"peak_{label}"),
        *_nullable(_INT32, f"peak_frame_{label}"),
        *_nullable(_FLOAT64, f"peak_s_{label}"),
    ]


ARRIVALS = pa.schema(
    [
        *IDENTITY,
        *_required(_STRING, "path"),
        *_required(pa.list_(_STRING), "groups"),
        *_required(_STRING, "outcome"),
        *_nullable(_STRING, "reason"),
        *_nullable(_FLOAT64, "duration_s"),
        *_required(_INT32, "frames"),
        *(column for label in LABELS for column in _label_columns(label)),
    ]
)
"""One row per video that got an outcome in this night's runs. ``path`` is relative to the corpus, ``groups`` are like
``generator=sora``, ``frames`` is the number of scored frames. ``events_…`` counts events, ``event_s_…`` is their total
length; ``frames_over_…`` counts frames at or above the threshold; ``peak_…`` is the highest score, at frame
``peak_frame_…`` and second ``peak_s_…``, null where no frame was scored."""

CELLS = pa.schema(
    [
        *_required(_STRING, "label", "group"),
        *_required(_INT64, "videos", "flagged"),
        *_with_interval("rate"),
        *_required(_INT64, "frames", "frames_over"),
        *_with_interval("frame_rate"),
        *_required(_INT64, "base_videos", "base_flagged"),
        *_nullable(_FLOAT64, "base_rate", "base_frame_rate"),
        *_with_interval("change", "frame_change"),
        *_nullable(_FLOAT64, "dispersion", "p_value", "q_value", "psi", "ks", "ks_q_value"),
        *_nullable(_STRING, "untested"),
    ]
)
"""One row per label and group. ``videos`` have a score tonight, ``flagged`` of them an event; ``rate`` is their share,
``frame_rate`` the share of frames at or above the threshold; ``base_…`` is the same over the baseline nights; changes
are tonight minus baseline. ``…_low`` and ``…_high`` bound a bootstrap interval over videos.
``p_value`` tests for a rise in ``rate``, ``q_value`` is the same after Benjamini–Hochberg over all tested cells,
``dispersion`` is the variance between baseline nights relative to chance (1: no more than chance). ``psi`` and ``ks``
compare the videos' peak scores with the baseline's. Where a cell was not compared these are null, and ``untested`` says
why; ``psi``, ``ks`` and ``ks_q_value`` are null also where one video stands against one."""

SAMPLING = pa.schema([*_required(_STRING, "label"), *_required(_INT64, "videos", "events", "missed")])
"""What the usual sampling rate misses: of the ``events`` found in ``videos`` at double the rate, ``missed`` overlap no
event found at the usual rate."""

PREVALENCE = pa.schema(
    [
        *_required(_STRING, "label"),
        *_required(_INT64, "labelled_videos", "labelled_frames"),
        *_nullable(_FLOAT64, "sensitivity", "specificity", "frame_rate"),
        *_with_interval("corrected"),
        *_nullable(_STRING, "reason", "method"),
    ]
)
"""The share of frames that truly show each label, estimated from the flagged share and human labels on a sample
(Rogan and Gladen 1978). Where that is undefined ``reason`` says why, and ``corrected`` is prediction-powered, or null
where too few videos are labelled; ``method`` says which, null in nights of earlier versions."""

LABEL_SAMPLE = pa.schema(
    [
        *IDENTITY,
        *_required(_STRING, "path"),
        *_required(_INT32, "position", "frame_index"),
        *_required(_FLOAT64, "pts_s"),
        *_required(_INT32, "clip_frames"),
        *_required(_FLOAT64, "clip_probability", "frame_probability"),
        *_required(_INT64, "seed"),
        *(pa.field(column, _FLOAT32, nullable=False) for column in SCORE_COLUMNS),
    ]
)
"""One row per frame drawn for labelling. ``position``: of the clip in the random order in which clips are labelled;
``clip_frames``: scored frames of the clip; ``clip_probability``: with which the clip was drawn from the night's scored
arrivals; ``frame_probability``: with which the frame was drawn from the clip's scored frames; ``seed``: of the draw;
``p_…``: the frame's scores."""

TONIGHT, RECENT = "tonight", "recent"
"""Scopes of an estimate: the night's own arrivals, and those of the last nights that have labels."""

ESTIMATES = pa.schema(
    [
        *_required(_STRING, "scope", "label", "group", "unit"),
        *_required(_INT32, "nights"),
        *_required(_INT64, "clips", "drawn", "labelled_clips", "labelled_frames"),
        *_with_interval("estimate"),
        *_nullable(_FLOAT64, "flag_rate"),
        *_with_interval("labels_alone"),
        *_nullable(_FLOAT64, "correlation"),
        *_nullable(_STRING, "labelled_by", "reason"),
    ]
)
"""The share of clips, or of frames (``unit``), that show a label, from labels on a random sample and scores on all, for
each ``scope`` (TONIGHT, or RECENT over so many ``nights``) and group. A clip shows a label if one of its labelled
frames does. ``clips`` are scored, ``drawn`` of them for labelling, ``labelled_clips`` labelled in full. ``flag_rate``:
the share that the scorer flags; ``labels_alone``: the estimate without scores; ``correlation``: of scores and labels,
null where the scores were not used; ``labelled_by``: people or judge:<model>. Without an estimate ``reason`` says
why."""

CANARIES = pa.schema(
    [
        *_required(_STRING, "clip", "label"),
        *_required(_INT64, "frames"),
        *_required(pa.bool_(), "planted"),
        *_nullable(_FLOAT64, "score", "reference", "shift"),
        *_nullable(_STRING, "reason"),
    ]
)
"""One row per canary clip and label: mean score tonight (``score``) and in the reference night (``reference``), and the
largest change of one frame's score (``shift``). ``planted``: the clip has that artifact. A clip that cannot be compared
has a null shift and a reason."""

TRENDS = pa.schema(
    [
        *_required(_STRING, "night", "label", "group"),
        *_required(_INT64, "videos"),
        *_with_interval("rate"),
        *_nullable(pa.bool_(), "risen"),
    ]
)
"""One row per night, label and group, oldest night first. ``risen``: whether a rise failed that night; null where the
cell was not compared."""

PICTURES = pa.schema(
    [
        *_required(_STRING, "video_id", "label"),
        *_required(_INT32, "frame_index"),
        *_required(_FLOAT64, "pts_s"),
        *_required(_FLOAT32, "score"),
        *_required(pa.binary(), "frame_jpeg"),
        *_nullable(pa.binary(), "overlay_jpeg"),
    ]
)
"""One row per picture: the frame of a worst video at a label's peak, and the same frame with its heat map over it."""
