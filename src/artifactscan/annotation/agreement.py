"""Agreement of annotators, which limits how good a classifier trained on their labels can be."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isnan
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sklearn.metrics import cohen_kappa_score, f1_score

from artifactscan.errors import UsageError
from artifactscan.evaluation.annotator_ceiling import CEILING_METRICS, AnnotatorCeiling, annotator_ceiling
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.labels import LABELS, MACRO, SEVERITY_COLUMNS
from artifactscan.messages.text import printable

AGREEMENT = pa.schema(
    [
        pa.field("first", pa.string(), nullable=False),
        pa.field("second", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("positive_first", pa.int32()),
        pa.field("positive_second", pa.int32()),
        pa.field("observed", pa.float64()),
        pa.field("kappa", pa.float64()),
        pa.field("f1", pa.float64()),
        pa.field("graded_frames", pa.int32(), nullable=False),
        pa.field("weighted_kappa", pa.float64()),
        *(pa.field(metric + end, pa.float64()) for metric in CEILING_METRICS for end in ("", "_low", "_high")),
    ]
)
"""One row per pair of annotators and label, over the frames that both labelled. ``observed``: share of frames on which
they agree; ``kappa``: Cohen's kappa, null where both give all frames the same value; ``f1``: of one against the other,
which is symmetric, null where neither says 1 once.

