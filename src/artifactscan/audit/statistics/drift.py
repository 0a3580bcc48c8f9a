"""Drift: whether the distribution of peak scores differs from the baseline's, per label and group.

Drift is shown but fails no night: a new prompt set moves scores too.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from scipy import stats

from artifactscan.audit.night_tables import ALL, CELLS
from artifactscan.audit.statistics.group_members import members
from artifactscan.labels import LABELS

DECILES = np.arange(1, 10) / 10


def add_drift(cells: pa.Table, tonight: pa.Table, baseline: Mapping[str, pa.Table]) -> pa.Table:
    """``cells`` (CELLS from ``flag_rates.measure_rates``) with psi, ks and ks_q_value where a cell is tested.

    One video against one cannot be compared: there the asymptotic p value is undefined, and all three stay null.

    They compare the videos' peak scores. ``ks`` is the largest distance of the two distribution functions (Kolmogorov
    and Smirnov); its q value is Benjamini and Hochberg's (1995) over all tested cells, from the asymptotic two-sided p
    value, which is conservative where many scores are equal. ``psi``: see ``population_stability_index``.
    """
    one_against_one = (cells["videos"].to_numpy() == 1) & (cells["base_videos"].to_numpy() == 1)
    tested = np.flatnonzero(cells["untested"].is_null().to_numpy() & ~one_against_one)
    found = {name: np.full(cells.num_rows, np.nan) for name in ("psi", "ks", "ks_q_value")}
    if len(tested):
        groups = (ALL, *sorted(set(cells["group"].to_pylist()) - {ALL}))
        now, base = _peaks([tonight], groups), _peaks(baseline.values(), groups)
        p_values = []
        named = list(zip(cells["label"].to_pylist(), cells["group"].to_pylist(), strict=True))
        for cell in tested:
            mine, theirs = now[named[cell]], base[named[cell]]
            found["psi"][cell] = population_stability_index(mine, theirs)
            found["ks"][cell], p_value = stats.ks_2samp(mine, theirs, method="asymp")
            p_values.append(p_value)
        found["ks_q_value"][tested] = stats.false_discovery_control(p_values)
    for name, values in found.items():
        position = cells.column_names.index(name)
        cells = cells.set_column(position, CELLS.field(name), pa.array(values, from_pandas=True))
    return cells


def population_stability_index(tonight: np.ndarray, baseline: np.ndarray) -> float:
    """Distance of two distributions of scores, both (scores,) with at least one; 0 where all bins have equal shares.

    The sum over bins of (now - before) * ln(now / before), the shares of tonight's and the baseline's scores. Bins end
    at the baseline's deciles; a score that is several deciles at once, as 0 or 1 may be, is its own bin. A share counts
    as at least half a video of the smaller side, so that an empty bin does not make the index infinite. Without drift
    it is about (bins - 1) * (1 / scores now + 1 / scores before) (Yurdakul and Naranjo 2020), so the usual limits of
    0.1 and 0.25 mean little with fewer than a few hundred videos.
    """
    tonight, baseline = np.asarray(tonight, np.float64), np.asarray(baseline, np.float64)
    ends, times = np.unique(np.quantile(baseline, DECILES, method="inverted_cdf"), return_counts=True)
    ends = np.union1d(ends, np.nextafter(ends[times > 1], -np.inf))
    floor = 0.5 / min(len(tonight), len(baseline))
    now, before = (
        np.maximum(np.bincount(np.searchsorted(ends, scores), minlength=len(ends) + 1) / len(scores), floor)
        for scores in (tonight, baseline)
    )
    return float(np.sum((now - before) * np.log(now / before)))


def _peaks(arrivals: Iterable[pa.Table], groups: tuple[str, ...]) -> dict[tuple[str, str], np.ndarray]:
    """(label, group) → peak scores of its videos, (videos,)."""
    of = [members(table, groups) for table in arrivals]
    group = np.concatenate([one.group for one in of])
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(groups)))[:-1]
    peaks = {}
    for label in LABELS:
        values = np.concatenate([one.column(f"peak_{label}") for one in of])[order]
        peaks |= {(label, name): part for name, part in zip(groups, np.split(values, ends), strict=True)}
    return peaks
