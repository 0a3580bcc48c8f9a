"""Shares of frames and CPUs per worker, and the lines of the training log."""

import math
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.resources import Node, Resources
from artifactscan.pipelines.train import worker
from artifactscan.pipelines.train.fit import plan_workers, run_worker, split_fit_rows
from artifactscan.pipelines.train.training_log import TrainingLog, epoch_line


@pytest.mark.parametrize(("frames", "workers"), [(10, 1), (10, 3), (3, 2), (1, 4)])
def test_workers_train_on_equally_many_frames(frames: int, workers: int) -> None:
    shares = split_fit_rows(np.arange(frames) + 5, workers)
    assert len({len(share) for share in shares}) == 1
    assert set(np.concatenate(shares).tolist()) == set(range(5, 5 + frames))
    assert sum(map(len, shares)) < frames + workers


def test_cpus_are_shared_and_one_is_left_to_ray_data() -> None:
    two = plan_workers(Resources((Node(2),)), workers=2, device="auto", precision="auto")
    assert (two.use_gpu, two.worker_cpus, two.threads, two.bf16) == (False, 0.5, 1, False)
    one = plan_workers(Resources((Node(16, 1),)), workers=1, device="auto", precision="auto")
    assert (one.use_gpu, one.worker_cpus, one.threads, one.bf16) == (True, 1.0, 0, True)
    with pytest.raises(UsageError, match="--workers 2 need a GPU each, and the Ray cluster has 1"):
        plan_workers(Resources((Node(16, 1),)), workers=2, device="auto", precision="auto")
    with pytest.raises(UsageError, match="the Ray cluster has 0; give fewer, add GPUs, or use --device cpu"):
        plan_workers(Resources((Node(16),)), workers=1, device="cuda", precision="auto")
    with pytest.raises(UsageError, match=r"--workers is 100000; the nodes for them have 2 CPUs, which hold at most 64"):
        plan_workers(Resources((Node(2),)), workers=100_000, device="auto", precision="auto")


def test_an_epoch_gives_one_line() -> None:
    row = {"epoch": 2, "fit_loss": 0.5, "tune_loss": 0.61, "tune_average_precision": 0.4, "frames_per_s": 31.27}
    line = epoch_line({**row, "best": True}, 20)
    assert line == "epoch 2/20  fit loss 0.500  tune loss 0.610, average precision 0.400  31.3 frames/s  best so far"
    assert "tune" not in epoch_line({**row, "tune_loss": math.nan, "best": False}, 20)


def test_lines_are_taken_once() -> None:
    log = TrainingLog()
    log.add_line("going on after epoch 3")
    log.add_progress(4, 20, 10, 100)  # too soon after the last line
    assert log.take_lines() == ["going on after epoch 3"]
    assert log.take_lines() == []


def test_a_workers_failure_is_logged_before_ray_train_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __init__(self, config: dict) -> None:
            raise TypeError("no such\n  argument")

    class Lines:
        lines: ClassVar[list[str]] = []

        def remote(self, line: str) -> None:
            self.lines.append(line)

    monkeypatch.setattr(worker, "Worker", Failing)
    with pytest.raises(TypeError):
        run_worker({"log": SimpleNamespace(add_line=Lines())})
    assert Lines.lines == ["a worker failed: TypeError: no such argument"]
