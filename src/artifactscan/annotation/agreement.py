"""Agreement of annotators, which limits how good a classifier trained on their labels can be."""

from collections.abc import Mapping
from itertools import combinations
from math import isnan

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sklearn.metrics import cohen_kappa_score, f1_score

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.messages.text import printable

AGREEMENT = pa.schema(
    [
        pa.field("first", pa.string(), nullable=False),
        pa.field("second", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("positive_first", pa.int32(), nullable=False),
        pa.field("positive_second", pa.int32(), nullable=False),
        pa.field("observed", pa.float64(), nullable=False),
        pa.field("kappa", pa.float64()),
        pa.field("f1", pa.float64()),
    ]
)
"""One row per pair of annotators and label, over the frames that both labelled. ``observed``: share of frames on which
they agree; ``kappa``: Cohen's kappa, null where both give all frames the same value; ``f1``: of one against the other,
which is symmetric, null where neither says 1 once."""

_NAME_WIDTH = 24


def split_by_annotator(table: pa.Table, name: str) -> dict[str, pa.Table]:
    """Splits LABELLED rows of rule ``keep`` by annotator; rows that name none belong to ``name``."""
    annotators = [annotator or name for annotator in table["annotator"].to_pylist()]
    column = np.array(annotators, dtype=object)
    return {annotator: table.filter(pa.array(column == annotator)) for annotator in dict.fromkeys(annotators)}


def compare_annotators(annotations: Mapping[str, pa.Table]) -> pa.Table:
    """Compares each pair of annotators, given as name → LABELLED rows, and returns AGREEMENT rows.

    UsageError for fewer than two annotators, an annotator with two rows for one frame, or a pair without a common
    frame.
    """
    if len(annotations) < 2:
        raise UsageError(
            f"agreement needs two annotators and {' '.join(annotations) or 'nobody'} is all there is; "
            "give two files, or one with a column `annotator`"
        )
    frames = {name: _labels_by_frame(table, name) for name, table in annotations.items()}
    rows = []
    for first, second in combinations(frames, 2):
        common = sorted(frames[first].keys() & frames[second].keys())
        if not common:
            raise UsageError(f"{first} and {second} have no frame in common; compare labels of the same frames")
        votes = [np.array([frames[name][key] for key in common]) for name in (first, second)]
        rows += [_compare(first, second, label, votes[0][:, i], votes[1][:, i]) for i, label in enumerate(LABELS)]
    return pa.Table.from_pylist(rows, AGREEMENT)


def _labels_by_frame(table: pa.Table, name: str) -> dict[tuple[str, int], tuple[int, ...]]:
    columns = [table[column].to_pylist() for column in ("file", "frame_index", *LABELS)]
    by_frame: dict[tuple[str, int], tuple[int, ...]] = {}
    for file, index, *labels in zip(*columns, strict=True):
        if by_frame.setdefault((file, index), tuple(labels)) != tuple(labels):
            raise UsageError(f"{name} labels frame {index} of {file} in two ways; keep the one that holds")
    return by_frame


def _compare(first: str, second: str, label: str, a: np.ndarray, b: np.ndarray) -> dict[str, object]:
    """One row; ``a`` and ``b``: int (frames,) of 0 and 1."""
    constant = len(np.union1d(a, b)) == 1
    kappa = float("nan") if constant else float(cohen_kappa_score(a, b))
    return {
        "first": first,
        "second": second,
        "label": label,
        "frames": len(a),
        "positive_first": int(a.sum()),
        "positive_second": int(b.sum()),
        "observed": float((a == b).mean()),
        "kappa": None if isnan(kappa) else kappa,
        "f1": float(f1_score(a, b)) if a.any() or b.any() else None,
    }


def print_agreement(table: pa.Table, out: Console) -> None:
    """Prints AGREEMENT rows, one table per pair of annotators."""
    rows = table.to_pylist()
    for first, second in dict.fromkeys((row["first"], row["second"]) for row in rows):
        pair = [row for row in rows if (row["first"], row["second"]) == (first, second)]
        first_name, second_name = printable(first, _NAME_WIDTH), printable(second, _NAME_WIDTH)
        title = Text(f"{first_name} and {second_name}: {pair[0]['frames']:,} frames that both labelled")
        grid = Table(title=title, title_justify="left")
        grid.add_column("label")
        for heading in ("positive, first / second", "agree", "Cohen's kappa", "F1 of one against the other"):
            grid.add_column(heading, justify="right")
        for row in pair:
            grid.add_row(
                row["label"],
                f"{row['positive_first']:,} / {row['positive_second']:,}",
                f"{row['observed']:.3f}",
                _format(row["kappa"]),
                _format(row["f1"]),
            )
        out.print(grid)


def _format(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
