"""The model card of a checkpoint, README.md of its repository on a model hub, written from its card.json.

Texts of card.json are from whoever made it: they are escaped, and of its figures only finite numbers are taken.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artifactscan.labels import LABELS, MACRO
from artifactscan.messages.text import escaped_markdown
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.storage.hub_target import TAG

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

PROTOCOLS = ("videos", "generators", "frames")
HUB_METRICS = {
    "auroc": "roc_auc",
    "average_precision": "average_precision",
    "average_precision_ratio": "average_precision_ratio",
    "calibration_error": "expected_calibration_error",
}
"""Figures of a card that the model card shows, and their names on the hub."""
_TASK, _LIBRARY = "image-classification", "artifactscan"
_TIMM_WEIGHTS = re.compile(r"timm [\w.+-]+ weights ([\w-]+\.[\w.-]+?)(?=;|$)")
_HUB_WEIGHTS = re.compile(r"(?:weights )?hf://([\w.-]+/[\w.-]+)@[0-9a-f]{40}(?=[ /;]|$)")
"""How ``origin`` of a card begins where training started from these weights."""
_PLAIN_NAME = re.compile(r"[\w.-]{1,80}")

_TEXT = """\
# {title}

A checkpoint of artifactscan: a {backbone} that takes frames of {height}×{width} pixels of a video made by a generator,
and gives for each of four kinds of visual artifacts the probability that the frame shows it: boundary (outlines broken,
melting, doubled), texture (smeared, boiling, garbled surfaces), motion (impossible limbs, joints, physics), object
(things that vanish, merge, change identity).

    artifactscan score --input CLIPS --output SCORES --checkpoint {uri}

{worth}

## Figures

{figures}
## Origin

{origin}

{licence} This card is written from `card.json`, which has all figures and how they were obtained.
"""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a card; the interval and the majority's figure are None where the card has none."""

    value: float
    low: float | None
    high: float | None
    majority: float | None
    """Of always answering each label's majority class."""

    def interval(self, digits: int) -> str:
        """Such as 0.67–0.77; a dash where there is none."""
        return "–" if self.low is None or self.high is None else f"{self.low:.{digits}f}–{self.high:.{digits}f}"


def find_figure(card: Card, protocol: str, label: str, metric: str) -> Figure | None:
    """A figure of the card, measured by ``protocol``; None where the card has none that is a finite number."""
    try:
        found = card.metrics["protocols"][protocol]["figures"][label][metric]
        value = _number(found["value"])
        others = {name: _number(found.get(name)) for name in ("low", "high", "majority")}
    except (KeyError, TypeError, AttributeError):
        return None
    return None if value is None else Figure(value=value, **others)


def figure_rows(card: Card) -> list[str]:
    """Rows of a Markdown table: protocol, figure, value, interval, and that of always answering the majority."""
    rows = []
    for protocol in PROTOCOLS:
        for metric in HUB_METRICS:
            if figure := find_figure(card, protocol, MACRO, metric):
                majority = "–" if figure.majority is None else f"{figure.majority:.3f}"
                name = f"{MACRO} {metric.replace('_', ' ')}"
                rows.append(f"| {protocol} | {name} | {figure.value:.3f} | {figure.interval(3)} | {majority} |")
    return rows


def label_rows(card: Card) -> list[str]:
    """Rows of a Markdown table: label, AUROC on unseen videos and unseen makers, and what its threshold does."""
    rows = []
    for label in LABELS:
        areas = [find_figure(card, protocol, label, "auroc") for protocol in ("videos", "generators")]
        cells = [f"{area.value:.2f} ({area.interval(2)})" if area else "–" for area in areas]
        if point := card.operating_point.get(label):
            cells += [_decimals(point.precision), _decimals(point.recall)]
            cells += [f"{share * 100:.0f} %" for share in (point.flagged_share, point.prevalence)]
        else:
            cells += ["–"] * 4
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return rows


def maker_rows(card: Card) -> list[str]:
    """Rows of a Markdown table, by what made the clips: videos, macro AUROC, and frames flagged / with each label."""
    try:
        makers: Mapping[str, Any] = card.metrics["protocols"]["videos"]["by_maker"]
        return [_maker_row(name, measured) for name, measured in makers.items()]
    except (KeyError, TypeError, AttributeError, ValueError):
        return []


