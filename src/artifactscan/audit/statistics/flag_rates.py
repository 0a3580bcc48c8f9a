"""Rates per label and group, tonight and in the baseline, with intervals and tests for a rise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import stats

from artifactscan.audit.night_tables import CELLS
from artifactscan.audit.policy import Policy
from artifactscan.audit.statistics.group_members import Members, group_names, members
from artifactscan.audit.statistics.resampling import RESAMPLES, interval, resampled_rate, resampled_ratio
from artifactscan.audit.statistics.rise_p_values import dispersion, rise_p_values
from artifactscan.labels import LABELS

_KEY = ["group", "frames", "over"]


def measure_rates(
    tonight: pa.Table,
    baseline: Mapping[str, pa.Table],
    policy: Policy,
    *,
    worse_runs: Sequence[Mapping[str, pa.Table]] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> pa.Table:
    """The CELLS of a night, without the columns that ``drift.add_drift`` fills.

    ``tonight`` is ARRIVALS, ``baseline`` night → ARRIVALS; only videos with a scored frame count. One row per label and
    group of tonight's arrivals, and ALL. Rises are tested as in the module rise_p_values, q values are those of
    Benjamini and Hochberg (1995) over all tested cells. ``worse_runs``, as ``baseline``: runs of nights that are no
    baseline, but tell how much nights differ. The interval of a change in rate is wider by the root of the dispersion,
    as its test is stricter.
    """
    groups = group_names(tonight)
    now, nights = _count(tonight, groups), [_count(arrivals, groups) for arrivals in baseline.values()]
    base = _sum([_count(tonight.slice(0, 0), groups), *nights])
    untested = [
        _untested(videos, base_videos, nights=len(nights), least=policy.min_videos)
        for videos, base_videos in zip(now.videos, base.videos, strict=True)
    ]
    tested = np.tile([reason is None for reason in untested], len(LABELS))
    figures = _figures(now, base)
    runs = [nights, *([_count(arrivals, groups) for arrivals in run.values()] for run in worse_runs)]
    figures |= _tests(figures, runs, _kinds(groups), tested)
    for name in ("change", "frame_change"):
        figures[name] = np.where(tested, figures[name], np.nan)
    figures |= _intervals(now, base, figures, tested, seed, resamples)
    columns = {name: pa.array(values, from_pandas=True) for name, values in figures.items()}
    columns["label"] = pa.array(np.repeat(LABELS, len(groups)))
    columns["group"] = pa.array(list(groups) * len(LABELS), pa.string())
    columns["untested"] = pa.array(untested * len(LABELS), pa.string())
    rows = len(columns["group"])
    return pa.Table.from_arrays(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
            for field in CELLS
        ],
        schema=CELLS,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counts:
    """Counts of the videos of each group."""

    videos: np.ndarray
    """int64 (groups,)."""
    frames: np.ndarray
    flagged: np.ndarray
    """int64 (labels, groups): videos with an event."""
    frames_over: np.ndarray
    """int64 (labels, groups): frames at or above the threshold."""
    distinct: Sequence[pa.Table]
    """By label, sorted by group: number of ``videos`` of a ``group`` with these ``frames`` and this many ``over``."""


def _count(arrivals: pa.Table, groups: tuple[str, ...]) -> _Counts:
    of = members(arrivals, groups)
    frames = of.column("frames")
    over = [of.column(f"frames_over_{label}") for label in LABELS]
    return _Counts(
        videos=np.bincount(of.group, minlength=len(groups)),
        frames=_summed(of, frames, groups),
        flagged=np.stack([_summed(of, of.column(f"events_{label}") > 0, groups) for label in LABELS]),
        frames_over=np.stack([_summed(of, values, groups) for values in over]),
        distinct=[
            pa.table({"group": of.group, "frames": frames, "over": values})
            .group_by(_KEY)
            .aggregate([([], "count_all")])
            .rename_columns([*_KEY, "videos"])
            .sort_by([(name, "ascending") for name in _KEY])
            for values in over
        ],
    )


def _summed(of: Members, values: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
    return np.bincount(of.group, weights=values, minlength=len(groups)).astype(np.int64)


def _sum(counts: Sequence[_Counts]) -> _Counts:
    return _Counts(
        **{
            name: np.sum([getattr(one, name) for one in counts], axis=0)
            for name in ("videos", "frames", "flagged", "frames_over")
        },
        distinct=[
            pa.concat_tables(tables)
            .group_by(_KEY)
            .aggregate([("videos", "sum")])
            .rename_columns([*_KEY, "videos"])
            .sort_by([(name, "ascending") for name in _KEY])
            for tables in zip(*(one.distinct for one in counts), strict=True)
        ],
    )


def _untested(videos: int, base_videos: int, *, nights: int, least: int) -> str | None:
    """Why a group is not compared, in words."""
    if not nights:
        return "no baseline"
    few = [
        f"{count:,} {when}" for count, when in ((videos, "tonight"), (base_videos, "in the baseline")) if count < least
    ]
    return f"fewer than {least:,} scored videos: {' and '.join(few)}" if few else None


def _figures(now: _Counts, base: _Counts) -> dict[str, np.ndarray]:
    """Counts and rates, (labels × groups,) each, NaN where the count is 0."""
    labels = len(LABELS)
    figures = {
        "videos": np.tile(now.videos, labels),
        "flagged": now.flagged.ravel(),
        "frames": np.tile(now.frames, labels),
        "frames_over": now.frames_over.ravel(),
        "base_videos": np.tile(base.videos, labels),
        "base_flagged": base.flagged.ravel(),
    }
    with np.errstate(invalid="ignore"):
        rates = {
            "rate": figures["flagged"] / figures["videos"],
            "frame_rate": figures["frames_over"] / figures["frames"],
            "base_rate": figures["base_flagged"] / figures["base_videos"],
            "base_frame_rate": base.frames_over.ravel() / np.tile(base.frames, labels),
        }
    rates["change"] = rates["rate"] - rates["base_rate"]
    rates["frame_change"] = rates["frame_rate"] - rates["base_frame_rate"]
    return figures | rates


def _kinds(groups: Sequence[str]) -> np.ndarray:
    """int (groups,): a number for each kind of group, such as generator; a video is in one group of a kind."""
    return np.unique([group.partition("=")[0] for group in groups], return_inverse=True)[1].reshape(-1)


def _tests(
    figures: Mapping[str, np.ndarray], runs: Sequence[Sequence[_Counts]], kinds: np.ndarray, tested: np.ndarray
) -> dict[str, np.ndarray]:
    """``runs``: the baseline's nights, then runs of worse ones; ``kinds``: int (groups,)."""
    tests = {name: np.full(len(tested), np.nan) for name in ("dispersion", "p_value", "q_value")}
    if tested.any():
        nights = [night for run in runs for night in run]
        found, degrees = dispersion(
            np.stack([night.flagged.ravel()[tested] for night in nights]),
            np.stack([np.tile(night.videos, len(LABELS))[tested] for night in nights]),
            kinds=np.tile(kinds, len(LABELS))[tested],
            runs=np.repeat(np.arange(len(runs)), [len(run) for run in runs]),
        )
        counts = (figures[name][tested] for name in ("flagged", "videos", "base_flagged", "base_videos"))
        p_values = rise_p_values(*counts, dispersion=found, degrees=degrees)
        tests["dispersion"][tested], tests["p_value"][tested] = found, p_values
        tests["q_value"][tested] = stats.false_discovery_control(p_values)
    return tests


