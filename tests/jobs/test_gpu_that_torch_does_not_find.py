"""A Ray that sees a GPU which torch does not find, as with a broken driver: refused, never done on a CPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from labelled_clips import write_labelled

from artifactscan.model.backbone import initialise
from artifactscan.model.checkpoint import save_checkpoint

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds a GPU here")

SMALL = "test_resnet.r160_in1k"
JOB = """
import sys
from functools import partial
from importlib import import_module
import ray
ray.init = partial(ray.init, num_gpus=1)
sys.exit(import_module(f"artifactscan.jobs.{sys.argv[1]}").main(sys.argv[2:]))
"""
TRAIN = ("--backbone", SMALL, "--init", "none", "--height", 48, "--width", 80, "--protocol", "none", "--quiet")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_labelled(folder / "set", clips=2)
    save_checkpoint(initialise(SMALL, height=48, width=80, seed=1), str(folder / "checkpoint"))
    return folder


@pytest.mark.parametrize(
    ("job", "device", "arguments"),
    [
        pytest.param(
            "score",
            "auto",
            ("--input", "set/clips", "--checkpoint", "checkpoint", "--executor", "ray"),
            id="score, auto",
        ),
        pytest.param(
            "score",
            "cuda",
            ("--input", "set/clips", "--checkpoint", "checkpoint", "--executor", "ray"),
            id="score",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "evaluate", "cuda", ("--labels", "set/labels.csv", "--checkpoint", "checkpoint"), marks=pytest.mark.long
        ),
        pytest.param("finetune", "cuda", ("--labels", "set/labels.csv", *TRAIN), marks=pytest.mark.long),
        pytest.param(
            "finetune", "auto", ("--labels", "set/labels.csv", *TRAIN, "--train", "head"), marks=pytest.mark.long
        ),
    ],
)
def test_the_job_is_refused(job: str, device: str, arguments: tuple, data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOB, job, *map(str, arguments), "--output", str(tmp_path / "out"), "--device", device],
        cwd=data,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    said = rf"error: --device {device}: there is a GPU on node \S+, where torch 2\.\S+ finds none; use --device cpu, or"
    assert re.match(said, done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr and "a bug" not in done.stderr
    assert not list(tmp_path.rglob("part*.parquet")) and not list(tmp_path.rglob("*.safetensors"))
