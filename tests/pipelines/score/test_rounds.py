"""What is done round by round where there is nothing left to do; with work it is tested on Ray, in tests/jobs."""

from pathlib import Path

from checkpoints import CHECKPOINT
from parts import attempt, manifest_row, write_manifest, write_part
from rich.console import Console

from artifactscan.pipelines.score.request import Job, make_request
from artifactscan.pipelines.score.rounds import score_open_videos
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.store.layout import Store


def test_ray_is_not_started_where_nothing_is_open(tmp_path: Path) -> None:
    store, watch = Store(str(tmp_path)), Stopwatch()
    settled = manifest_row("/b", status="settled", settled_run="run0", settled_outcome="scored")
    write_manifest(store, "run1", [manifest_row("/a"), settled, manifest_row("/c", status="removed")])
    write_part(store, "run1", "one", attempt("/a", [2]))
    settings = ScoreSettings(input="/clips", output=store.root)
    job = Job(settings, store, CHECKPOINT, make_request(settings, CHECKPOINT), Console())
    assert score_open_videos(job, "run1", watch) == set()
    assert watch.seconds == {}, "neither started nor scored"
