"""Nights in a row of a simulated corpus, each compared with the nights that the audit would compare it with.

Only counts of flagged videos are drawn. Selection of the baseline, dispersion and tests are those of the audit; a night
was worse where one of its cells rose with a q value up to the policy's. So a night that fails by chance changes the
baseline of the next ones, as in a store.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from artifactscan.audit.baseline import baseline_nights, worse_runs
from artifactscan.audit.night import EXIT_FAIL, EXIT_PASS, Night, Verdict
from artifactscan.audit.policy import Policy
from artifactscan.audit.statistics.rise_p_values import dispersion, rise_p_values
from artifactscan.labels import LABELS

RATE = 0.05
POINT = 1 / (100 * RATE * (1 - RATE))
"""One percentage point at RATE, in log-odds."""
FIRST_NIGHTS = 14
"""Nights before the first one that counts."""
FIRST_QUIET = 30
"""Quiet nights before a fault."""

GROUPS = {
    "flat": [(generator,) for generator in range(3)],
    "nested": [(g, 3 * g + v, p) for g in range(3) for v in range(3) for p in range(2)],
}
"""By layout, the smallest sets of videos, each with its group of every kind: three generators; or three generators with
three versions each, and two groups of prompts across them."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A kind of corpus; rates are RATE but for what differs from night to night."""

    groups: str
    """A key of GROUPS."""
    videos: int
    """Per night, divided evenly."""
    own: float = 0.0
    """Standard deviation over the nights of each smallest set's and label's rate, in points, independent of others."""
    common: float = 0.0
    """The same of each label's rate in the whole corpus."""