Over ``graded_frames``, which both graded: ``weighted_kappa`` with quadratic weights, null where both give all frames
one grade; CEILING_METRICS of one annotator's grade for the other's label, the mean of both directions, with their
intervals over clips. Such a pair has a row ``macro`` with the means over the labels."""

_NAME_WIDTH = 24


def compare_annotators(annotations: Mapping[str, pa.Table], bootstrap: BootstrapSettings | None = None) -> pa.Table:
    """Compares each pair of annotators, given as name → LABELLED rows, and returns AGREEMENT rows.

    ``bootstrap``: how intervals of graded pairs are made; None: not at all. UsageError for fewer than two annotators,
    an annotator with two different rows for one frame, or a pair without a common frame.
    """
    if len(annotations) < 2:
        raise UsageError(
            f"agreement needs two annotators and {' '.join(annotations) or 'nobody'} is all there is; "
            "give two files, or one with a column `annotator`"
        )
    bootstrap = bootstrap or BootstrapSettings(resamples=0)
    frames = {name: _rows_by_frame(table, name) for name, table in annotations.items()}
    rows = []
    for first, second in combinations(frames, 2):
        common = sorted(frames[first].keys() & frames[second].keys())
        if not common:
            raise UsageError(f"{first} and {second} have no frame in common; compare labels of the same frames")
        votes, grades = (np.array([[frames[one][key][n] for key in common] for one in (first, second)]) for n in (0, 1))
        figures = [_compare_labels(label, *votes[:, :, n]) for n, label in enumerate(LABELS)]
        rows += [{"first": first, "second": second, **row} for row in _add_grades(figures, grades, common, bootstrap)]
    return pa.Table.from_pylist(rows, AGREEMENT)


def ceiling_of(annotations: Mapping[str, pa.Table], bootstrap: BootstrapSettings) -> AnnotatorCeiling | None:
    """The ceiling of all annotators together, given as name → LABELLED rows; None where no frame is graded twice.

    UsageError for an annotator with two different rows for one frame.
    """
    by_frame = [_rows_by_frame(table, name) for name, table in annotations.items()]
    frames = sorted({key for rows in by_frame for key in rows})
    none = ((), (np.nan,) * len(LABELS))
    grades = np.array([[rows.get(key, none)[1] for key in frames] for rows in by_frame], dtype=np.float64)
    return annotator_ceiling(grades.reshape(len(by_frame), len(frames), len(LABELS)), _clips(frames), bootstrap)


def _rows_by_frame(table: pa.Table, name: str) -> dict[tuple[str, int], tuple[tuple[int, ...], tuple[float, ...]]]:
    """(file, frame_index) → labels and grades, these NaN in a row without grades."""
    labels = zip(*(table[label].to_pylist() for label in LABELS), strict=True)
    grades = np.stack([table[column].to_numpy() for column in SEVERITY_COLUMNS], axis=1)
    by_frame: dict[tuple[str, int], tuple[tuple[int, ...], tuple[float, ...]]] = {}
    for file, index, row, severities in zip(
        table["file"].to_pylist(), table["frame_index"].to_pylist(), labels, map(tuple, grades.tolist()), strict=True
    ):
        first = by_frame.setdefault((file, index), (row, severities))
        if first[0] != row or not np.array_equal(first[1], severities, equal_nan=True):
            raise UsageError(f"{name} labels frame {index} of {file} in two ways; keep the one that holds")
    return by_frame


def _clips(frames: list[tuple[str, int]]) -> np.ndarray:
    return np.array([file for file, _ in frames], dtype=object)


def _compare_labels(label: str, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """The figures of 0/1 labels in one row; ``a`` and ``b``: int (frames,) of 0 and 1."""
    constant = len(np.union1d(a, b)) == 1
    kappa = float("nan") if constant else float(cohen_kappa_score(a, b))
    return {
        "label": label,
        "frames": len(a),
        "positive_first": int(a.sum()),
        "positive_second": int(b.sum()),
        "observed": float((a == b).mean()),
        "kappa": None if isnan(kappa) else kappa,
        "f1": float(f1_score(a, b)) if a.any() or b.any() else None,
        "graded_frames": 0,
    }


def _add_grades(
    figures: list[dict[str, Any]], grades: np.ndarray, frames: list[tuple[str, int]], bootstrap: BootstrapSettings
) -> list[dict[str, Any]]:
    """The rows of one pair with the figures of their grades, float (2, frames, labels), and with the row macro."""
    ceiling = annotator_ceiling(grades, _clips(frames), bootstrap)
    if ceiling is None:
        return figures
    both = np.isfinite(grades).all(axis=(0, 2))
    rows = [{**row, "weighted_kappa": _weighted_kappa(*grades[:, both, n])} for n, row in enumerate(figures)]
    means = {name: [row[name] for row in rows] for name in ("observed", "kappa", "f1", "weighted_kappa")}
    macro = {name: None if None in values else fmean(values) for name, values in means.items()}
    rows.append({"label": MACRO, "frames": len(frames), **macro})
    for row in rows:
        row["graded_frames"] = ceiling.frames
        for metric in CEILING_METRICS:
            estimate = ceiling.estimate(metric, row["label"])
            row |= {metric: estimate.value, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high}
    return rows


def _weighted_kappa(a: np.ndarray, b: np.ndarray) -> float | None:
    """Cohen's kappa with quadratic weights, for grades that need not be whole: float (frames,).

    1 - E[(a - b)²] / E[(a - b')²] with a and b' of independent frames; None where all grades are the same.
    """
    by_chance = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(1 - ((a - b) ** 2).mean() / by_chance) if by_chance else None


def print_agreement(table: pa.Table, out: Console) -> None:
    """Prints AGREEMENT rows: per pair of annotators a table of their labels, and one of their grades."""
    rows = table.to_pylist()
    for first, second in dict.fromkeys((row["first"], row["second"]) for row in rows):
        pair = [row for row in rows if (row["first"], row["second"]) == (first, second)]
        names = f"{printable(first, _NAME_WIDTH)} and {printable(second, _NAME_WIDTH)}"
        headings = ("positive, first / second", "agree", "Cohen's kappa", "F1 of one against the other")
        grid = _grid(f"{names}: {pair[0]['frames']:,} frames that both labelled", headings)
        for row in pair:
            if row["label"] != MACRO:
                positive = f"{row['positive_first']:,} / {row['positive_second']:,}"
                grid.add_row(
                    row["label"], positive, f"{row['observed']:.3f}", _figure(row["kappa"]), _figure(row["f1"])
                )
        out.print(grid)
        if pair[0]["graded_frames"]:
            title = f"{names}: {pair[0]['graded_frames']:,} frames that both graded; {_CEILING_CAPTION}"
            grid = _grid(title, ("weighted kappa", *_CEILING_HEADINGS))
            for row in pair:
                grid.add_row(row["label"], _figure(row["weighted_kappa"]), *_ceiling_cells(row))
            out.print(grid)


def print_ceiling(ceiling: AnnotatorCeiling, out: Console) -> None:
    """Prints the ceiling of all annotators together as a table."""
    title = f"{ceiling.annotators} annotators together: {ceiling.frames:,} graded frames of {ceiling.clips:,} clips"
    grid = _grid(f"{title}; {_CEILING_CAPTION}", _CEILING_HEADINGS)
    for label in (*LABELS, MACRO):
        row = {}
        for metric in CEILING_METRICS:
            estimate = ceiling.estimate(metric, label)
            row |= {metric: estimate.value, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high}
        grid.add_row(label, *_ceiling_cells(row))
    out.print(grid)


_CEILING_CAPTION = "one's grade against the other's label, both ways: the ceiling for a classifier"
_CEILING_HEADINGS = ("AUROC", "average precision", "its ratio to the prevalence")


def _grid(title: str, headings: Sequence[str]) -> Table:
    grid = Table(title=Text(title), title_justify="left")
    grid.add_column("label")
    for heading in headings:
        grid.add_column(heading, justify="right")
    return grid


def _ceiling_cells(row: Mapping[str, Any]) -> list[str]:
    """Each of CEILING_METRICS with its interval."""
    cells = []
    for metric in CEILING_METRICS:
        low, high = row[f"{metric}_low"], row[f"{metric}_high"]
        interval = "" if low is None else f" ({low:.2f}–{high:.2f})"
        cells.append(_figure(row[metric]) + interval)
    return cells


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
