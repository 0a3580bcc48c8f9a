"""Several backbones beside each other and the paper's figure, under both protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artifactscan.evaluation.metric_table import Evaluation
from artifactscan.evaluation.evaluation_report import PAPER_FIGURE, estimate_lines
from artifactscan.evaluation.text_table import Cell, TextTable
from artifactscan.evaluation.splits import PROTOCOLS

_COLUMNS = (
    ("frames", "accuracy"),
    ("videos", "accuracy"),
    ("videos", "average_precision"),
    ("videos", "f1"),
    ("videos", "calibration_error"),
)
"""Protocol and metric of each column of figures, all macros."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One backbone, what it costs, and how it did."""

    name: str
    evaluations: Mapping[str, Evaluation]
    """By protocol; one that was not run is left out."""
    parameters: int
    gflops: float
    """Of one frame at its own input size, a multiply-add counted once."""
    frames_per_s: float
    device: str
    """That it was timed on."""


def comparison(candidates: Sequence[Candidate]) -> TextTable:
    """The table that ends a run over all backbones; ``.print(…)`` for a terminal, ``.markdown()`` for a file."""
    rows: list[tuple[Cell, ...]] = []
    for candidate in candidates:
        figures = [_figure(candidate.evaluations.get(protocol), metric) for protocol, metric in _COLUMNS]
        costs = (
            f"{candidate.parameters / 1e6:.1f} M parameters",
            f"{candidate.gflops:.1f} GFLOPs",
            f"{candidate.frames_per_s:.1f} frames/s ({candidate.device})",
        )
        rows.append((candidate.name, costs, *figures))
    paper: list[Cell] = ["–"] * (1 + len(_COLUMNS))
    paper[1 + _COLUMNS.index(("frames", "accuracy"))] = PAPER_FIGURE
    rows.append((("ResNet-50", "in arXiv 2504.21334"), *paper))
    figures = (f"{protocol}: {metric.replace('_', ' ')}" for protocol, metric in _COLUMNS)
    protocols = "; ".join(f"protocol {name}: {meaning}" for name, meaning in PROTOCOLS.items())
    return TextTable(
        title=f"Backbones, macro figures; {protocols}",
        headings=("backbone", "cost", *figures),
        rows=tuple(rows),
        caption="Each figure with its interval over videos and, below, what always answering the majority scores. "
        "The paper's is of its own frames.",
    )


def _figure(evaluation: Evaluation | None, metric: str) -> Cell:
    return "–" if evaluation is None else estimate_lines(evaluation.estimate(metric))
