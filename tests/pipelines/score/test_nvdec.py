"""A job with `--decoder nvdec`, from command to ledger, with the stand-in for torchcodec: there is no GPU here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from media import write_clip
from nvdec import STAND_IN, stand_in_with

from artifactscan.demo import marks
from artifactscan.jobs.score import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_clip(folder / "h264.mp4")
    write_clip(folder / "vp9.webm", codec="libvpx-vp9")
    write_clip(folder / "mjpeg.avi", codec="mjpeg", pix_fmt="yuvj420p")
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return marks.write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def arguments(corpus: Path, store: Path, checkpoint: str, *more: str) -> list[str]:
    places = ["--input", str(corpus), "--output", str(store), "--checkpoint", checkpoint]
    return [*places, "--device", "cpu", "--quiet", "--max-failed", "0.5", *more]


def assert_scored_by_nvdec(store: Path) -> None:
    ledger = pd.read_parquet(store / "videos").assign(name=lambda rows: rows["uri"].str.rpartition("/")[2])
    ledger = ledger.set_index("name").sort_index()
    assert ledger["outcome"].to_dict() == {
        "h264.mp4": "scored",
        "mjpeg.avi": "scored",
        "text.mp4": "undecodable",
        "vp9.webm": "scored",
    }
    assert ledger["decoder"].to_dict() == {
        "h264.mp4": "nvdec",
        "mjpeg.avi": "pyav",
        "text.mp4": "pyav",
        "vp9.webm": "nvdec",
    }
    assert ledger["reason"]["mjpeg.avi"] == (
        "decoded by pyav after nvdec failed (undecodable: its codec mjpeg is not one of h264, hevc, vp8, vp9, av1)"
    )
    assert "nvdec" not in ledger["reason"]["text.mp4"]
    assert ledger["reason"][["h264.mp4", "vp9.webm"]].isna().all()
    [path] = store.glob("runs/*/run.json")
    record = json.loads(path.read_text())
    assert record["spec"]["decoder"] == "nvdec by torchcodec 0.17.0"
    assert record["versions"]["torchcodec"] == "0.17.0"
    assert "decoded by NVDEC, which moves a score of the probe clip by up to 0.0000" in record["notes"]


def test_scores_are_those_of_pyav_and_the_ledger_says_what_was_decoded_where(
    corpus: Path, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_pyav = ["--decoder", "pyav", "--executor", "local"]
    assert main(arguments(corpus, tmp_path / "pyav", checkpoint, *by_pyav)) == 0
    monkeypatch.syspath_prepend(str(STAND_IN))
    on_gpu = ["--decoder", "nvdec", "--executor", "local"]
    assert main(arguments(corpus, tmp_path / "nvdec", checkpoint, *on_gpu)) == 0
    assert_scored_by_nvdec(tmp_path / "nvdec")
    frames = {
        name: pd.read_parquet(tmp_path / name / "frames").sort_values(["uri", "frame_index"], ignore_index=True)
        for name in ("pyav", "nvdec")
    }
    assert set(frames["nvdec"]["spec"]).isdisjoint(frames["pyav"]["spec"])
    frames = {name: table.drop(columns=["run", "spec"]) for name, table in frames.items()}
    pd.testing.assert_frame_equal(frames["nvdec"], frames["pyav"], atol=1e-6)


NO_GPU = "decoded by pyav after nvdec failed \\(undecodable: torch \\S+ finds no GPU\\)"
NO_ENGINE = "this GPU's NVDEC does not decode it \\(Video not supported\\)\\)"
OTHER_SCORES = (
    "error: --decoder nvdec moves a score of the probe clip by 0\\.\\d{3} on node \\S+, where less than 0.01 is"
)


@pytest.mark.parametrize(
    ("fault", "gpu", "said"),
    [
        ("", False, f"error: --decoder nvdec does not work on node \\S+: {NO_GPU}; use --decoder auto$"),
        ("fallback = True", True, f"{NO_ENGINE}; use --decoder auto$"),
        ("noise, noise_from = 128, 1", True, f"{OTHER_SCORES} allowed; use --decoder auto$"),
    ],
    ids=["no GPU", "no NVDEC", "other scores"],
)
def test_what_does_not_work_is_refused_before_there_is_a_run(
    fault: str,
    gpu: bool,
    said: str,
    corpus: Path,
    checkpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(stand_in_with(tmp_path / "packages", fault=fault, gpu=gpu)))
    store = tmp_path / "store"
    assert main(arguments(corpus, store, checkpoint, "--decoder", "nvdec", "--executor", "local")) == 2
    errors = capsys.readouterr().err.splitlines()
    assert re.search(said, errors[-1])
    assert not list(store.glob("runs/*"))


def test_a_cluster_without_a_gpu_is_refused(
    corpus: Path,
    checkpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ray_here: None,
) -> None:
    monkeypatch.syspath_prepend(str(STAND_IN))
    store = tmp_path / "store"
    assert main(arguments(corpus, store, checkpoint, "--decoder", "nvdec", "--executor", "ray")) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --decoder nvdec: the Ray cluster has no GPU on a node that may decode; add one, or use --decoder auto"
    )
    assert not list(store.glob("runs/*"))


ON_RAY = """
import sys
from functools import partial
from importlib import import_module
import ray
ray.init = partial(ray.init, num_gpus=1)
sys.exit(import_module("artifactscan.jobs.score").main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_decoders_of_a_ray_share_its_gpu(corpus: Path, checkpoint: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    path = os.pathsep.join([str(STAND_IN), *sys.path])
    more = ["--decoder", "nvdec", "--executor", "ray", "--decode-actors", "2"]
    done = subprocess.run(
        [sys.executable, "-c", ON_RAY, *arguments(corpus, tmp_path, checkpoint, *more)],
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_scored_by_nvdec(tmp_path)
