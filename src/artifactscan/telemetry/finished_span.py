"""A span as the process that did its work describes it, before it is part of a trace."""

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | int | float | bool


@dataclass(frozen=True)
class FinishedSpan:
    """A span of a worker."""

    name: str
    started_ns: int
    """Since the epoch, as `time.time_ns`."""
    ended_ns: int
    attributes: Mapping[str, Value]


def outcome_attributes(outcomes: Mapping[str, int]) -> dict[str, int]:
    """How many videos have each outcome, as attributes of a span."""
    return {f"outcome.{outcome}": count for outcome, count in outcomes.items()}