def _intervals(
    now: _Counts,
    base: _Counts,
    figures: Mapping[str, np.ndarray],
    tested: np.ndarray,
    seed: int,
    resamples: int,
) -> dict[str, np.ndarray]:
    """Cells with the same counts have the same intervals: the counts seed the draws."""
    names = ("rate", "frame_rate", "change", "frame_change")
    ends = {f"{name}_{end}": np.full(len(tested), np.nan) for name in names for end in ("low", "high")}
    for label in range(len(LABELS)):
        now_values, base_values = _Values(now, label), _Values(base, label)
        for group in np.flatnonzero(now.videos).tolist():
            cell = label * len(now.videos) + group
            draws = {
                "rate": _resampled_rate(now, label, group, seed, resamples),
                "frame_rate": now_values.resampled(group, seed, resamples),
            }
            if tested[cell]:
                base_rate = _resampled_rate(base, label, group, seed + 1, resamples)
                change = figures["change"][cell]
                wider = np.sqrt(np.nan_to_num(figures["dispersion"][cell], nan=1.0))
                draws["change"] = change + wider * (draws["rate"] - base_rate - change)
                draws["frame_change"] = draws["frame_rate"] - base_values.resampled(group, seed + 1, resamples)
            for name, values in draws.items():
                ends[f"{name}_low"][cell], ends[f"{name}_high"][cell] = interval(values, figures[name][cell])
    return ends


def _resampled_rate(counts: _Counts, label: int, group: int, seed: int, resamples: int) -> np.ndarray:
    flagged, videos = int(counts.flagged[label, group]), int(counts.videos[group])
    return resampled_rate(flagged, videos, np.random.default_rng([seed, flagged, videos]), resamples)


class _Values:
    """One label's distinct numbers of frames, by group."""

    def __init__(self, counts: _Counts, label: int):
        table = counts.distinct[label]
        self._columns = [table[name].to_numpy() for name in ("over", "frames", "videos")]
        self._starts = np.searchsorted(table["group"].to_numpy(), np.arange(len(counts.videos) + 1))

    def resampled(self, group: int, seed: int, resamples: int) -> np.ndarray:
        """The share of frames over the threshold in each resample, float64 (resamples,)."""
        part = slice(*self._starts[group : group + 2])
        over, frames, videos = (column[part] for column in self._columns)
        rng = np.random.default_rng([seed, *(int(column @ videos) for column in (over, frames)), int(videos.sum())])
        return resampled_ratio(over, frames, videos, rng, resamples)
