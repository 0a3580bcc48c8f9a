"""The record of one night: night.json and its verdict."""

from dataclasses import dataclass, field
from typing import Any

from artifactscan.outcomes import HAS_FRAMES

EXIT_PASS, EXIT_FAIL, EXIT_SCORER_MOVED = 0, 1, 4
"""Verdicts of a night as exit codes; 2 (wrong usage) and 3 (the ledger did not close) are those of every job."""
VERDICT_WORDS = {EXIT_PASS: "Pass", EXIT_FAIL: "Fail", EXIT_SCORER_MOVED: "Scorer moved"}
NIGHT_VERSION = 1
"""Raised when night.json or the tables beside it change in a way that older readers would misread."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The policy's decision on a night."""

    code: int
    """EXIT_PASS, EXIT_FAIL or EXIT_SCORER_MOVED."""
    headline: str
    """One sentence: why it fails or passes, in what, and, if anything was compared, whether the corpus or the scorer
    changed."""
    reasons: tuple[str, ...] = ()
    """One sentence per rule of the policy that fails the night."""
    worse: bool = False
    """Whether a rise against the baseline failed the night."""
    q_value: float | None = None
    """The smallest q value of the rises that failed the night: on a quiet night it is at most q in about a share q of
    cases (Simes 1986). None where no rise failed it, and in nights of versions that did not keep it."""

    @property
    def sentence(self) -> str:
        """Pass or fail and why, in one sentence: what every page, message and terminal begins with."""
        return self.headline if self.code == EXIT_SCORER_MOVED else f"{VERDICT_WORDS[self.code]}: {self.headline}"


@dataclass(frozen=True, kw_only=True)
class Night:
    """The content of night.json, which is written last: a night without it is not committed."""

    night: str
    """Its id, which sorts by time."""
    night_version: int = NIGHT_VERSION
    corpus: str
    started: str
    """ISO 8601, UTC."""
    finished: str
    scorer: str
    """The night whose canary scores are the reference; only nights with the same reference are compared."""
    spec_digest: str
    spec: dict[str, Any]
    checkpoint: dict[str, Any]
    """digest, backbone, trained, thresholds (of its card), standing (its quality on unseen videos, in words), unproven
    (labels), auroc (protocol → label or macro → value, low, high on unseen clips; nights of earlier versions have
    none)."""
    versions: dict[str, str]
    tables: str
    """Name of the folder in nights/<id>/ with the night's tables; rewriting them makes a new folder."""
    runs: tuple[str, ...]
    """Scoring runs whose videos are this night's arrivals."""
    counts: dict[str, int]
    """listed, new, changed, again, settled, removed, arrivals, quarantined, retried, recovered."""
    outcomes: dict[str, int]
    """Number of arrivals by outcome."""
    standing_outcomes: dict[str, int]
    """Number of all videos listed tonight by outcome, from the run that settled each."""
    standing_rates: dict[str, float]
    """By label: the share of all scored videos listed tonight with a frame at or above the threshold."""
    baseline: tuple[str, ...]
    """Nights compared with."""
    thresholds: dict[str, float]
    events: dict[str, Any]
    """Settings that turn frame scores into events."""
    policy: dict[str, Any]
    verdict: Verdict
    notes: tuple[str, ...] = ()
    """What went differently than asked or usual, one sentence each."""
    remarks: tuple[str, ...] = ()
    """Limits of the judgement, one sentence each; written again when the night is judged again."""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def unproven(self) -> tuple[str, ...]:
        """The checkpoint's unproven labels; none for a night of a version that did not tell them apart."""
        return tuple(self.checkpoint.get("unproven", ()))

    @property
    def has_scores(self) -> bool:
        """Whether any of its arrivals has a score."""
        return any(self.outcomes.get(outcome) for outcome in HAS_FRAMES)
