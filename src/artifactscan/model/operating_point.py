"""What a card says of a label's worth: its operating point, and its AUROC on clips that were not trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifactscan.labels import LABELS, MACRO

UNSEEN_PROTOCOLS = ("generators", "videos")
"""Protocols that test on clips that were not trained on, the stricter first."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What a label's threshold does on frames that were not trained on."""

    aim: str
    """What the threshold was chosen for, such as ``prevalence`` or ``precision=0.5``."""
    precision: float | None
    """None where nothing is flagged."""
    recall: float | None
    """None where no frame shows the label."""
    flagged_share: float
    """Share of the frames at or over the threshold."""
    prevalence: float
    """Share of the frames that show the label."""


def parse_operating_point(values: Mapping[str, Any]) -> dict[str, OperatingPoint]:
    """By label, from card.json; ValueError or TypeError for other labels, other fields and values of no use."""
    if unknown := sorted(values.keys() - set(LABELS)):
        raise ValueError(f"its operating point is of {unknown[0]!r}, which is none of {', '.join(LABELS)}")
    points = {label: OperatingPoint(**point) for label, point in values.items()}
    for label, point in points.items():
        for name in ("precision", "recall", "flagged_share", "prevalence"):
            value = getattr(point, name)
            may_lack = name in ("precision", "recall")
            if not (value is None and may_lack) and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ValueError(f"the operating point of {label} has {name} {value!r}, not a share from 0 to 1")
    return points


def auroc_on_unseen_clips(metrics: Mapping[str, Any], label: str) -> tuple[float, float, float] | None:
    """Value, low and high of a label's AUROC, from a card's ``metrics``; None where it has none with an interval.

    That of protocol ``generators`` where it was run, even without an interval, else that of ``videos``.
    """
    protocols = metrics.get("protocols") or {}
    run = [protocol for protocol in UNSEEN_PROTOCOLS if protocols.get(protocol) is not None]
    if not run:
        return None
    return _auroc(protocols[run[0]], label)


def aurocs_by_protocol(metrics: Mapping[str, Any]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Protocol of UNSEEN_PROTOCOLS → label or MACRO → value, low and high of the AUROC, where a card has them."""
    protocols = metrics.get("protocols") or {}
    found = {
        protocol: {name: auroc for name in (MACRO, *LABELS) if (auroc := _auroc(protocols.get(protocol), name))}
        for protocol in UNSEEN_PROTOCOLS
    }
    return {protocol: aurocs for protocol, aurocs in found.items() if aurocs}


def _auroc(protocol: Any, name: str) -> tuple[float, float, float] | None:
    try:
        figure = protocol["figures"][name]["auroc"]
        value, low, high = (float(figure[end]) for end in ("value", "low", "high"))
    except (KeyError, TypeError, ValueError):
        return None
    return value, low, high
