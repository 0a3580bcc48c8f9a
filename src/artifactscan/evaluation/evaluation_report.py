"""An evaluation as tables on a terminal, as Markdown, as Parquet and as JSON."""

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from artifactscan import storage
from artifactscan.errors import CutOffError
from artifactscan.evaluation.label_metrics import EXACT_MATCH, LABEL_METRICS, OVERALL
from artifactscan.evaluation.metric_table import ALL, Evaluation, MetricEstimate
from artifactscan.evaluation.text_table import CellText, TextTable
from artifactscan.labels import LABELS, MACRO
from artifactscan.messages.text import printable
from artifactscan.storage import storage_errors
from artifactscan.storage.parquet import write_table

PAPER_FIGURE = "94.14 %"
"""Macro accuracy of ResNet-50 on the paper's own frames under protocol ``frames`` (arXiv 2504.21334)."""

METRICS_NAME, RECORD_NAME, REPORT_NAME = "metrics.parquet", "evaluation.json", "report.md"


def print_evaluation(evaluation: Evaluation, out: Console) -> None:
    """Prints the notes, then tables of the metrics, of each fold's macros, and of thresholds and calibration."""
    for note in evaluation.notes:
        out.print(Text(f"note: {printable(note)}", style="yellow"))
    for table in _tables(evaluation):
        table.print(out)


def markdown(evaluation: Evaluation) -> str:
    """The same notes and tables as Markdown."""
    notes = "".join(f"- {printable(note)}\n" for note in evaluation.notes)
    return (notes and f"{notes}\n") + "".join(table.markdown() for table in _tables(evaluation))


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """For JSON and a checkpoint's card: the metrics of all folds together, and how they were obtained."""
    figures: dict[str, dict[str, Any]] = {}
    for row in evaluation.metrics.to_pylist():
        if row["fold"] == ALL:
            kept = {name: row[name] for name in ("value", "low", "high", "majority")}
            figures.setdefault(row["label"], {})[row["metric"]] = kept
    return {
        "protocol": evaluation.protocol,
        "protocol_means": evaluation.protocol_means(),
        "frames": evaluation.frames,
        "videos": evaluation.videos,
        "folds": evaluation.folds,
        "positives": dict(evaluation.positives),
        "intervals": {**asdict(evaluation.bootstrap), "over": "videos"},
        "figures": figures,
        "operating_point": {label: asdict(point) for label, point in evaluation.operating_point.items()},
        "ceiling": {
            label: {
                metric: {name: getattr(one, name) for name in ("value", "low", "high")}
                for (metric, of), one in evaluation.ceiling.items()
                if of == label
            }
            for label in dict.fromkeys(label for _, label in evaluation.ceiling)
        },
        "by_maker": {maker: asdict(one) for maker, one in evaluation.by_maker.items()},
        "tuning": {
            str(fold): {
                "aim": tuning.aim,
                "thresholds": dict(tuning.thresholds),
                "calibration": {label: asdict(one) for label, one in tuning.calibration.items()},
            }
            for fold, tuning in evaluation.tuning.items()
        },
        "notes": list(evaluation.notes),
    }


def write_evaluation(evaluation: Evaluation, folder: str) -> None:
    """Writes metrics.parquet (the METRICS schema), report.md and evaluation.json into a folder, local or s3://.

    evaluation.json is written last: a folder that has one is complete. CutOffError where it cannot be written.
    """
    folder = storage.normalise(folder)
    record = json.dumps(as_record(evaluation), indent=2, allow_nan=False)
    try:
        storage.remove_tree(storage.join(folder, RECORD_NAME))
        write_table(evaluation.metrics, storage.join(folder, METRICS_NAME))
        storage.write_bytes(storage.join(folder, REPORT_NAME), markdown(evaluation).encode())
        storage.write_bytes(storage.join(folder, RECORD_NAME), record.encode())
    except OSError as error:
        reason = storage_errors.describe(error, folder)
        raise CutOffError(
            f"evaluation {folder} cannot be written: {reason}; make room or mend the place, and give the same command"
        ) from None


