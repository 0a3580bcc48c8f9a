"""The job against its bound and its peers, on the same clips and machine, in turns: tables of medians, and JSON.

    python benchmarks/bench.py [--clips DIR] [--turns 3] [--thousand] [--tools DIR] [--json FILE] [--quick]

Whole command: seconds from the command to its end, over 1, 15 and 100 clips. Steady state: frames per second from the
first scored frames to the last, over 100 clips, or as many as keep the job busy for a minute; decoding that was done
ahead of the first ones is charged (`figures.steady_rate`). The bound is the rate at which no core is ever idle:
decoding's CPU seconds and inference's seconds times cores, each measured by itself in the same turns, at the precision
that the job uses. A job that is faster than its bound is an error of this benchmark, which then ends with exit code 1.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT)]

from artifactscan.demo.clips import write_demo_corpus  # noqa: E402
from benchmarks import bench_tables  # noqa: E402
from benchmarks.contestants import (  # noqa: E402
    Course,
    DidNotFinishError,
    compare_decoders,
    export_checkpoint,
    faster_precision,
    job_flags,
    make_checkpoint,
    measure_costs,
    run_job,
    run_peer,
)
from benchmarks.figures import Run, Turn, clips_for, errors, notes  # noqa: E402

REAL_CLIPS = ROOT.parent / "shared" / "data" / "sora15" / "clips"
MIXED_CLIPS = ROOT.parent / "shared" / "data" / "mixed"
SIZES, THOUSAND = (1, 15, 100), 1000
"""Numbers of clips. The last of SIZES is raised where the job would be done with them in less than STEADY_S."""
STEADY_S, LEAST_S = 60.0, 20.0
PATIENT = ("job", "engineer_loop")
"""Contestants that are run over THOUSAND clips, in the first turn."""
QUICK_SIZES, QUICK_LEAST_S = (1, 6), 1.0
DECODE_REPEATS = 3
CORES = os.cpu_count() or 1
LOG_WIDTH = 120
"""Columns of the tables where they are not printed to a terminal."""


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="artifactscan-bench-") as folder:
        try:
            turns, decoding = _measure(arguments, Path(folder))
        except DidNotFinishError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    out = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    for table in (bench_tables.whole_commands(turns), bench_tables.steady_state(turns, CORES)):
        out.print(table)
    if decoding:
        out.print(bench_tables.decoding(decoding))
    for note in notes(turns):
        out.print(note, style="yellow", soft_wrap=True)
    print(f"JSON: {arguments.json}", flush=True)
    found = errors(turns, CORES)
    for error in found:
        print(f"error: {error}", file=sys.stderr)
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, default=REAL_CLIPS if REAL_CLIPS.is_dir() else None, help="mp4 files")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--thousand", action="store_true", help=f"over {THOUSAND:,} clips, too (half an hour)")
    parser.add_argument("--compile", action="store_true", help="steady state of this job with --compile, too")
    parser.add_argument("--tools", type=Path, metavar="DIR", help="a virtual environment with Daft and torchcodec")
    parser.add_argument("--quick", action="store_true", help="a few clips and one turn: whether it works, no figures")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    arguments = parser.parse_args()
    if arguments.turns < 1:
        parser.error(f"--turns is {arguments.turns}; give 1 or more")
    if arguments.clips and not sorted(arguments.clips.glob("*.mp4")):
        parser.error(f"--clips {arguments.clips} holds no mp4 file")
    return arguments


def _measure(arguments: argparse.Namespace, work: Path) -> tuple[list[Turn], list[dict[str, Any]]]:
    """Every turn, and the comparison of decoders; writes the JSON after each, as the whole takes an hour."""
    clips = arguments.clips or _demo_clips(work / "demo")
    course = Course(tuple(sorted(clips.glob("*.mp4"))), work, make_checkpoint(work / "checkpoint"), arguments.tools)
    folders = [clips, *([MIXED_CLIPS] if MIXED_CLIPS.is_dir() and not arguments.quick else [])]
    decoding = compare_decoders(course, folders, 1 if arguments.quick else DECODE_REPEATS)
    whole, steady = _contestants(course, compiled=arguments.compile)
    sizes, turns = QUICK_SIZES if arguments.quick else SIZES, []
    for number in range(1 if arguments.quick else arguments.turns):
        costs = measure_costs(course, QUICK_LEAST_S if arguments.quick else LEAST_S)
        if number == 0 and not arguments.quick:
            sizes = (*sizes[:-1], clips_for(STEADY_S, sizes[-1], costs, CORES))
        turns.append(Turn(costs))
        for name in in_turn([*whole, *(name for name in steady if name not in whole)], number):
            if any(name in turn.failed for turn in turns):
                continue
            more = (THOUSAND,) if arguments.thousand and number == 0 and name in PATIENT else ()
            try:
                _run(turns[-1], name, whole.get(name), steady.get(name), sizes, more)
            except DidNotFinishError as error:
                turns[-1].failed[name] = str(error)
                print(f"{name}: {error}", flush=True)
        _write(arguments.json, clips, turns, decoding)
    return turns, decoding


class Contestant(Protocol):
    """Runs over a number of clips."""

    def __call__(self, *, clips: int) -> Run: ...


def _contestants(course: Course, *, compiled: bool) -> tuple[dict[str, Contestant], dict[str, Contestant]]:
    """Those whose whole command is measured, and those whose steady state is measured in a run of its own."""
    whole: dict[str, Contestant] = {"job": partial(run_job, course)}
    whole["engineer_loop"] = partial(run_peer, course, "engineer_loop", "--precision", faster_precision(course))
    whole |= {name: partial(run_peer, course, name) for name in ("plain_loop", "ray_data", "daft")}
    steady: dict[str, Contestant] = {}
    if on_ray := job_flags():
        steady["job_on_ray"] = partial(run_job, course, *on_ray, name="job_on_ray")
    if compiled:
        steady["job_compiled"] = partial(run_job, course, "--compile", name="job_compiled")
    for precision in ("fp32", "int8") if find_spec("openvino") and find_spec("nncf") else ():
        name, checkpoint = f"job_exported_{precision}", export_checkpoint(course, precision)
        asked = ("--precision", precision)
        steady[name] = partial(run_job, course, *asked, name=name, checkpoint=checkpoint)
    return whole, steady


def in_turn(names: Sequence[str], turn: int) -> list[str]:
    """``names`` with another one first in each turn, so that none always comes when the machine is coolest."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def _run(
    turn: Turn,
    name: str,
    whole: Contestant | None,
    steady: Contestant | None,
    sizes: Sequence[int],
    more: Sequence[int],
) -> None:
    """Runs a contestant over every number of clips and adds that to ``turn``; ``more``: not for the steady state."""
    runs = [_told(whole(clips=size)) for size in sizes] if whole else []
    turn.steady[name] = _told(steady(clips=sizes[-1])) if steady else runs[-1]
    turn.whole += [*runs, *(_told(whole(clips=size)) for size in more if whole)]


def _told(run: Run) -> Run:
    print(f"{run.contestant}, {run.clips} clips: {run.seconds:.1f} s, {run.frames} frames", flush=True)
    return run


def _demo_clips(folder: Path) -> Path:
    write_demo_corpus(folder)
    (folder / "not_a_video.mp4").unlink()
    return folder


def _write(path: Path, clips: Path, turns: list[Turn], decoding: list[dict[str, Any]]) -> None:
    result = {"clips": str(clips), "cores": CORES, "turns": [asdict(turn) for turn in turns], "decoding": decoding}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
