"""Where a run is executed, and that both places give the same tables."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from checkpoints import CHECKPOINT
from media import write_clip
from paths import ROOT
from rich.console import Console

from artifactscan.demo import marks
from artifactscan.errors import UsageError
from artifactscan.jobs.score import main
from artifactscan.pipelines.score import executor, local_executor
from artifactscan.pipelines.score.executor import is_local
from artifactscan.pipelines.score.request import ScoringJob, make_job
from artifactscan.scoring.frame_costs import REFERENCE
from artifactscan.scoring.settings import ScoreSettings
from artifactscan.scoring.stages import DecodeStage

FEW, SOME, MANY = 20, 5_000, 100_000
"""Sampled frames that are worth no start of Ray, that are worth it on more than two cores, and that always are."""


def job(**settings: Any) -> ScoringJob:
    return make_job(ScoreSettings(input="/clips", output="/scores", **settings), CHECKPOINT, Console())


def test_few_clips_are_scored_here_unless_something_speaks_for_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert is_local(job(), FEW)
    assert not is_local(job(), MANY)
    assert not is_local(job(decode_actors=1), FEW)
    assert not is_local(job(classify_actors=1), FEW)
    assert is_local(job(executor="local"), MANY)
    assert not is_local(job(executor="ray"), FEW)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert not is_local(job(), FEW)
    assert is_local(job(executor="local"), FEW)


def test_on_two_cores_ray_is_for_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cores = {0, 1}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    monkeypatch.setattr(executor, "has_gpu", lambda: False)
    assert is_local(job(), SOME)
    assert not is_local(job(), MANY)
    assert not is_local(job(decode_actors=1), SOME)
    assert not is_local(job(precision="int8"), SOME), "one process that decodes would be too slow"
    monkeypatch.setattr(executor, "has_gpu", lambda: True)
    assert not is_local(job(), SOME), "two processes that decode feed a GPU faster than one"
    assert is_local(job(device="cpu"), SOME)
    cores.update({2, 3})
    assert not is_local(job(device="cpu"), SOME)
    cores.difference_update({2, 3})
    slow_to_decode = replace(REFERENCE["cpu"], decode_s=2 * REFERENCE["cpu"].classify_s)
    monkeypatch.setattr(ScoringJob, "frame_costs", lambda *_: slow_to_decode)
    assert not is_local(job(device="cpu"), SOME), "one process that decodes would be too slow"


def test_a_ray_that_runs_here_is_used(ray_here: None) -> None:
    assert not is_local(job(), FEW)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of several segments, one that is damaged and one that is none."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(3):
        write_clip(folder / f"{number}.mp4", seconds=3 + number)
    whole = write_clip(folder / "damaged.mp4", seconds=4).read_bytes()
    (folder / "damaged.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return marks.write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def test_both_executors_give_the_same_tables(corpus: Path, checkpoint: str, tmp_path: Path, ray_here: None) -> None:
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for where in ("ray", "local"):
        store = tmp_path / where
        arguments = ["--input", str(corpus), "--output", str(store), "--checkpoint", checkpoint, "--quiet"]
        assert main([*arguments, "--executor", where, "--segment-frames", "2", "--max-failed", "0.5"]) == 0
        tables[where] = {
            name: pd.read_parquet(store / name)
            .drop(columns=["run", "fetch_s", "decode_s"], errors="ignore")
            .sort_values(order, ignore_index=True)
            for name, order in (
                ("frames", ["uri", "frame_index"]),
                ("videos", ["uri"]),
                ("events", ["uri", "label", "start_s"]),
            )
        }
        [record] = [json.loads(path.read_text()) for path in store.glob("runs/*/run.json")]
        assert record["settings"]["executor"] == where
        assert (record["rates"]["device"], record["rates"]["frames"]) == ("cpu", len(tables[where]["frames"]))
    for name, table in tables["ray"].items():
        pd.testing.assert_frame_equal(tables["local"][name], table, atol=1e-5, obj=name)
    assert set(tables["local"]["videos"]["outcome"]) >= {"scored", "undecodable"}


def test_it_starts_no_ray_and_loads_nothing_to_be_watched_by(corpus: Path, checkpoint: str, tmp_path: Path) -> None:
    script = (
        "import sys; from artifactscan.jobs.score import main; code = main(sys.argv[1:]); "
        "print(sorted({'ray', 'opentelemetry', 'mlflow'} & sys.modules.keys()), code)"
    )
    arguments = ["--input", str(corpus / "0.mp4"), "--output", str(tmp_path), "--checkpoint", checkpoint]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
    assert "loading the checkpoint" in done.stderr or "scoring the first videos" in done.stderr or "1/1" in done.stderr


def test_a_classifier_that_cannot_load_ends_the_decoder(
    corpus: Path, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    children: list[DecodeStage] = []

    class Noted(DecodeStage):
        def close(self) -> None:
            super().close()
            children.append(self)

    def fail(*_: object, **__: object) -> None:
        raise UsageError("--device cuda: torch finds no GPU here")

    monkeypatch.setattr(local_executor, "DecodeStage", Noted)
    monkeypatch.setattr(local_executor, "ClassifyStage", fail)
    arguments = ["--input", str(corpus), "--output", str(tmp_path), "--checkpoint", checkpoint, "--quiet"]
    assert main([*arguments, "--executor", "local"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: --device cuda: torch finds no GPU here"
    assert len(children) == 1
    for thread in threading.enumerate():
        if thread.name == "read-ahead":
            thread.join(30)
            assert not thread.is_alive()


def test_a_full_disk_is_a_cut_off(
    corpus: Path, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(folder: str, _rows: object) -> None:
        raise OSError(28, "No space left on device", folder)

    arguments = ["--input", str(corpus), "--output", str(tmp_path), "--checkpoint", checkpoint, "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(local_executor, "write_part", full)
        assert main([*arguments, "--executor", "local"]) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: the run was cut off: ") and "No space left on device" in said
    assert main([*arguments, "--executor", "local", "--max-failed", "0.5"]) == 0
    assert "continuing run" in capsys.readouterr().out


def test_a_gpu_that_torch_does_not_find_ends_a_run_here_too(
    corpus: Path, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executor, "has_gpu", lambda: True)
    arguments = ["--input", str(corpus), "--output", str(tmp_path), "--checkpoint", checkpoint, "--executor", "local"]
    assert main([*arguments, "--quiet"]) == 2
    assert "error: --device auto: there is a GPU on node" in capsys.readouterr().err
    assert main([*arguments, "--quiet", "--device", "cuda"]) == 2
    assert "error: --device cuda: torch finds no GPU here" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*"))
    assert main([*arguments, "--quiet", "--device", "cpu", "--max-failed", "0.5"]) == 0


def test_numbers_of_processes_are_refused_where_there_is_one_of_each(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    arguments = ["--input", str(corpus), "--output", str(store), "--executor", "local", "--decode-actors", "2"]
    assert main(arguments) == 2
    assert "error: --executor local has one decoder and one classifier; leave out" in capsys.readouterr().err
    assert not store.exists()


def test_the_log_of_a_local_run_ends_with_its_last_counts(
    corpus: Path, checkpoint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--input", str(corpus), "--output", str(tmp_path), "--checkpoint", checkpoint, "--max-failed", "0.5"]
    assert main([*arguments, "--executor", "local"]) == 0
    last = [line for line in capfd.readouterr().err.splitlines() if "videos/s" in line][-1]
    assert last.startswith("5/5 videos")
