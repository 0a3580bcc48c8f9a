"""Figures of a simulated run from samples over time: steady throughput, tail, growth of the driver's memory."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

STEADY_FROM, STEADY_TO = 0.20, 0.80
"""Shares of the frames between which throughput is steady; after it, decoders that are done wait for the others."""
MEMORY_FROM = 0.20
"""Share of the videos after which the memory that every run needs, whatever its size, is allocated."""
TAIL_FROM = 0.95
"""Share of the work before the tail."""

Samples = Sequence[dict[str, Any]]


def moment(samples: Samples, name: str, value: float) -> float:
    """The time at which an increasing count reached ``value``, interpolated linearly between samples."""
    for before, after in pairwise(samples):
        if before[name] < value <= after[name]:
            share = (value - before[name]) / (after[name] - before[name])
            return before["at"] + share * (after["at"] - before["at"])
    if samples and samples[0][name] >= value:
        return samples[0]["at"]
    raise ValueError(f"{name} never reached {value}")


def count(samples: Samples, name: str, at: float) -> float:
    """The value of a count at time ``at``, interpolated linearly between samples."""
    for before, after in pairwise(samples):
        if before["at"] <= at <= after["at"]:
            share = (at - before["at"]) / (after["at"] - before["at"])
            return before[name] + share * (after[name] - before[name])
    raise ValueError(f"no sample from before or after {at}")


def began_to_work(course: dict[str, Any], name: str) -> float:
    """Seconds from the start of the graph to the first frames or videos: Ray Data plans, and actors start."""
    return moment(course["samples"], name, 1) - course["began"]


def steady(course: dict[str, Any], *, actors: int) -> tuple[float, float, float]:
    """Start and end of the time in which all ``actors`` run and have work, and frames decoded per second in it."""
    samples = course["samples"]
    total = samples[-1]["decoded"]
    begin = max(moment(samples, "decoded", STEADY_FROM * total), moment(samples, "actors", actors))
    end = moment(samples, "decoded", STEADY_TO * total)
    if begin >= end:
        raise ValueError("the actors took longer to start than most of the work: give them more of it")
    return begin, end, (STEADY_TO * total - count(samples, "decoded", begin)) / (end - begin)


def figures_of_tail(course: dict[str, Any], *, ideal_s: float) -> dict[str, float]:
    """Seconds from the first to the last frames, the share of them spent on the last of the work, and their ratio to
    ``ideal_s``."""
    samples = course["samples"]
    total = samples[-1]["decoded"]
    begin = moment(samples, "decoded", 1)
    tail, end = moment(samples, "decoded", TAIL_FROM * total), moment(samples, "frames", total)
    return {
        "seconds": round(end - begin, 1),
        "tail_s": round(end - tail, 1),
        "tail_share": round((end - tail) / (end - begin), 3),
        "times_ideal": round((end - begin) / ideal_s, 2),
    }


def figures_of_memory(course: dict[str, Any]) -> dict[str, Any]:
    """Growth of the driver's memory while the graph ran, and the time until the first work was distributed."""
    samples = course["samples"]
    total = samples[-1]["videos"]
    fifth = moment(samples, "videos", MEMORY_FROM * total)
    graph = [sample for sample in samples if fifth <= sample["at"] <= course["ended"]]
    after = [sample for sample in samples if sample["at"] > course["ended"]]
    at_fifth, peak = graph[0]["rss_bytes"], max(sample["rss_bytes"] for sample in graph)
    return {
        "growth": round(peak / at_fifth - 1, 3),
        "rss_at_fifth_bytes": at_fifth,
        "rss_peak_bytes": peak,
        "rss_by_tenth_bytes": _by_tenth(samples, total),
        "shared_growth_bytes": graph[-1]["shared_bytes"] - graph[0]["shared_bytes"],
        "rss_peak_settling_bytes": max((sample["rss_bytes"] for sample in after), default=peak),
        "dealt_after_s": round(course["dealt"] - course["began"], 1),
        "first_video_after_s": round(began_to_work(course, "videos"), 1),
        "scored_s": round(moment(samples, "videos", total) - moment(samples, "videos", 1), 1),
    }


def _by_tenth(samples: Samples, total: int) -> list[int]:
    """The driver's memory when each tenth of the videos was done."""
    tenths, left = [], 1
    for sample in samples:
        while left <= 10 and sample["videos"] >= total * left / 10:
            tenths.append(sample["rss_bytes"])
            left += 1
    return tenths
