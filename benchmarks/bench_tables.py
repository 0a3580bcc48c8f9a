"""The tables that `bench.py` prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.figures import Run, Spread, Turn, spread, spreads_of_rates, spreads_of_ratios

WORDS = {
    "job": "artifactscan",
    "job_on_ray": "artifactscan --executor ray",
    "job_compiled": "artifactscan --compile",
    "job_exported_fp32": "artifactscan, exported graph in fp32",
    "job_exported_int8": "artifactscan, exported graph in int8",
    "engineer_loop": "a good engineer's loop",
    "plain_loop": "a plain loop: decord, timm, fp32",
    "ray_data": "Ray Data as documented",
    "daft": "Daft",
    "bound": "bound: no core idle",
    "decode": "  decoding by itself",
    "classify": "  inference by itself",
}


@dataclass(frozen=True)
class Target:
    """What a figure is to reach."""

    value: float
    at_most: bool = False
    unit: str = "×"

    def words(self, measured: float) -> str:
        """As a cell of a table, which says so where it is missed."""
        missed = measured > self.value if self.at_most else measured < self.value
        return f"{'≤' if self.at_most else '≥'} {self.value:.2f}{self.unit}{' missed' if missed else ''}"


ONE_CLIP = Target(12, at_most=True, unit=" s")
TIMES_BOUND = {"bf16": Target(1.05, at_most=True), "fp32": Target(1.15, at_most=True)}
TIMES_PEER = {"plain_loop": Target(3), "engineer_loop": Target(1.3), "ray_data": Target(3.5), "daft": Target(1)}
TIMES_DECODER = {"decord": Target(0.60, at_most=True), "torchcodec": Target(0.70, at_most=True)}
"""CPU seconds of our decoding against another's, by how its name begins."""


def whole_commands(turns: Sequence[Turn]) -> Table:
    """Seconds from the command to its end, by contestant and number of clips."""
    seconds: dict[str, dict[int, list[float]]] = {}
    for run in (run for turn in turns for run in turn.whole):
        seconds.setdefault(run.contestant, {}).setdefault(run.clips, []).append(run.seconds)
    sizes = sorted({size for by_size in seconds.values() for size in by_size})
    headings = ["", *(f"{size:,} clip{'s' if size > 1 else ''}" for size in sizes), "one clip, to reach"]
    table = _table("Whole command: seconds from the command to its end, start-up with it", headings)
    for name in _in_order(seconds):
        by_size = seconds[name]
        cells = [_spread(spread(by_size[size]), 1) if size in by_size else "–" for size in sizes]
        reach = ONE_CLIP.words(spread(by_size[1]).median) if name == "job" and 1 in by_size else ""
        table.add_row(WORDS[name], *cells, reach)
    return table


def steady_state(turns: Sequence[Turn], cores: int) -> Table:
    """Frames per second between the first and the last scored frames, with what comes before and after."""
    rates, ratios = spreads_of_rates(turns, cores), spreads_of_ratios(turns, cores)
    runs: dict[str, list[Run]] = {}
    for name, run in (item for turn in turns for item in turn.steady.items()):
        runs.setdefault(name, []).append(run)
    precision = turns[0].costs.precision
    title = f"Steady state on {cores} cores: frames per second from the first scored frames to the last"
    table = _table(title, ["", "start-up, s", "frames/s", "then to the end, s", "artifactscan is", "to reach"])
    for name in _in_order(rates):
        before, after = "", ""
        if name in runs:
            before = _spread(spread(run.start_up_s for run in runs[name]), 1)
            after = _spread(spread(run.end_s for run in runs[name]), 1)
        ratio, reach = "", ""
        if name == "bound" and name in ratios:
            times = Spread(*(1 / ratios[name][position] for position in (0, 2, 1)))
            ratio, reach = f"at {_spread(times, 2)}×", TIMES_BOUND[precision].words(times.median)
        elif name in TIMES_PEER and name in ratios:
            ratio, reach = f"{_spread(ratios[name], 2)}× faster", TIMES_PEER[name].words(ratios[name].median)
        table.add_row(WORDS[name], before, _spread(rates[name], 2), after, ratio, reach)
    return table


def decoding(folders: Sequence[dict[str, Any]]) -> Table:
    """CPU seconds of our decoding against other decoders', as decode_cpu.py measured them."""
    table = _table("Decoding with one thread: CPU seconds of all clips", ["", "its", "ours", "ours to its", "to reach"])
    for folder in folders:
        seconds = folder["median_cpu_s"]
        identical = "" if folder["identical"] else "; but frames differ from a full decode"
        cells = {decoder: _spread(spread(values), 2) for decoder, values in folder["cpu_s"].items()}
        for decoder, other in seconds.items():
            if decoder.startswith("pyav"):
                continue
            target = next((one for name, one in TIMES_DECODER.items() if decoder.startswith(name)), None)
            ratio = seconds["pyav"] / other
            name = f"{folder['files']} clips, {decoder}"
            reach = (target.words(ratio) if target else "") + identical
            table.add_row(name, cells[decoder], cells["pyav"], f"{ratio:.2f}×", reach)
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", caption="median (lowest to highest)", caption_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "" or "to reach" in heading else "right")
    return table


def _in_order(measured: Iterable[str]) -> list[str]:
    return [name for name in WORDS if name in set(measured)]


def _spread(figure: Spread, digits: int) -> str:
    median, low, high = (f"{value:.{digits}f}" for value in figure)
    return median if low == high else f"{median} ({low} to {high})"
