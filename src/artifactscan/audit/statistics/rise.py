"""Whether rates rose against a baseline by more than chance, and by more than the baseline's own nights differ.

Where nights differ no more than chance makes them, one-sided Fisher's exact test: it keeps its level with however few
videos. Where they do, that test would cry wolf, as it takes every difference between nights for a change; there the
difference is set against the dispersion of the nights.
"""

import numpy as np
from scipy import stats

OVERDISPERSED = 0.01
"""A cell's nights differ by themselves where chance would make them differ as much with at most this probability."""
ALL_OVERDISPERSED = 0.05
"""The same for all cells taken together. One test among many cells has to be strict; this is a single one, and what it
misses makes false alarms."""


def dispersion(flagged: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much more the baseline's nights differ than chance makes them, and how far that is known.

    ``flagged`` and ``videos`` are int (nights, cells). Returns float64 (cells,) twice. First the dispersion: the
    variance of nights' rates by its binomial value (Pearson's chi-square by its degrees of freedom; McCullagh and
    Nelder 1989, section 4.5), 1 where it is not more, NaN where no cell has two nights. A cell whose nights alone do
    not show it has what is common to the cells, the median as in genomic control (Devlin and Roeder 1999), as 14
    nights of one cell show only a large one. Second the degrees of freedom, infinite where it is the common one.
    """
    total, total_flagged = videos.sum(axis=0), flagged.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # no video, or none or all of them flagged: 0 below
        rate = total_flagged / total
        square = (flagged - videos * rate) ** 2 / (videos * rate * (1 - rate))
    chi_square = np.nansum(np.where(np.isfinite(square), square, 0), axis=0)
    degrees = (videos > 0).sum(axis=0) - 1
    known = (degrees >= 1) & (total_flagged > 0) & (total_flagged < total)
    found = np.full(len(total), 1.0 if (degrees >= 1).any() else np.nan)
    reference = np.full(len(total), np.inf)
    if not known.any():
        return found, reference
    if stats.chi2.sf(chi_square[known].sum(), degrees[known].sum()) < ALL_OVERDISPERSED:
        common = np.median(chi_square[known] / stats.chi2.median(degrees[known]))
        found = np.maximum(found, common)
    own = known & (stats.chi2.sf(chi_square, np.maximum(degrees, 1)) < OVERDISPERSED)
    found[own] = np.maximum(found[own], chi_square[own] / degrees[own])
    reference[own] = degrees[own]
    return found, reference


def rise_p_values(
    flagged: np.ndarray,
    videos: np.ndarray,
    base_flagged: np.ndarray,
    base_videos: np.ndarray,
    *,
    dispersion: np.ndarray,
    degrees: np.ndarray,
) -> np.ndarray:
    """Probability of a difference as large if no rate had risen: float64 (cells,).

    All are (cells,), videos at least 1; ``dispersion`` and ``degrees`` as ``dispersion`` gives them. With a dispersion
    of 1 or an unknown one Fisher's exact test, else the difference of the rates' arcsine roots (Anscombe 1948), whose
    variance does not depend on the rate, by its standard error times the dispersion's root, in Student's distribution.
    """
    exact = stats.hypergeom.sf(flagged - 1, videos + base_videos, flagged + base_flagged, videos)
    difference = _arcsine_root(flagged, videos) - _arcsine_root(base_flagged, base_videos)
    error = np.sqrt(dispersion * (1 / videos + 1 / base_videos) / 4)
    return np.where(dispersion > 1, stats.t.sf(difference / error, degrees), exact)


def _arcsine_root(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.arcsin(np.sqrt((part + 3 / 8) / (whole + 3 / 4)))
