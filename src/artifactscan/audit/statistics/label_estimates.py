"""Shares of clips and frames with each label, per group, from labels on the nights' samples and scores on all clips."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night_tables import ALL, ESTIMATES
from artifactscan.audit.statistics.group_members import group_names, members
from artifactscan.audit.statistics.prediction_powered import (
    MIN_CLIPS,
    LabelledClips,
    ScoredClips,
    ShareEstimate,
    estimate_share,
)
from artifactscan.labels import LABELS, SCORE_COLUMNS

CLIPS, FRAMES = "clips", "frames"
"""Units of a share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledNight:
    """The arrivals of a night, and the labels on its sample."""

    arrivals: pa.Table
    """ARRIVALS."""
    means: pa.Table
    """``video_id`` and ``mean_<label>``, the mean score of its frames, of every scored arrival."""
    sample: pa.Table
    """LABEL_SAMPLE."""
    labels: pa.Table
    """``video_id``, ``frame_index`` and a column per label, 0 or 1: of frames of the sample, one row each."""


def estimate_labels(nights: Sequence[LabelledNight], *, scope: str, labelled_by: str) -> pa.Table:
    """ESTIMATES over these nights together.

    A clip counts as labelled once all its frames in the sample are. Clips that are not yet labelled, or never will be,
    are taken to be a random part of the sample, as clips are labelled in a random order.
    """
    arrivals = pa.concat_tables([night.arrivals for night in nights])
    groups = group_names(arrivals)
    of = members(arrivals, groups)
    clips = _Clips.of(of.scored, nights)
    rows = []
    for number, group in enumerate(groups):
        here = np.zeros(of.scored.num_rows, bool)
        here[of.row[of.group == number]] = True
        for label in range(len(LABELS)):
            for unit in (CLIPS, FRAMES):
                row = {"scope": scope, "nights": len(nights), "label": LABELS[label], "group": group, "unit": unit}
                rows.append(row | _estimate(clips, here, label, unit, labelled_by))
    return pa.Table.from_pylist(rows, ESTIMATES)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Clips:
    """Scored clips; the columns of labels are NaN where a clip is not labelled in full. Labels come last."""

    frames: np.ndarray
    """(clips,)."""
    frames_over: np.ndarray
    """(clips, labels), as all that follow but ``probability``, ``drawn`` and ``labelled_frames``."""
    events: np.ndarray
    peak: np.ndarray
    mean: np.ndarray
    sample_mean: np.ndarray
    """Mean score of the clip's labelled frames."""
    shown: np.ndarray
    """Share of the clip's labelled frames that show the label."""
    probability: np.ndarray
    """(clips,): with which the clip was drawn and labelled."""
    drawn: np.ndarray
    """bool (clips,)."""
    labelled_frames: np.ndarray
    """int (clips,)."""

    @classmethod
    def of(cls, scored: pa.Table, nights: Sequence[LabelledNight]) -> "_Clips":
        ids = scored["video_id"]
        means = _at(pa.concat_tables([night.means for night in nights]), ids)
        labelled = _at(pa.concat_tables([_labelled_clips(night) for night in nights]), ids)
        drawn = pa.concat_arrays([night.sample["video_id"].combine_chunks() for night in nights])
        return cls(
            frames=scored["frames"].to_numpy().astype(np.float64),
            **{name: _by_label(scored, name) for name in ("frames_over", "events", "peak")},
            mean=_by_label(means, "mean"),
            sample_mean=_by_label(labelled, "p"),
            shown=_by_label(labelled, "shown"),
            probability=labelled["probability"].to_numpy(),
            drawn=pc.is_in(ids, value_set=drawn).to_numpy(),
            labelled_frames=pc.fill_null(labelled["labelled_frames"], 0).to_numpy(),
        )


def _labelled_clips(night: LabelledNight) -> pa.Table:
    """One row per clip of the sample that is labelled in full, with its part of each column of _Clips."""
    marked = night.labels.append_column("labelled", pa.repeat(1, night.labels.num_rows))
    frames = night.sample.join(marked, ["video_id", "frame_index"], join_type="left outer")
    columns = [*LABELS, *SCORE_COLUMNS]
    clips = frames.group_by("video_id").aggregate(
        [
            ("clip_probability", "mean"),
            ("frame_index", "count"),
            ("labelled", "count"),
            *((name, "mean") for name in columns),
        ]
    )
    complete = clips.filter(pc.equal(clips["frame_index_count"], clips["labelled_count"]))
    share = complete.num_rows / max(1, clips.num_rows)
    return pa.table(
        {
            "video_id": complete["video_id"],
            "probability": pc.multiply(complete["clip_probability_mean"], share),
            "labelled_frames": complete["labelled_count"],
            **{f"shown_{label}": complete[f"{label}_mean"] for label in LABELS},
            **{f"p_{label}": complete[f"p_{label}_mean"] for label in LABELS},
        }
    )


def _at(rows: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    """The row of each of ``ids``; nulls where there is none."""
    return rows.take(pc.index_in(ids, value_set=rows["video_id"].combine_chunks()))


def _by_label(rows: pa.Table, name: str) -> np.ndarray:
    return np.stack([rows[f"{name}_{label}"].to_numpy().astype(np.float64) for label in LABELS], axis=1)


def _estimate(clips: _Clips, here: np.ndarray, label: int, unit: str, labelled_by: str) -> dict[str, Any]:
    """The columns of one row of ESTIMATES, of the clips that are ``here``, bool (clips,)."""
    of_clips = unit == CLIPS
    labelled = here & ~np.isnan(clips.shown[:, label])
    row: dict[str, Any] = {
        "clips": int(here.sum()),
        "drawn": int((here & clips.drawn).sum()),
        "labelled_clips": int(labelled.sum()),
        "labelled_frames": int(clips.labelled_frames[labelled].sum()),
        "labelled_by": labelled_by,
    }
    if here.any():
        flagged = (clips.events[here, label] > 0).mean() if of_clips else None
        frames = clips.frames_over[here, label].sum() / clips.frames[here].sum()
        row["flag_rate"] = float(frames if flagged is None else flagged)
    if row["labelled_clips"] < MIN_CLIPS:
        return row | {"reason": f"{row['labelled_clips']} labelled clips are too few; an estimate needs {MIN_CLIPS}"}
    shown, size = clips.shown[:, label], np.ones(len(here)) if of_clips else clips.frames
    score = clips.peak if of_clips else clips.mean
    found = estimate_share(
        ScoredClips(size=size[here], score=score[here, label]),
        LabelledClips(
            size=size[labelled],
            label=(shown[labelled] > 0).astype(float) if of_clips else shown[labelled],
            score=(clips.peak if of_clips else clips.sample_mean)[labelled, label],
            probability=clips.probability[labelled],
        ),
    )
    return row | _columns(found)


def _columns(found: ShareEstimate) -> dict[str, float | None]:
    renamed = {"low": "estimate_low", "high": "estimate_high"}
    return {renamed.get(name, name): value for name, value in asdict(found).items()}


def leading(estimates: pa.Table, *, group: str = ALL) -> list[dict[str, Any]]:
    """The rows to show first: of the narrowest scope with an estimate, tonight's before the recent nights'."""
    rows = [row for row in estimates.to_pylist() if row["group"] == group]
    scopes = dict.fromkeys(row["scope"] for row in rows)
    for scope in scopes:
        of_scope = [row for row in rows if row["scope"] == scope]
        if any(row["estimate"] is not None for row in of_scope):
            return of_scope
    return []
