"""The whole job at a scale that is only simulated: decoding and classifying wait (stand_ins.py), all else is real.

    python benchmarks/scale_cluster.py                                  # all three, about half an hour on two cores
    python benchmarks/scale_cluster.py scaling [--nodes 1 2 4 8]        # throughput against N times that of one node
    python benchmarks/scale_cluster.py corpus  [--count 100000]         # the driver's memory, plan to settle
    python benchmarks/scale_cluster.py tail                             # a few long videos among many short ones

Nodes are `ray start`s on this machine, each with CPUs that it only says it has; one more says it has a GPU. Each
measurement prints a line of JSON, and at the end there is a table with what was to be reached.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from nodes import Nodes  # noqa: E402
from s3_server import GeneratedBucket  # noqa: E402

from artifactscan.model.backbone import initialise  # noqa: E402
from artifactscan.model.checkpoint import save_checkpoint  # noqa: E402
from artifactscan.scoring.settings import ScoreSettings  # noqa: E402
from benchmarks.cluster_cpu import CpuWatch  # noqa: E402
from benchmarks.course import began_to_work, figures_of_memory, figures_of_tail, steady  # noqa: E402
from benchmarks.stand_ins import BYTES_PER_S, SIDE, Waits  # noqa: E402

CLIP_S = 10
SAMPLE_FPS = ScoreSettings(input="", output="").sample_fps
DECODERS_PER_NODE = 2
"""Each is a process of Ray's, and all of them share this machine; what a clip takes of one is the measured time."""
CLIPS_PER_DECODER = 128
"""Two minutes of work: what the actors take on before Ray Data knows how large their output is must be over in the
first fifth."""
CORPUS_DECODERS = 4
"""More of them than cores would not do more: they wait for nothing."""
LONG_VIDEOS, LONG_S = 3, 2 * 3600
SHORT_CLIPS = 500
TAIL_NODES, TAIL_DECODERS = 2, 8
WHOLE_SPEED = 4
"""Times that decoding is faster than measured where nothing is sliced: one video would take eleven minutes."""
JOB_LIMIT_S = 1800.0

LEAST_OF_IDEAL = 0.90
MOST_GROWTH = 0.10
"""Of the driver's memory from the moment when a fifth is done: what grows with the corpus would double it here."""
MOST_TAIL = 0.10
"""Of the time, for the last twentieth of the work."""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # no nodes are left behind
    arguments = _arguments(sys.argv[1:])
    measurements = {
        "scaling": lambda: scaling(arguments.nodes),
        "corpus": lambda: corpus(arguments.count),
        "tail": tail,
    }
    rows: list[tuple[str, str, str, bool]] = []
    for name in arguments.what:
        result = measurements[name]()
        print(json.dumps({"what": name, **result}), flush=True)
        rows += _ROWS[name](result)
    Console().print(_table(rows))
    return 0


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    # Not with `choices`, of which argparse takes the empty list for one.
    parser.add_argument("what", nargs="*", default=list(_ROWS), metavar="|".join(_ROWS))
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--count", type=int, default=100_000)
    arguments = parser.parse_args(given)
    if unknown := set(arguments.what) - _ROWS.keys():
        parser.error(f"{', '.join(sorted(unknown))} cannot be measured; give {', '.join(_ROWS)} or nothing for all")
    return arguments


def scaling(counts: list[int]) -> dict[str, Any]:
    """Frames per second in the steady state on so many nodes that decode, each with as much work for itself."""
    results: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder, _cluster() as nodes, CpuWatch() as cpu:
        running = 0
        for count in counts:
            for _ in range(count - running):
                nodes.add(DECODERS_PER_NODE, "--labels=artifactscan-stage=decode")
            running, decoders = count, count * DECODERS_PER_NODE
            clips = _clips(Path(folder, f"clips{count}"), [CLIP_S] * CLIPS_PER_DECODER * decoders)
            job = _job(nodes, folder, f"store{count}", clips, "--together", decoders + 1)
            _check(job, len(list(clips.iterdir())))
            begin, end, rate = steady(job["course"], actors=decoders + 1)
            results[count] = {
                "decoders": decoders,
                "frames_per_s": round(rate, 1),
                "of_decoders_time": round(rate * Waits().decode_s / decoders, 3),
                "steady_s": round(end - begin, 1),
                "first_frames_after_s": round(began_to_work(job["course"], "decoded"), 1),
                "cores": cpu.cores(begin, end),
            }
            print(json.dumps({"nodes": count, **results[count]}), file=sys.stderr, flush=True)
    first = results[counts[0]]["frames_per_s"] / counts[0]
    of_ideal = {count: round(result["frames_per_s"] / count / first, 3) for count, result in results.items()}
    return {"of_ideal": of_ideal, "nodes": results, "load": _load()}


def corpus(count: int) -> dict[str, Any]:
    """The driver's memory and the seconds of ``count`` videos that exist only in a listing, and wait for nothing."""
    with (
        tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder,
        GeneratedBucket(count) as bucket,
        _cluster() as nodes,
        CpuWatch() as cpu,
    ):
        nodes.add(CORPUS_DECODERS, "--labels=artifactscan-stage=decode")
        flags = ("--decode-s", 0, "--classify-s", 0)
        job = _job(nodes, folder, "store", bucket.uri, *flags, env=bucket.env)
        _check(job, count)
        course = job["course"]
        cores = cpu.cores(course["dealt"], course["ended"])
    told = {"videos": count, "frames": job["counts"]["frames"], "seconds": job["seconds"]}
    return {**told, **figures_of_memory(course), "cores": cores, "load": _load()}