def model_card(checkpoint: Checkpoint, uri: str, *, license: str | None = None) -> str:
    """README.md for a checkpoint's repository: metadata as the hub reads it, then the card for people.

    ``uri``: hf://org/name. ``license``: its name on the hub. The same checkpoint gives the same text.
    """
    from huggingface_hub import ModelCardData

    card, title = checkpoint.card, uri.partition("://")[2].partition("@")[0]
    backbone = card.backbone if _PLAIN_NAME.fullmatch(card.backbone) else None
    data = ModelCardData(
        license=license,
        library_name=_LIBRARY,
        pipeline_tag=_TASK,
        base_model=_base_model(card),
        tags=[TAG, "video", "generated-video", *([backbone] if backbone else [])],
        model_name=title,
        eval_results=_eval_results(card) or None,
        ignore_metadata_errors=False,
    )
    body = _TEXT.format(
        title=escaped_markdown(title),
        backbone=f"`{backbone}`" if backbone else escaped_markdown(card.backbone),
        height=card.input.height,
        width=card.input.width,
        uri=uri,
        worth=_worth(card),
        figures=_figures(card),
        origin=_sentence(card.origin) or "Not told.",
        licence=f"Licence: {escaped_markdown(license)}." if license else "No licence is stated.",
    )
    return f"---\n{data.to_yaml()}\n---\n\n{body}"


def _worth(card: Card) -> str:
    """How far its scores can be trusted, in words."""
    if not card.trained:
        return "**It is not trained: its weights are random, and its scores mean nothing.**"
    unproven = ", ".join(card.unproven())
    doubt = f" Not shown to be better than chance on clips it was not trained on: {unproven}." if unproven else ""
    return f"How far to trust it: {card.quality() or 'not measured on clips it was not trained on'}.{doubt}"


def _figures(card: Card) -> str:
    parts = []
    if rows := figure_rows(card):
        means = [f"`{protocol}`: {text}" for protocol in PROTOCOLS if (text := _protocol_means(card, protocol))]
        parts += ["Measured on frames held out of trainings alike; intervals are over videos.", ""]
        parts += ["| protocol | figure | value | interval | majority |", "|---|---|---|---|---|", *rows, ""]
        parts += [f"Protocols. {'; '.join(means)}.", ""] if means else []
    else:
        parts += ["None was measured.", ""]
    if rows or card.operating_point:
        parts += ["| label | AUROC, unseen videos | unseen makers | precision | recall | flagged | with it |"]
        parts += ["|---|---|---|---|---|---|---|", *label_rows(card), ""]
    if makers := maker_rows(card):
        parts += ["By what made the clips, on unseen videos: macro AUROC, frames flagged / with the label.", ""]
        parts += [f"| maker | videos | AUROC | {' | '.join(LABELS)} |", f"|---|---|---|{'---|' * len(LABELS)}"]
        parts += [*makers, ""]
    return "\n".join(parts)


def _eval_results(card: Card) -> "list[EvalResult]":
    """For the hub's model-index: each figure with its interval, its protocol and the majority's figure."""
    from huggingface_hub import EvalResult

    results = []
    for protocol in PROTOCOLS:
        for label in (MACRO, *LABELS):
            for metric, hub_name in HUB_METRICS.items():
                if (figure := find_figure(card, protocol, label, metric)) is None:
                    continue
                kept = {"low": figure.low, "high": figure.high, "majority": figure.majority}
                results.append(
                    EvalResult(
                        task_type=_TASK,
                        dataset_type="labelled-frames",
                        dataset_name=f"labelled frames held out, protocol {protocol}",
                        dataset_config=protocol,
                        dataset_args={"protocol": _protocol_means(card, protocol) or protocol},
                        metric_type=hub_name,
                        metric_name=f"{metric.replace('_', ' ')}, {label}",
                        metric_value=figure.value,
                        metric_config=label,
                        metric_args={name: value for name, value in kept.items() if value is not None},
                    )
                )
    return results


def _base_model(card: Card) -> str | None:
    """The repository on the hub of the weights that training started from."""
    if found := _TIMM_WEIGHTS.match(card.origin):
        return f"timm/{found[1]}"
    return found[1] if (found := _HUB_WEIGHTS.match(card.origin)) else None


def _maker_row(name: str, measured: Mapping[str, Any]) -> str:
    area = measured["figures"].get(MACRO, {}).get("auroc")
    flagged, shown = measured["flagged_share"], measured["prevalence"]
    shares = " | ".join(f"{flagged[label] * 100:.0f} / {shown[label] * 100:.0f} %" for label in LABELS)
    value = "–" if area is None else f"{area:.2f}"
    return f"| {escaped_markdown(str(name))} | {measured['videos']:d} | {value} | {shares} |"


def _protocol_means(card: Card, protocol: str) -> str:
    """What the card says a protocol is, as one line; empty where it says nothing."""
    try:
        return _sentence(card.metrics["protocols"][protocol]["protocol_means"])
    except (KeyError, TypeError):
        return ""


def _sentence(text: object) -> str:
    return escaped_markdown(" ".join(text.split())) if isinstance(text, str) else ""


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
