"""The estimates that lead a page and a message: per label a share with its interval, and what they rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artifactscan.audit.formatting import counted
from artifactscan.audit.label_folder import PEOPLE
from artifactscan.audit.night_tables import ALL, TONIGHT
from artifactscan.audit.page.charts import nice_top
from artifactscan.audit.report_data import Report
from artifactscan.audit.statistics.label_estimates import CLIPS, FRAMES
from artifactscan.audit.statistics.prediction_powered import ENOUGH_CLIPS
from artifactscan.labels import LABELS

MAX_GROUP_ROWS = 400
"""Most rows of the table of groups, those of the largest groups."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class LabelShares:
    """One label's ESTIMATES rows of all clips."""

    label: str
    clips: Row
    frames: Row


@dataclass(frozen=True, kw_only=True)
class LeadingEstimates:
    """What a page shows of the estimates."""

    shares: tuple[LabelShares, ...]
    """In the order of the labels; none where there is no estimate yet."""
    basis: str
    """What they rest on, as a sentence."""
    too_narrow: str | None
    """That some of the intervals are too narrow, as a sentence; None where none is."""
    waiting: str | None
    """What is still to be labelled tonight, as a sentence; None where nothing is."""
    groups: tuple[Row, ...]
    """ESTIMATES rows with an estimate, of groups other than ALL."""
    top: float
    """The share at the right end of the charts."""


def leading_estimates(report: Report) -> LeadingEstimates | None:
    """What the page shows first; None where no clips were drawn for labelling, tonight or in the nights before."""
    if not report.estimates.num_rows:
        return None
    rows = report.leading_estimates
    by_key = {(row["label"], row["unit"]): row for row in rows}
    shares = tuple(
        LabelShares(label=label, clips=by_key[label, CLIPS], frames=by_key[label, FRAMES])
        for label in (LABELS if rows else ())
    )
    shown = [row[name] for row in rows for name in ("estimate_high", "flag_rate") if row[name] is not None]
    groups = _groups(report, rows)
    return LeadingEstimates(
        shares=shares,
        basis=_basis(rows),
        too_narrow=_too_narrow([*rows, *groups]),
        waiting=_waiting(report),
        groups=tuple(groups),
        top=nice_top(max(shown, default=0.0)),
    )


def _basis(rows: Sequence[Row]) -> str:
    if not rows:
        return "No estimate yet: too few clips are labelled."
    row = rows[0]
    who = "people" if row["labelled_by"] == PEOPLE else row["labelled_by"]
    when = "tonight" if row["scope"] == TONIGHT else f"the last {counted(row['nights'], 'labelled night')}"
    return (
        f"From labels by {who} on {row['labelled_clips']:,} of {counted(row['clips'], 'clip')} of {when}, drawn at "
        "random, and scores on all of them."
    ).replace("of the last 1 labelled night,", "of the last labelled night,")


def _too_narrow(rows: Sequence[Row]) -> str | None:
    if not any(row["estimate"] is not None and row["labelled_clips"] < ENOUGH_CLIPS for row in rows):
        return None
    return (
        f"Intervals from fewer than {ENOUGH_CLIPS} labelled clips are too narrow: those of a share of frames hold the "
        "truth in about 90 % of samples, not in 95 %."
    )


def _waiting(report: Report) -> str | None:
    row = report.tonight_s_sample
    if row is None or row["labelled_clips"] >= row["drawn"]:
        return None
    labelled = (
        f"{row['labelled_clips']:,} of {row['drawn']:,}" if row["labelled_clips"] else f"none of {row['drawn']:,}"
    )
    return f"Of tonight's sample {labelled} clips are labelled in full. The sheet is {report.label_sheet}"


def _groups(report: Report, leading: Sequence[Row]) -> list[Row]:
    if not leading:
        return []
    scope = leading[0]["scope"]
    rows = [
        row
        for row in report.estimates.to_pylist()
        if row["scope"] == scope and row["group"] != ALL and row["estimate"] is not None
    ]
    return sorted(rows, key=lambda row: (-row["clips"], row["group"], LABELS.index(row["label"])))[:MAX_GROUP_ROWS]
