"""What a plan will take: hours of nodes and money, from what earlier runs measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from artifactscan.scoring.rates import Rates

HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Work in hours of nodes that are never idle: start-up, and waiting for the slower side, come on top."""

    core_hours: float
    """Of decoding."""
    classifier_hours: float
    """Of classifiers: GPUs, or nodes without one."""
    node_hours: tuple[float, ...]
    """Of nodes that decode and of nodes with one GPU, or of nodes that do both."""
    cost: float | None
    """In the currency of the prices; None without any."""
    basis: str


def estimate(frames: int, rates: Rates, *, node_cpus: int, prices: Sequence[float] = ()) -> Estimate:
    """``node_cpus``: cores of a node that decodes; ``prices``: per hour of such a node, and of one with a GPU."""
    core_hours, classifier_hours = frames * rates.decode_s / HOUR_S, frames * rates.classify_s / HOUR_S
    decoding = core_hours / node_cpus
    node_hours = (decoding + classifier_hours,) if rates.device == "cpu" else (decoding, classifier_hours)
    # One price is that of a node which does both.
    paid = zip(node_hours, [*prices, *prices[-1:]], strict=False)
    return Estimate(
        core_hours=core_hours,
        classifier_hours=classifier_hours,
        node_hours=node_hours,
        cost=sum(hours * price for hours, price in paid) if prices else None,
        basis=rates.basis,
    )
