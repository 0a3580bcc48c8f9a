"""Everything a night's page shows, and the questions that HTML, Markdown and next steps ask of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.audit.night import Night
from artifactscan.audit.night_tables import ALL, ESTIMATES, TONIGHT
from artifactscan.audit.policy import Policy, parse_policy
from artifactscan.audit.statistics.label_estimates import leading
from artifactscan.audit.verdict import BrokenRules, broken_rules, moved_canaries
from artifactscan.labels import LABELS
from artifactscan.schemas import outcomes_with_frames


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A frame of a video at a label's peak."""

    label: str
    frame_index: int
    pts_s: float
    score: float
    frame_jpeg: bytes
    overlay_jpeg: bytes | None = None
    """The frame with its Grad-CAM map over it; None where the map is zero everywhere."""


@dataclass(frozen=True, kw_only=True)
class WorstVideo:
    """One of the videos a person should look at first."""

    video_id: str
    uri: str
    path: str
    link: str | None
    """What the player loads: a path relative to the page, or a link that expires; None where there is neither."""
    frames: pa.Table
    """FRAMES rows of this video, in order."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Arrivals with the same outcome and reason."""

    outcome: str
    reason: str
    videos: int
    example: str
    """The path of one of them."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a page shows."""

    night: Night
    history: tuple[Night, ...] = ()
    """The nights before, whatever their scorer, oldest first: all that the audit holds."""
    store: str | None = None
    """The audit's store, absolute, for commands that are shown; None leaves them out."""
    arrivals: pa.Table
    """ARRIVALS."""
    events: pa.Table
    """EVENTS of the arrivals."""
    cells: pa.Table
    """CELLS."""
    trends: pa.Table
    """TRENDS up to this night."""
    canaries: pa.Table
    """CANARIES."""
    sampling: pa.Table
    """SAMPLING; empty where no video was scored at double the rate."""
    prevalence: pa.Table
    """PREVALENCE; empty where no human labels were given."""
    worst: tuple[WorstVideo, ...]
    """Worst first."""
    estimates: pa.Table = field(default_factory=ESTIMATES.empty_table)
    """ESTIMATES; empty where no clips were drawn for labelling, tonight or in the nights before."""
    label_notes: tuple[str, ...] = ()
    """Labels that could not be read, one sentence each."""
    label_sheet: str | None = None
    """The sheet in which tonight's sample is labelled; None where none was drawn."""
    link_expires: str | None = None
    """ISO 8601, UTC: until when presigned links work; None where there are none."""

    @property
    def previous(self) -> Night | None:
        """The night before: the page lists what changed between the two in versions and settings."""
        return self.history[-1] if self.history else None

    @cached_property
    def policy(self) -> Policy:
        """The policy the night was judged by; UsageError where this version cannot read it."""
        return parse_policy(self.night.policy, f"policy of night {self.night.night}")

    @cached_property
    def ordered_cells(self) -> list[dict[str, Any]]:
        """CELLS rows with ``state``: risen as the verdict says, fallen where the interval is below 0, or empty.

        Risen cells first, by q value; then those of all videos together; then by rate.
        """
        risen = {(cell["label"], cell["group"]) for cell in self.broken.risen}
        cells = [
            {**cell, "state": "risen" if (cell["label"], cell["group"]) in risen else _fallen(cell)}
            for cell in self.cells.to_pylist()
        ]
        return sorted(
            cells,
            key=lambda cell: (
                cell["state"] != "risen",
                cell["q_value"] if cell["state"] == "risen" else 0.0,
                cell["group"] != ALL,
                -(cell["rate"] if cell["rate"] is not None else -1.0),
                LABELS.index(cell["label"]),
                cell["group"],
            ),
        )

    @cached_property
    def broken(self) -> BrokenRules:
        """The rules of the policy that the night breaks."""
        return broken_rules(self.policy, self.cells, self.arrivals, self.night.unproven)

    @property
    def tested_cells(self) -> int:
        """How many rates were compared with the baseline."""
        return self.cells["untested"].null_count

    @property
    def risen(self) -> list[dict[str, Any]]:
        """The risen cells in the order of ``ordered_cells``."""
        return [cell for cell in self.ordered_cells if cell["state"] == "risen"]

    @cached_property
    def moved(self) -> set[tuple[str, str]]:
        """Clip and label of the canary scores that moved, as the verdict says."""
        return {(row["clip"], row["label"]) for row in moved_canaries(self.policy, self.canaries)}

    @cached_property
    def leading_estimates(self) -> list[dict[str, Any]]:
        """The ESTIMATES rows to show first: see ``label_estimates.leading``."""
        return leading(self.estimates)

    @cached_property
    def tonight_s_sample(self) -> dict[str, Any] | None:
        """An ESTIMATES row of tonight and ALL, for what of the sample is labelled; None where none was drawn."""
        rows = self.estimates.to_pylist()
        return next((row for row in rows if (row["scope"], row["group"]) == (TONIGHT, ALL)), None)

    def rate_limit(self, label: str, group: str) -> float | None:
        """The rate above which the policy fails a night for this label and group; the lowest of several."""
        return min((one.above for one in self.policy.rates if (one.label, one.group) == (label, group)), default=None)


def card_anchor(rank: int) -> str:
    """The id of a worst video's card on the page; ``rank`` is 1 for the worst."""
    return f"video-{rank}"


def rows_of(table: pa.Table, videos: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of these video_ids."""
    return table.filter(pc.is_in(table["video_id"], pa.array(videos, pa.string()))).to_pylist()


def without_score(arrivals: pa.Table) -> pa.Table:
    """The arrivals without a scored frame."""
    return arrivals.filter(pc.invert(outcomes_with_frames(arrivals["outcome"])))


def failures(arrivals: pa.Table) -> list[Failure]:
    """Why arrivals have no score or lost frames, the most frequent reason first."""
    rows = arrivals.filter(pc.is_valid(arrivals["reason"]))
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for outcome, reason, path in zip(*(rows[name].to_pylist() for name in ("outcome", "reason", "path")), strict=True):
        counts[outcome, reason] += 1
        examples.setdefault((outcome, reason), path)
    return [
        Failure(outcome=outcome, reason=reason, videos=count, example=examples[outcome, reason])
        for (outcome, reason), count in counts.most_common()
    ]


def _fallen(cell: dict[str, Any]) -> str:
    return "fallen" if cell["change_high"] is not None and cell["change_high"] < 0 and cell["change"] < 0 else ""