def tail() -> dict[str, Any]:
    """The time that the last twentieth of the decoding takes, where a few videos are most of the work."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="artifactscan-scale-") as folder, _cluster() as nodes:
        for _ in range(TAIL_NODES):
            nodes.add(TAIL_DECODERS, "--labels=artifactscan-stage=decode")
        clips = _clips(Path(folder, "clips"), [LONG_S] * LONG_VIDEOS + [CLIP_S] * SHORT_CLIPS)
        decoders, seconds = TAIL_NODES * TAIL_DECODERS, LONG_VIDEOS * LONG_S + SHORT_CLIPS * CLIP_S
        sliced = ScoreSettings(input="", output="").slice_bytes
        for name, slice_bytes, speed in (("sliced", sliced, 1), ("whole", 0, WHOLE_SPEED)):
            decode_s = Waits().decode_s / speed
            flags = ("--decode-s", decode_s, "--slice-bytes", slice_bytes, "--together", decoders + 1)
            job = _job(nodes, folder, name, clips, *flags)
            _check(job, LONG_VIDEOS + SHORT_CLIPS)
            ideal_s = seconds * SAMPLE_FPS * decode_s / decoders
            results[name] = figures_of_tail(job["course"], ideal_s=ideal_s)
            print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    return {**results, "decoders": decoders, "load": _load()}


@contextmanager
def _cluster() -> Iterator[Nodes]:
    """A head, and a node that says it has a GPU; a single one keeps hundreds of decoders busy."""
    # Here processes stand in for machines: they answer late when all of them start, and what Ray's workers would yield
    # to on a machine of their own are the other nodes.
    nodes = Nodes({"RAY_health_check_failure_threshold": "60", "RAY_worker_niceness": "0"})
    try:
        nodes.add(2, "--num-gpus=1", "--labels=artifactscan-stage=classify")
        yield nodes
    finally:
        nodes.close()


def _clips(folder: Path, seconds: list[int]) -> Path:
    """Files that have a size and nothing else, by which the stand-ins know how long a video is."""
    folder.mkdir()
    for number, length_s in enumerate(seconds):
        with Path(folder, f"clip-{number:06d}.mp4").open("wb") as file:
            file.truncate(length_s * BYTES_PER_S)
    return folder


def _job(
    nodes: Nodes, folder: str, store: str, clips: object, *flags: object, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    checkpoint = Path(folder, "checkpoint")
    if not checkpoint.exists():
        save_checkpoint(initialise("test_resnet.r160_in1k", height=SIDE, width=SIDE), str(checkpoint))
    places = ("--input", clips, "--output", f"{folder}/{store}", "--checkpoint", checkpoint)
    command = [sys.executable, HERE / "simulated_job.py", *places, *flags]
    done = subprocess.run(
        list(map(str, command)),
        env={**nodes.env, **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=JOB_LIMIT_S,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _check(job: dict[str, Any], videos: int) -> None:
    assert job["outcomes"] == {"scored": videos}, job["outcomes"]


def _load() -> float:
    """Processes that wanted to run in the last five minutes, other people's too."""
    return round(os.getloadavg()[1], 1)


def _rows_of_scaling(result: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    rows = []
    for count, share in result["of_ideal"].items():
        rate = result["nodes"][count]["frames_per_s"]
        rows.append(
            (f"{count} nodes", f"{rate:.0f} frames/s, {share:.0%}", f"≥ {LEAST_OF_IDEAL:.0%}", share >= LEAST_OF_IDEAL)
        )
    return rows


def _rows_of_corpus(result: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    growth = result["growth"]
    measured = f"{growth:+.1%} of {result['rss_at_fifth_bytes'] / 1e6:.0f} MB, {sum(result['seconds'].values()):.0f} s"
    name = f"driver's memory, {result['videos']:,} videos"
    return [(name, measured, f"< {MOST_GROWTH:.0%}", growth < MOST_GROWTH)]


def _rows_of_tail(result: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    share = result["sliced"]["tail_share"]
    times, whole = result["sliced"]["times_ideal"], result["whole"]["times_ideal"]
    measured = f"{share:.0%} of the time; all of it {times:.2f}× the ideal (not sliced: {whole:.2f}×)"
    return [("last 5 % of the work", measured, f"≤ {MOST_TAIL:.0%}", share <= MOST_TAIL)]


_ROWS = {"scaling": _rows_of_scaling, "corpus": _rows_of_corpus, "tail": _rows_of_tail}


def _table(rows: list[tuple[str, str, str, bool]]) -> Table:
    title = "Simulated scale on one machine, start-up left out"
    table = Table(title=title, title_justify="left")
    for column in ("", "measured", "to reach", ""):
        table.add_column(column)
    for name, measured, target, reached in rows:
        table.add_row(name, measured, target, "reached" if reached else "missed")
    return table


if __name__ == "__main__":
    sys.exit(main())
