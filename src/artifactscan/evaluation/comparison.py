"""Several backbones and the paper's figure side by side, under both protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from artifactscan.evaluation.evaluation_report import PAPER_FIGURE, estimate_lines
from artifactscan.evaluation.metric_table import Evaluation
from artifactscan.evaluation.splits import PROTOCOLS
from artifactscan.evaluation.text_table import CellText, TextTable

_COLUMNS = (
    ("frames", "accuracy"),
    ("videos", "accuracy"),
    ("videos", "average_precision"),
    ("videos", "f1"),
    ("videos", "calibration_error"),
)
"""Protocol and macro metric of each column."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One backbone: its evaluations and its cost."""

    name: str
    evaluations: Mapping[str, Evaluation]
    """By protocol; a protocol that was not run is absent."""
    parameters: int
    gflops: float
    """Per frame at the backbone's own input size; a multiply-add counts once."""
    frames_per_s: float
    device: str
    """Where ``frames_per_s`` was measured."""


def comparison(candidates: Sequence[Candidate]) -> TextTable:
    """The table of all backbones, with the paper's ResNet-50 as last row."""
    rows: list[tuple[CellText, ...]] = []
    for candidate in candidates:
        figures = [_estimate(candidate.evaluations.get(protocol), metric) for protocol, metric in _COLUMNS]
        costs = (
            f"{candidate.parameters / 1e6:.1f} M parameters",
            f"{candidate.gflops:.1f} GFLOPs",
            f"{candidate.frames_per_s:.1f} frames/s ({candidate.device})",
        )
        rows.append((candidate.name, costs, *figures))
    paper: list[CellText] = ["–"] * (1 + len(_COLUMNS))
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


def _estimate(evaluation: Evaluation | None, metric: str) -> CellText:
    return "–" if evaluation is None else estimate_lines(evaluation.estimate(metric))
