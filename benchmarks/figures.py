"""Figures of `bench.py` from what was measured: steady state, bound, medians with their spread, and what is wrong."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Scored(NamedTuple):
    """Frames that became ready together: a part of the job, or a clip or batch of a peer."""

    at_s: float
    """Seconds since the Unix epoch."""
    frames: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one contestant, a process of its own."""

    contestant: str
    clips: int
    began_s: float
    """When the command was given, in seconds since the Unix epoch."""
    ended_s: float
    scored: tuple[Scored, ...]
    """At least one."""
    ahead_cpu_s: float = 0.0
    """CPU seconds of decoding up to the first scored frames, where it happens in processes of its own."""
    ahead_frames: int = 0
    """Frames decoded up to the first scored frames, with these, where CPU seconds are not known."""
    precision: str = ""

    @property
    def seconds(self) -> float:
        """What a person waits for."""
        return self.ended_s - self.began_s

    @property
    def start_up_s(self) -> float:
        """From the command to the first scored frames."""
        return min(self.scored).at_s - self.began_s

    @property
    def end_s(self) -> float:
        """From the last scored frames to the end of the command."""
        return self.ended_s - max(self.scored).at_s

    @property
    def frames(self) -> int:
        return sum(part.frames for part in self.scored)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a frame costs at the least: decoding by itself and inference by itself."""

    decode_cpu_s: float
    """CPU seconds of decoding."""
    classify_s: float
    """Seconds of inference with all cores."""
    precision: str
    """Of inference."""
    frames_per_clip: float

    def bound(self, cores: int) -> float:
        """Frames per second with no core idle."""
        return cores / (self.decode_cpu_s + self.classify_s * cores)


@dataclass
class Turn:
    """What was measured once, one after the other."""

    costs: Costs
    whole: list[Run] = field(default_factory=list)
    """Of the job as a person calls it, and of the peers; over every number of clips."""
    steady: dict[str, Run] = field(default_factory=dict)
    """Contestant → the run that its steady state is read from."""
    failed: dict[str, str] = field(default_factory=dict)
    """Contestant → why it has no figure."""


NOISE = 0.02
"""Share by which a job may beat its bound, as both are measured."""


class Spread(NamedTuple):
    """A figure of several turns."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Median, lowest and highest of at least one value."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def steady_rate(run: Run, costs: Costs, cores: int) -> float | None:
    """Frames per second from the first scored frames to the last; None where all became ready at once.

    The first frames do not count, as they were made before. Many of the later ones were decoded before, too, while the
    model was loaded: the time that this takes all cores is added. Without it a contestant that decodes far ahead would
    seem faster than it is, and than its bound.
    """
    first, last = min(run.scored), max(run.scored)
    if first.at_s == last.at_s:
        return None
    decoded_s = run.ahead_cpu_s or run.ahead_frames * costs.decode_cpu_s
    ahead_s = max(0.0, decoded_s - first.frames * costs.decode_cpu_s) / cores
    return (run.frames - first.frames) / (last.at_s - first.at_s + ahead_s)


def steady_rates(turn: Turn, cores: int) -> dict[str, float]:
    """Frames per second of decoding and inference by themselves, of the bound, and of each contestant that has one."""
    costs = turn.costs
    rates = {
        "decode": cores / costs.decode_cpu_s,
        "classify": 1 / costs.classify_s,
        "bound": costs.bound(cores),
    }
    of_runs = {name: steady_rate(run, costs, cores) for name, run in turn.steady.items()}
    return rates | {name: rate for name, rate in of_runs.items() if rate is not None}


def spreads_of_rates(turns: Sequence[Turn], cores: int) -> dict[str, Spread]:
    """The steady rates that were measured in any turn."""
    measured = [steady_rates(turn, cores) for turn in turns]
    names = dict.fromkeys(name for rates in measured for name in rates)
    return {name: spread(rates[name] for rates in measured if name in rates) for name in names}


def spreads_of_ratios(turns: Sequence[Turn], cores: int) -> dict[str, Spread]:
    """The job's steady rate against each of the others, of the same turn; empty where the job has none."""
    measured = [rates for turn in turns if "job" in (rates := steady_rates(turn, cores))]
    names = dict.fromkeys(name for rates in measured for name in rates)
    return {name: spread(rates["job"] / rates[name] for rates in measured if name in rates) for name in names}


def errors(turns: Sequence[Turn], cores: int) -> list[str]:
    """What makes the figures wrong, a sentence each: a job without figures, faster than its bound, or not of it."""
    rates = spreads_of_rates(turns, cores)
    if "job" not in rates:
        reasons = [turn.failed["job"] for turn in turns if "job" in turn.failed]
        return reasons[:1] or ["the job's frames all became ready at once: give more clips, from which to see its pace"]
    found = [error_of_bound(rates["job"], rates["bound"], spreads_of_ratios(turns, cores)["bound"])]
    found += [error_of_precision(turn) for turn in turns]
    return list(dict.fromkeys(filter(None, found)))


def error_of_bound(job: Spread, bound: Spread, ratio: Spread) -> str | None:
    """One sentence where the job is faster than its bound by more than NOISE, in the median of turns; else None.

    ``ratio``: the job against its bound, turn by turn.
    """
    if ratio.median <= 1 + NOISE:
        return None
    return (
        f"the job's steady state, {job.low:.2f} to {job.high:.2f} frames/s, is better than its bound, {bound.low:.2f} "
        f"to {bound.high:.2f}, which cannot be: one of them is measured wrongly, or the machine was busier while the "
        "bound was measured; measure again with nothing else running"
    )


def error_of_precision(turn: Turn) -> str | None:
    """One sentence where the bound is of another precision than the job's, else None."""
    job = turn.steady.get("job")
    if job is None or job.precision == turn.costs.precision:
        return None
    return f"the job ran in {job.precision} and its bound is of {turn.costs.precision}: they cannot be compared"


def notes(turns: Sequence[Turn]) -> list[str]:
    """What a reader of the figures must know, a sentence each."""
    found = [f"{name} did not finish: {why}" for turn in turns for name, why in turn.failed.items()]
    found += filter(None, map(note_on_frames, turns))
    return list(dict.fromkeys(found))


def note_on_frames(turn: Turn) -> str | None:
    """One sentence where contestants did not score as many frames as the job, over the same clips, else None."""
    frames = {name: run.frames for name, run in turn.steady.items()}
    other = [f"{name} {count:,}" for name, count in frames.items() if count != frames.get("job", count)]
    return f"the job scored {frames['job']:,} frames of the same clips, and {', '.join(other)}" if other else None


def clips_for(seconds: float, least: int, costs: Costs, cores: int) -> int:
    """Clips that keep the job busy for ``seconds`` if it runs at its bound, and at least ``least``."""
    return max(least, round(seconds * costs.bound(cores) / costs.frames_per_clip))