def draw_nights(corpus: Corpus, nights: int, rng: np.random.Generator, *, risen: dict[int, float] | None = None):
    """``flagged`` and ``videos``, int (nights, cells), and ``kinds``, int (cells,), of the cells label × group.

    ``risen``: night → rate of the first label in the first generator.
    """
    sets = GROUPS[corpus.groups]
    names = [("all", 0), *sorted({(f"{kind}", one[kind]) for one in sets for kind in range(len(one))})]
    member = np.array([[kind == "all" or one[int(kind)] == value for one in sets] for kind, value in names])
    shape = (nights, len(LABELS), len(sets))
    odds = np.full(shape, RATE / (1 - RATE))
    for night, rate in (risen or {}).items():
        odds[night, 0, [one[0] == 0 for one in sets]] = rate / (1 - rate)
    odds *= np.exp(POINT * corpus.own * rng.normal(size=shape))
    odds *= np.exp(POINT * corpus.common * rng.normal(size=(nights, len(LABELS), 1)))
    each = max(1, corpus.videos // len(sets))
    flagged = rng.binomial(each, odds / (1 + odds)) @ member.T
    videos = np.broadcast_to(each * member.sum(axis=1), flagged.shape)
    kinds = np.unique([kind for kind, _ in names], return_inverse=True)[1]
    return flagged.reshape(nights, -1), videos.reshape(nights, -1), np.tile(kinds, len(LABELS))


def judge_in_turn(flagged: np.ndarray, videos: np.ndarray, kinds: np.ndarray, policy: Policy) -> np.ndarray:
    """bool (nights,): which were worse than the nights before them."""
    nights = [_night(0, None)]
    for number in range(1, len(flagged)):
        baseline = baseline_nights(nights, policy, "scorer")
        runs = [baseline, *worse_runs(nights, policy, "scorer")]
        earlier = [int(night.night) for run in runs for night in run]
        base = earlier[: len(baseline)]
        base_flagged, base_videos = flagged[base].sum(axis=0), videos[base].sum(axis=0)
        tested = (videos[number] >= policy.min_videos) & (base_videos >= policy.min_videos)
        found, degrees = dispersion(
            flagged[earlier][:, tested],
            videos[earlier][:, tested],
            kinds=kinds[tested],
            runs=np.repeat(np.arange(len(runs)), [len(run) for run in runs]),
        )
        counts = (counts[tested] for counts in (flagged[number], videos[number], base_flagged, base_videos))
        p_values = rise_p_values(*counts, dispersion=found, degrees=degrees)
        q_values = stats.false_discovery_control(p_values)
        rose = (flagged[number] * base_videos > base_flagged * videos[number])[tested]
        failed = q_values[rose & (q_values <= policy.rises.significance)]
        nights.append(_night(number, failed.min() if failed.size else None))
    return np.array([night.verdict.worse for night in nights])


def quiet_rate(corpus: Corpus, *, nights: int, sequences: int, seed: int) -> list[float]:
    """The share of nights that fail where nothing changed, of each sequence."""
    shares = []
    for sequence in range(sequences):
        drawn = draw_nights(corpus, FIRST_NIGHTS + nights, np.random.default_rng((seed, sequence)))
        shares.append(float(judge_in_turn(*drawn, Policy())[FIRST_NIGHTS:].mean()))
    return shares


def found_share(corpus: Corpus, risen: float, *, sequences: int, seed: int) -> float:
    """The share of nights of a first rise to ``risen``, after 30 quiet nights, that fail."""
    last, found = FIRST_QUIET, []
    for sequence in range(sequences):
        rng = np.random.default_rng((seed, sequence))
        drawn = draw_nights(corpus, last + 1, rng, risen={last: risen})
        found.append(judge_in_turn(*drawn, Policy())[last])
    return float(np.mean(found))


FAULTS: dict[str, tuple[float, ...]] = {
    "lasting": (0.15,) * 16,
    "small, lasting": (0.10,) * 16,
    "large, mended, lasting": (0.30, RATE, *(0.15,) * 14),
    "mended, small, lasting": (0.15, RATE, *(0.10,) * 14),
    "large, lasting": (0.30, *(0.15,) * 15),
    "every other night": (0.30, RATE) * 8,
    "larger every other night": (0.30, 0.10) * 8,
    "growing": tuple(0.05 + 0.02 * night for night in range(1, 17)),
}
"""By name, the rate of the first label in the first generator on each night after FIRST_QUIET; RATE is a good night."""


def fault_found(corpus: Corpus, rates: Sequence[float], *, sequences: int, seed: int) -> list[float]:
    """Of each night of a fault, the share of sequences in which it fails; nights at RATE are left out."""
    risen = {FIRST_QUIET + night: rate for night, rate in enumerate(rates) if rate != RATE}
    found = np.zeros(len(risen))
    for sequence in range(sequences):
        drawn = draw_nights(corpus, max(risen) + 1, np.random.default_rng((seed, sequence)), risen=risen)
        found += judge_in_turn(*drawn, Policy())[list(risen)]
    return (found / sequences).tolist()


def least_rise_found(corpus: Corpus, *, share: float = 0.8, sequences: int, seed: int) -> float | None:
    """The smallest rise in points, in steps of one up to 40, of one label in one generator that ``share`` find."""
    low, high = 0, 40
    if found_share(corpus, RATE + high / 100, sequences=sequences, seed=seed) < share:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = found_share(corpus, RATE + middle / 100, sequences=sequences, seed=seed) >= share
        low, high = (low, middle) if enough else (middle, high)
    return high / 100


def _night(number: int, q_value: float | None) -> Night:
    """What choosing a baseline reads of a night; ``q_value``: the smallest of its rises, None where none failed it."""
    worse = q_value is not None
    verdict = Verdict(code=EXIT_FAIL if worse else EXIT_PASS, headline="", worse=worse, q_value=q_value)
    return Night(
        night=str(number),
        corpus="",
        started="",
        finished="",
        scorer="scorer",
        spec_digest="",
        spec={},
        checkpoint={},
        versions={},
        tables="",
        runs=(),
        counts={},
        outcomes={"scored": 1},
        standing_outcomes={},
        standing_rates={},
        baseline=(),
        thresholds={},
        events={},
        policy={},
        verdict=verdict,
    )
