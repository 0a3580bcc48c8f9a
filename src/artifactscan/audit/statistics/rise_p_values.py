"""Tests whether rates rose against a baseline by more than chance, and by more than the baseline's nights differ.

Where nights differ no more than chance makes them: Fisher's exact test, one-sided, which is valid for any number of
videos. Where they differ more, that test gives false alarms, as it takes every difference between nights for a
change; there the difference is compared with the dispersion of the nights.
"""

import numpy as np
from scipy import stats

OVERDISPERSED = 0.01
"""Significance at which the nights of one cell count as differing by more than chance."""
ALL_OVERDISPERSED = 0.05
"""The same for all cells together: a single test, so it need not be as strict as one of many, and a miss leads to false
alarms."""


def dispersion(flagged: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dispersion of the baseline's nights, and its degrees of freedom, float64 (cells,) each.

    ``flagged`` and ``videos`` are int (nights, cells). The dispersion is the variance of the nights' rates divided by
    its binomial value (Pearson's chi-square by its degrees of freedom; McCullagh and Nelder 1989, section 4.5), at
    least 1, NaN where no cell has two nights. 14 nights of one cell show only a large dispersion; a cell that does not
    show one gets the median over the cells, as in genomic control (Devlin and Roeder 1999), and infinite degrees of
    freedom.
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
    """One-sided p values of a rise: float64 (cells,).

    All arguments are (cells,), videos at least 1; ``dispersion`` and ``degrees`` are those of ``dispersion()``. With a
    dispersion of 1 or NaN: Fisher's exact test. Else: the difference of the rates' arcsine roots (Anscombe 1948), whose
    variance does not depend on the rate, over its standard error times the root of the dispersion, in Student's
    distribution.
    """
    exact = stats.hypergeom.sf(flagged - 1, videos + base_videos, flagged + base_flagged, videos)
    difference = _arcsine_root(flagged, videos) - _arcsine_root(base_flagged, base_videos)
    error = np.sqrt(dispersion * (1 / videos + 1 / base_videos) / 4)
    return np.where(dispersion > 1, stats.t.sf(difference / error, degrees), exact)


def _arcsine_root(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.arcsin(np.sqrt((part + 3 / 8) / (whole + 3 / 4)))
