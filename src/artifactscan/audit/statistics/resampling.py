"""Bootstrap intervals over videos, for any number of videos.

A resample of videos only matters through how often each distinct value among them is drawn, so one multinomial draw
over the distinct values is a whole resample (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6).
"""

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
MERGED_ABOVE = 100
"""So many distinct values of one kind are drawn one by one; the sum over more of them is taken for normal."""


def resampled_sums(
    values: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Sums over the videos of each resample: float64 (resamples, figures).

    ``values``, (distinct, figures), are what videos have, and ``counts``, int (distinct,), how many videos have it.
    Values are of one kind where the same figures are 0. How often each kind is drawn is exact always; within a kind of
    more than MERGED_ABOVE distinct values the sum is drawn from its normal limit, with the same mean and covariance.
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
    for place, part in enumerate(parts, start=int(single.sum())):
        covariance = np.atleast_2d(np.cov(values[part].T, fweights=counts[part], ddof=0))
        spread = rng.multivariate_normal(np.zeros(values.shape[1]), covariance, size=resamples, method="eigh")
        sums += np.sqrt(drawn[:, [place]]) * spread
    return sums


def resampled_rate(flagged: int, videos: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """The share of flagged videos in each resample: float64 (resamples,)."""
    if flagged in (0, videos):
        return unvaried(flagged == videos, videos, rng, resamples)
    return rng.binomial(videos, flagged / videos, size=resamples) / videos


def resampled_ratio(
    parts: np.ndarray, wholes: np.ndarray, counts: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """The sum of ``parts`` by that of ``wholes``, such as frames flagged by frames, in each resample: (resamples,).

    Each is (distinct,), above 0 in ``wholes``, and ``counts`` says how many videos have both.
    """
    if not parts.any() or (parts == wholes).all():
        return unvaried(bool(parts.any()), int(counts.sum()), rng, resamples)
    sums = resampled_sums(np.stack([parts, wholes], axis=1), counts, rng, resamples)
    return sums[:, 0] / sums[:, 1]


def unvaried(one: bool, videos: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """Draws that stand in for resamples where all of ``videos`` have a rate of 0, or all of 1.

    There every resample is the same, as if the rate were known. The draws' outer end is Clopper and Pearson's bound
    (1934) instead; for a share of frames that takes all frames of a video to go together, so it is not too narrow.
    """
    draws = rng.beta(1, videos, size=resamples)
    return 1 - draws if one else draws


def interval(draws: np.ndarray, estimate: float) -> tuple[float, float]:
    """Low and high percentiles, (resamples,) to CONFIDENCE; ``estimate`` is never outside."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return min(float(low), estimate), max(float(high), estimate)
