"""This job against its bound and its peers, on the same clips and machine, in one go: a table of ratios, and JSON.

    python benchmarks/bench.py [--clips DIR] [--repeats 1] [--json build/bench.json]

The bound is the time in which no core is ever idle: decoding's CPU seconds and inference's wall seconds times cores,
divided by cores. Start-up (imports, model, Ray) is left out: the peers' clocks start after it, and this job is run on
all clips and on one, and the difference counts, for the clips in between.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REAL_CLIPS = ROOT.parent / "shared" / "data" / "sora15" / "clips"
PEERS = ("plain_loop", "ray_data", "daft")
TIME_LIMIT_S = {"daft": 300.0}
"""Daft has been seen to stall on local files."""
CORES = os.cpu_count() or 1
TARGETS = {"bound": 1.10, "plain_loop": 1.6, "ray_data": 2.5, "daft": 1.0}


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="artifactscan-bench-") as folder:
        work = Path(folder)
        clips = arguments.clips or _demo_clips(work)
        one = work / "one"
        one.mkdir()
        first = sorted(clips.glob("*.mp4"))[0]
        (one / first.name).symlink_to(first.resolve())
        checkpoint = work / "checkpoint"
        _python("-m", "artifactscan.checkpoint", "init", "--backbone", "resnet50", "--output", checkpoint)
        runs: dict[str, list[dict[str, Any]]] = {}
        for turn in range(arguments.repeats):
            for name in ("decode", "classify", *PEERS):
                runs.setdefault(name, []).append(_peer(name, clips, checkpoint, work / f"{name}{turn}"))
            runs.setdefault("job", []).append(_job(clips, one, checkpoint, work / f"job{turn}"))
            if arguments.compile:
                compiled = _peer("classify_compiled", clips, checkpoint, work / f"compiled{turn}")
                runs.setdefault("classify_compiled", []).append(compiled)
                job = _job(clips, one, checkpoint, work / f"job_compiled{turn}", "--compile")
                runs.setdefault("job_compiled", []).append(job)
            print(
                f"turn {turn + 1} of {arguments.repeats}: {json.dumps({n: r[-1] for n, r in runs.items()})}", flush=True
            )
    result = _summary(runs)
    Console().print(_table(result))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"clips": str(clips), "cores": CORES, "runs": runs, **result}, indent=2))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, default=REAL_CLIPS if REAL_CLIPS.is_dir() else None)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="this job with --compile, too")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    return parser.parse_args()


def _demo_clips(work: Path) -> Path:
    _python("-m", "artifactscan.demo", work / "clips")
    (work / "clips" / "not_a_video.mp4").unlink()
    return work / "clips"


def _python(*arguments: object, limit_s: float | None = None) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s, cwd=ROOT)
    return done.stdout


def _peer(name: str, clips: Path, checkpoint: Path, output: Path) -> dict[str, Any]:
    arguments = (HERE / "peers.py", name, "--clips", clips, "--checkpoint", checkpoint, "--output", output)
    try:
        return json.loads(_python(*arguments, limit_s=TIME_LIMIT_S.get(name)).splitlines()[-1])
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        return {"did_not_finish": f"{type(error).__name__} after {TIME_LIMIT_S.get(name, 0):g} s at most"}


def _job(clips: Path, one: Path, checkpoint: Path, output: Path, *flags: str) -> dict[str, Any]:
    """Frames and seconds of the clips beyond the first."""
    whole = _job_once(clips, checkpoint, output / "all", *flags)
    single = _job_once(one, checkpoint, output / "one", *flags)
    return {
        "frames": whole["frames"] - single["frames"],
        "seconds": whole["seconds"] - single["seconds"],
        "start_up_and_one_clip_s": single["seconds"],
    }


def _job_once(clips: Path, checkpoint: Path, output: Path, *flags: str) -> dict[str, Any]:
    started = time.monotonic()
    arguments = ("--input", clips, "--include", "*.mp4", "--output", output, "--checkpoint", checkpoint, "--quiet")
    _python(ROOT / "jobs" / "score.py", *arguments, *flags)
    seconds = time.monotonic() - started
    [record] = output.glob("runs/*/run.json")
    return {"frames": json.loads(record.read_text())["counts"]["frames"], "seconds": seconds}


def _summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Frames per second of each, and how much faster this job is."""
    rates = {
        name: statistics.median(run["frames"] / run["seconds"] for run in results)
        for name, results in runs.items()
        if all("seconds" in run for run in results)
    }
    decode_cpu_s = statistics.median(run["cpu_s"] / run["frames"] for run in runs["decode"])
    rates["decode alone"] = CORES / decode_cpu_s
    rates["bound"] = CORES / (decode_cpu_s + CORES / rates["classify"])
    if "classify_compiled" in rates:
        rates["bound_compiled"] = CORES / (decode_cpu_s + CORES / rates["classify_compiled"])
    return {"frames_per_s": rates, "job_is_faster_by": {name: rates["job"] / rate for name, rate in rates.items()}}


def _table(result: dict[str, Any]) -> Table:
    table = Table(title=f"Frames per second on {CORES} cores, start-up left out", title_justify="left")
    for column in ("", "frames/s", "this job against it", "to reach"):
        table.add_column(column, justify="right" if column else "left")
    for name, rate in result["frames_per_s"].items():
        target = TARGETS.get(name)
        reach = "" if target is None else f"≥ {1 / target:.2f}×" if name == "bound" else f"≥ {target:.2f}×"
        table.add_row(name, f"{rate:.2f}", f"{result['job_is_faster_by'][name]:.2f}×", reach)
    for name in PEERS:
        if name not in result["frames_per_s"]:
            table.add_row(name, "did not finish", "", "")
    return table


if __name__ == "__main__":
    sys.exit(main())
