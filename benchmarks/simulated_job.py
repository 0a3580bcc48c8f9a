"""One scoring run, plan to settle, in which decoding and classifying only wait; what it looked like from within.

    python benchmarks/simulated_job.py --input PLACE --output FOLDER --checkpoint FOLDER [--decode-s 0.045] …

Joins the cluster in RAY_ADDRESS. The last line it prints is JSON: the run's record and samples of its course.
"""

import argparse
import json
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # by the same name the workers find the stand-ins

from ray.exceptions import RayError  # noqa: E402

from artifactscan.pipelines.ray_cluster import progress  # noqa: E402
from artifactscan.pipelines.score import graph, run  # noqa: E402
from artifactscan.scoring.settings import ScoreSettings  # noqa: E402
from artifactscan.store.layout import Store  # noqa: E402
from benchmarks.stand_ins import Waits, put_in  # noqa: E402

SAMPLE_S = 0.25


@dataclass
class Course:
    """What was seen of one graph; all times are seconds of time.time()."""

    began: float = 0.0
    """When the graph was asked for."""
    dealt: float = 0.0
    """When all blocks lay in the object store."""
    ended: float = 0.0
    """When the last part had landed and the actors were gone."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    """The driver's memory and the tally, every SAMPLE_S, to the end of the job."""


def main() -> int:
    arguments = _arguments()
    put_in(Waits(decode_s=arguments.decode_s, classify_s=arguments.classify_s, together=arguments.together))
    course, stop = _watched_graph()
    settings = ScoreSettings(
        input=arguments.input,
        output=arguments.output,
        checkpoint=arguments.checkpoint,
        device="cuda",  # a GPU that the cluster only says it has
        slice_bytes=arguments.slice_bytes,
        shared_filesystem=True,
        quiet=True,
    )
    started = time.time()
    code = run.score(settings)
    stop.set()
    [record] = Store(settings.output).committed()
    told = {"code": code, "started": started, "seconds": record.seconds, "counts": record.counts}
    print(json.dumps({**told, "outcomes": record.outcomes, "course": asdict(course)}))
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for place in ("input", "output", "checkpoint"):
        parser.add_argument(f"--{place}", required=True)
    parser.add_argument("--decode-s", type=float, default=Waits().decode_s)
    parser.add_argument("--classify-s", type=float, default=Waits().classify_s)
    parser.add_argument("--together", type=int, default=Waits().together)
    parser.add_argument("--slice-bytes", type=int, default=ScoreSettings(input="", output="").slice_bytes)
    return parser.parse_args()


def _watched_graph() -> tuple[Course, threading.Event]:
    """Records the course of the graph, and samples the driver until the event is set."""
    course, stop, run_graph, make_dataset = Course(), threading.Event(), graph.run_graph, graph.make_dataset

    def watched_run(*values: Any, **named: Any) -> str:
        course.began = time.time()
        threading.Thread(target=_sample, args=(course, named["tally"], stop), daemon=True).start()
        try:
            return run_graph(*values, **named)
        finally:
            course.ended = time.time()

    def watched_dataset(*values: Any, **named: Any) -> Any:
        dataset = make_dataset(*values, **named)
        course.dealt = time.time()
        return dataset

    graph.run_graph, graph.make_dataset = watched_run, watched_dataset
    return course, stop


def _sample(course: Course, tally: Any, stop: threading.Event) -> None:
    driver = psutil.Process()
    while not stop.wait(SAMPLE_S):
        with suppress(RayError):  # the tally is behind: the next sample will do
            snapshot = progress.read_tally(tally)
            memory = driver.memory_info()
            course.samples.append(
                {
                    "at": time.time(),
                    "rss_bytes": memory.rss,
                    "shared_bytes": memory.shared,
                    "actors": len(snapshot.nodes),
                    "decoded": snapshot.decoded,
                    "frames": snapshot.frames,
                    "videos": snapshot.videos,
                }
            )


if __name__ == "__main__":
    sys.exit(main())