def _figure(value: float | None) -> str:
    """Three decimals, or a dash where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def estimate_lines(estimate: MetricEstimate) -> tuple[str, str, str]:
    """Value, interval and majority baseline, one line each."""
    bounds = "–" if estimate.low is None else f"{_figure(estimate.low)}–{_figure(estimate.high)}"
    return _figure(estimate.value), bounds, _figure(estimate.majority)


def _tables(evaluation: Evaluation) -> list[TextTable]:
    tables = [_metrics_table(evaluation)]
    if evaluation.folds > 1:
        tables.append(_folds_table(evaluation))
    if evaluation.by_maker:
        tables.append(_makers_table(evaluation))
    return [*tables, _tuning_table(evaluation)]


def _protocol(evaluation: Evaluation) -> str:
    return f"protocol {evaluation.protocol} ({evaluation.protocol_means()})"


def _metrics_table(evaluation: Evaluation) -> TextTable:
    rows: list[tuple[CellText, ...]] = []
    confidence = f"{evaluation.bootstrap.confidence * 100:g} % interval"
    for metric in LABEL_METRICS:
        heading: CellText = (metric.replace("_", " "), f"  {confidence}", "  majority")
        cells: list[CellText] = [estimate_lines(evaluation.estimate(metric, label)) for label in (*LABELS, MACRO)]
        if metric == "accuracy" and evaluation.protocol == "frames":
            heading = (*heading, "  the paper's ResNet-50, its own frames")
            cells = [*cells[:-1], (*cells[-1], PAPER_FIGURE)]
        if (metric, MACRO) in evaluation.ceiling:
            heading = (*heading, "  annotators")
            told = [evaluation.ceiling[metric, label] for label in (*LABELS, MACRO)]
            cells = [(*cell, _figure(one.value)) for cell, one in zip(cells, told, strict=True)]
        rows.append((heading, *cells))
    heading = (EXACT_MATCH.replace("_", " "), f"  {confidence}", "  majority")
    exact = estimate_lines(evaluation.estimate(EXACT_MATCH, OVERALL))
    rows.append((heading, *("" for _ in LABELS), exact))
    folds = "1 fold" if evaluation.folds == 1 else f"{evaluation.folds} folds together"
    positives = ", ".join(f"{label} {evaluation.positives[label]:,}" for label in LABELS)
    return TextTable(
        title=f"Evaluation, {_protocol(evaluation)}",
        headings=("", *LABELS, MACRO),
        rows=tuple(rows),
        caption=f"{evaluation.frames:,} frames of {evaluation.videos:,} videos, {folds}; frames with the label: "
        f"{positives}. Intervals are over videos. Majority: always answering the more frequent of yes and no. "
        f"{_always_yes(evaluation)}{_ceiling_in_words(evaluation)}",
    )


def _ceiling_in_words(evaluation: Evaluation) -> str:
    return " Annotators: one's grade against the other's label, the ceiling." if evaluation.ceiling else ""


def _always_yes(evaluation: Evaluation) -> str:
    """A second baseline for F1: the majority's answer has F1 0 where positives are the minority."""
    shares = [count / evaluation.frames for count in evaluation.positives.values() if 0 < count < evaluation.frames]
    if not shares:
        return ""
    return f"Always answering yes has macro F1 {sum(2 * share / (1 + share) for share in shares) / len(shares):.3f}."


def _folds_table(evaluation: Evaluation) -> TextTable:
    folds = (*(str(fold) for fold in evaluation.tuning), ALL)
    rows = [
        (fold, *(_figure(evaluation.estimate(metric, fold=fold).value) for metric in LABEL_METRICS)) for fold in folds
    ]
    return TextTable(
        title=f"Macro by fold, {_protocol(evaluation)}",
        headings=("fold", *(metric.replace("_", " ") for metric in LABEL_METRICS)),
        rows=tuple(rows),
    )


def _makers_table(evaluation: Evaluation) -> TextTable:
    rows: list[tuple[CellText, ...]] = []
    for maker, one in evaluation.by_maker.items():
        size = (maker, f"  {one.frames:,} frames, {one.videos:,} clips", "  flagged / with it")
        cells: list[CellText] = []
        for label in (*LABELS, MACRO):
            figures = one.figures[label]
            ranking = (_figure(figures["auroc"]), _figure(figures["average_precision_ratio"]))
            shares = () if label == MACRO else (f"{one.flagged_share[label]:.1%} / {one.prevalence[label]:.1%}",)
            cells.append((*ranking, *shares))
        rows.append((size, *cells))
    return TextTable(
        title=f"By maker, {_protocol(evaluation)}",
        headings=("maker", *LABELS, MACRO),
        rows=tuple(rows),
        caption="AUROC, then the average precision's ratio to the share of frames with the label, then the shares of "
        "the maker's frames that are flagged and that show the label. A dash: all of its frames, or none, show it.",
    )


def _tuning_table(evaluation: Evaluation) -> TextTable:
    tunings = list(evaluation.tuning.values())
    if all(tuning is tunings[0] for tuning in tunings):
        tunings = tunings[:1]
    rows = [
        (
            label,
            " ".join(f"{tuning.thresholds[label]:.3f}" for tuning in tunings),
            " ".join(f"{tuning.calibration[label].scale:.2f}" for tuning in tunings),
            " ".join(f"{tuning.calibration[label].offset:+.2f}" for tuning in tunings),
            f"{evaluation.operating_point[label].flagged_share:.1%}",
            f"{evaluation.operating_point[label].prevalence:.1%}",
        )
        for label in LABELS
    ]
    aims = sorted({tuning.aim or "given" for tuning in tunings})
    each = f", one of each for folds {', '.join(map(str, evaluation.tuning))}" if len(tunings) > 1 else ""
    return TextTable(
        title=f"Thresholds ({', '.join(aims)}) and calibration, {_protocol(evaluation)}",
        headings=("label", "threshold", "scale", "offset", "frames flagged", "frames with it"),
        rows=tuple(rows),
        caption=f"Probability = sigmoid(scale · logit + offset){each}.",
    )
