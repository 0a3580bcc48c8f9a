"""Bootstrap intervals of sums, rates and ratios over videos, for any number of videos.

A resample is determined by how often each distinct value is drawn, so one multinomial draw over the distinct values is
a whole resample (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6). ``evaluation.bootstrap``
resamples the same way but needs each frame's weight, for metrics that are no ratio of sums; they share no code.
"""

import numpy as np
from scipy.special import bdtr

RESAMPLES = 1000
CONFIDENCE = 0.95
_REACH_SD = 12.0
"""Standard deviations of a binomial distribution beyond which nothing is drawn."""
MERGED_ABOVE = 100
"""Most distinct values of one kind that are drawn one by one; the sum of more is approximated as normal."""


def resampled_sums(
    values: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Sums over the videos of each resample: float64 (resamples, figures).

    ``values`` is (distinct, figures), and ``counts``, int (distinct,), how many videos have each. Values are of one
    kind where the same figures are 0. How often each kind is drawn is always exact; within a kind of more than
    MERGED_ABOVE distinct values the sum is drawn from a normal distribution of the same mean and covariance.
    """
    values = values.astype(np.float64)
    kinds = np.unique(values != 0, axis=0, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(kinds)
    merged = sizes > MERGED_ABOVE
    single = ~merged[kinds]
    parts = [kinds == kind for kind in np.flatnonzero(merged)]
    means = [np.average(values[part], axis=0, weights=counts[part]) for part in parts]
    weights = np.concatenate([counts[single], [counts[part].sum() for part in parts]]).astype(np.float64)
    drawn = rng.multinomial(int(counts.sum()), weights / weights.sum(), size=resamples).astype(np.float64)
    sums = drawn @ np.concatenate([values[single], np.reshape(means, (len(means), values.shape[1]))])
    for column, part in enumerate(parts, start=int(single.sum())):
        covariance = np.atleast_2d(np.cov(values[part].T, fweights=counts[part], ddof=0))
        spread = rng.multivariate_normal(np.zeros(values.shape[1]), covariance, size=resamples, method="eigh")
        sums += np.sqrt(drawn[:, [column]]) * spread
    return sums


def resampled_rate(flagged: int, videos: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """The share of flagged videos in each resample: float64 (resamples,).

    The binomial distribution at equal steps, in random order, so that its percentiles are exact for any ``rng``.
    """
    if flagged in (0, videos):
        return unvaried(flagged == videos, videos, rng, resamples)
    share, reach = flagged / videos, _REACH_SD * np.sqrt(flagged * (1 - flagged / videos))
    counts = np.arange(max(0, int(flagged - reach)), min(videos, int(flagged + reach) + 1) + 1)
    found = np.searchsorted(bdtr(counts, videos, share), _steps(rng, resamples))
    return counts[np.minimum(found, len(counts) - 1)] / videos


def _steps(rng: np.random.Generator, resamples: int) -> np.ndarray:
    """The middles of equal parts of 0 to 1, in random order: float64 (resamples,)."""
    return (rng.permutation(resamples) + 0.5) / resamples


def resampled_ratio(
    parts: np.ndarray, wholes: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Sum of ``parts`` divided by sum of ``wholes``, such as flagged frames by frames, in each resample: (resamples,).

    Each is (distinct,), ``wholes`` above 0, and ``counts`` is the number of videos with both.
    """
    if not parts.any() or (parts == wholes).all():
        return unvaried(bool(parts.any()), int(counts.sum()), rng, resamples)
    sums = resampled_sums(np.stack([parts, wholes], axis=1), counts, rng, resamples)
    return sums[:, 0] / sums[:, 1]


def unvaried(one: bool, videos: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """Draws in column of resamples where all ``videos`` have a rate of 0, or with ``one`` all of 1.

    All resamples would be equal, as if the rate were known exactly. The draws' outer percentile is Clopper and
    Pearson's bound (1934) instead; for a share of frames this treats a video's frames as one, which is conservative.
    """
    draws = 1 - (1 - _steps(rng, resamples)) ** (1 / videos)  # of the beta distribution with 1 and videos
    return 1 - draws if one else draws


def interval(draws: np.ndarray, estimate: float) -> tuple[float, float]:
    """Percentiles of the draws, (resamples,), that hold CONFIDENCE of them, widened to contain ``estimate``."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return min(float(low), estimate), max(float(high), estimate)
