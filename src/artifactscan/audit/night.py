"""What one night of an audit says of itself: night.json, and what a page shows of it."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from artifactscan.outcomes import HAS_FRAMES

EXIT_PASS, EXIT_FAIL, EXIT_SCORER_MOVED = 0, 1, 4
"""A night's verdicts; 2 and 3 are wrong usage and a ledger that did not close, as in every job."""
NIGHT_VERSION = 1
"""Raised when night.json or the tables beside it change so that older readers would misread them."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the policy says of a night."""

    code: int
    """EXIT_PASS, EXIT_FAIL or EXIT_SCORER_MOVED."""
    headline: str
    """One sentence: worse or not, in what, and whether the corpus or the scorer moved."""
    reasons: tuple[str, ...] = ()
    """Each rule of the policy that failed the night, in a sentence."""
    worse: bool = False
    """Whether a rise against the baseline failed the night."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """What night.json says; it is written last: a night without it is not committed."""

    night: str
    """Its id, which sorts by time."""
    night_version: int = NIGHT_VERSION
    corpus: str
    started: str
    """ISO 8601, UTC."""
    finished: str
    scorer: str
    """The night whose canary scores are the reference; only nights of one scorer are compared."""
    spec_digest: str
    spec: dict[str, Any]
    checkpoint: dict[str, Any]
    """digest, backbone, trained, standing (how it did on videos it had not seen, in words)."""
    versions: dict[str, str]
    tables: str
    """The folder in nights/<id>/ that holds its tables; writing them anew makes another one."""
    runs: tuple[str, ...]
    """Scoring runs whose videos are this night's arrivals."""
    counts: dict[str, int]
    """listed, new, changed, again, settled, removed; quarantined, retried, recovered."""
    outcomes: dict[str, int]
    """Of the arrivals."""
    standing_outcomes: dict[str, int]
    """Of all videos listed tonight, by the run that settled each."""
    standing_rates: dict[str, float]
    """Per label: the share of all scored videos listed tonight that have a frame at or over the threshold."""
    baseline: tuple[str, ...]
    """Nights compared with."""
    thresholds: dict[str, float]
    events: dict[str, Any]
    """The settings by which frames became events."""
    policy: dict[str, Any]
    verdict: Verdict
    notes: tuple[str, ...] = ()
    """What happened differently than asked or usual, in words."""
    remarks: tuple[str, ...] = ()
    """What to know of how it was judged, in words; said anew when it is judged anew."""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def has_scores(self) -> bool:
        """Whether any of its arrivals has a score."""
        return any(self.outcomes.get(outcome) for outcome in HAS_FRAMES)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A frame of a video at a label's peak."""

    label: str
    frame_index: int
    pts_s: float
    score: float
    frame_jpeg: bytes
    overlay_jpeg: bytes | None = None
    """The frame with its Grad-CAM map over it; None where no place in the frame speaks for the label."""


@dataclass(frozen=True, kw_only=True)
class WorstVideo:
    """One of the videos a person should look at first."""

    video_id: str
    uri: str
    path: str
    link: str | None
    """What a player loads: a path relative to the page, or a link that expires; None where there is neither."""
    frames: pa.Table
    """FRAMES rows of this video, in order."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a page shows."""

    night: Night
    previous: Night | None
    """The night before, of the same scorer or not: what changed between the two in versions and settings."""
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
    """SAMPLING; no rows where nothing was scored again."""
    prevalence: pa.Table
    """PREVALENCE; no rows where no human labels were given."""
    worst: tuple[WorstVideo, ...]
    """Worst first."""
    link_expires: str | None = None
    """ISO 8601, UTC: until when presigned links work; None where there are none."""
