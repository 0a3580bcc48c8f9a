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


def dispersion(
    flagged: np.ndarray, videos: np.ndarray, *, kinds: np.ndarray | None = None, runs: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Dispersion of the nights, and its degrees of freedom, float64 (cells,) each.

    ``flagged`` and ``videos`` are int (nights, cells). The dispersion is the variance of the nights' rates divided by
    its binomial value (Pearson's chi-square by its degrees of freedom; McCullagh and Nelder 1989, section 4.5), at
    least 1, NaN where no cell has two nights. 14 nights of one cell show only a large dispersion; a cell that does not
    show one gets the median over the cells of its kind, or over all cells where that is larger, as in genomic control
    (Devlin and Roeder 1999), and infinite degrees of freedom.

    ``kinds``, int (cells,): cells of one kind have no video in common, so that only theirs are summed to find whether
    all cells together are dispersed; None: no two cells have. ``runs``, int (nights,): each run of nights varies about
    a rate of its own, so that a step between them is not taken for nights that differ; None: one rate for all.
    """
    kinds = np.zeros(flagged.shape[1], int) if kinds is None else kinds
    runs = np.zeros(len(flagged), int) if runs is None else runs
    parts = [_chi_square(flagged[runs == run], videos[runs == run]) for run in np.unique(runs)]
    chi_square, degrees = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
    two_nights = np.any([(videos[runs == run] > 0).sum(axis=0) > 1 for run in np.unique(runs)])
    found = np.full(flagged.shape[1], 1.0 if two_nights else np.nan)
    reference = np.full(flagged.shape[1], np.inf)
    known = degrees >= 1
    if not known.any():
        return found, reference
    of_kind = [known & (kinds == kind) for kind in np.unique(kinds[known])]
    together = [stats.chi2.sf(chi_square[cells].sum(), degrees[cells].sum()) for cells in of_kind]
    if min(together) * len(together) < ALL_OVERDISPERSED:
        ratio = chi_square[known] / stats.chi2.median(degrees[known])
        found = np.maximum(found, np.median(ratio))
        for cells in of_kind:
            of_these = np.median(ratio[cells[known]])
            found[kinds == kinds[cells][0]] = np.maximum(found[kinds == kinds[cells][0]], of_these)
    own = known & (stats.chi2.sf(chi_square, np.maximum(degrees, 1)) < OVERDISPERSED)
    found[own] = np.maximum(found[own], chi_square[own] / degrees[own])
    reference[own] = degrees[own]
    return found, reference


def _chi_square(flagged: np.ndarray, videos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's chi-square of nights about their common rate, and its degrees of freedom: (cells,) each.

    Both are 0 in a cell of one night, or with none or all videos flagged, which says nothing of dispersion.
    """
    total, total_flagged = videos.sum(axis=0), flagged.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = total_flagged / total
        square = (flagged - videos * rate) ** 2 / (videos * rate * (1 - rate))
    degrees = np.where((total_flagged > 0) & (total_flagged < total), (videos > 0).sum(axis=0) - 1, 0)
    return np.where(degrees > 0, np.where(np.isfinite(square), square, 0).sum(axis=0), 0.0), np.maximum(degrees, 0)


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
