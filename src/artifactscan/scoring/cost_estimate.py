"""Estimates what a plan costs: hours of nodes and money, from the seconds that a frame takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from artifactscan.scoring.frame_costs import FrameCosts

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Hours of nodes that are never idle; start-up and waiting for the slower stage come on top."""

    core_hours: float
    """Core hours of decoding."""
    classifier_hours: float
    """Hours of classifiers: GPUs, or nodes without one."""
    node_hours: tuple[float, ...]
    """Hours of decoding nodes and of nodes with one GPU, or of nodes that do both."""
    cost: float | None
    """In the currency of the prices; None without prices."""
    basis: str
    """Where the costs of a frame come from, as a phrase."""


def estimate(frames: int, costs: FrameCosts, *, node_cpus: int, prices: Sequence[float] = ()) -> Estimate:
    """The cost of ``frames`` sampled frames.

    ``node_cpus``: cores of a decoding node; ``prices``: per hour of such a node and of one with a GPU, or of one that
    does both.
    """
    core_hours, classifier_hours = frames * costs.decode_s / HOUR_S, frames * costs.classify_s / HOUR_S
    decoding = core_hours / node_cpus
    node_hours = (decoding + classifier_hours,) if costs.device == "cpu" else (decoding, classifier_hours)
    # A single price is that of a node that does both.
    paid = zip(node_hours, [*prices, *prices[-1:]], strict=False)
    return Estimate(
        core_hours=core_hours,
        classifier_hours=classifier_hours,
        node_hours=node_hours,
        cost=sum(hours * price for hours, price in paid) if prices else None,
        basis=costs.basis,
    )
