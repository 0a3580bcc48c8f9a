"""Fine-tuning and evaluation on a local Ray: results, resuming, bad input, and agreement with scoring."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from labelled_clips import FRAMES, write_labelled, write_rows
from paths import ROOT
from s3_server import S3Server

from artifactscan.evaluation.predictions import LOGIT_COLUMNS, Y_COLUMNS
from artifactscan.jobs.evaluate import main as evaluate
from artifactscan.jobs.finetune import main as finetune
from artifactscan.jobs.score import main as score
from artifactscan.labels import LABELS, SCORE_COLUMNS, SEVERITY_COLUMNS
from artifactscan.model.checkpoint import BACKBONES, load_checkpoint
from artifactscan.schemas import METRICS, PREDICTIONS
from artifactscan.training.epoch_history import HISTORY

pytestmark = pytest.mark.long

SMALL = "test_resnet.r160_in1k"
QUICK = ("--backbone", SMALL, "--init", "none", "--height", 48, "--width", 80, "--resamples", 20, "--batch-frames", 8)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("data") / "set", clips=6)


@pytest.fixture(scope="module")
def trained(labels: Path, tmp_path_factory: pytest.TempPathFactory, ray_here: None) -> Path:
    """Protocol videos on two folds with two workers, then the final checkpoint."""
    out = tmp_path_factory.mktemp("trained") / "out"
    arguments = ("--labels", labels, "--output", out, *QUICK, "--epochs", 2, "--folds", 2, "--workers", 2)
    assert run(finetune, *arguments) == 0
    return out


def run(job, *arguments: object) -> int:
    quiet = () if job is evaluate else ("--quiet",)
    return job([*map(str, arguments), *quiet])


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "jobs" / "finetune.py"), *map(str, arguments)]


def test_files_that_a_training_writes(trained: Path, labels: Path) -> None:
    folder = trained / SMALL
    checkpoint = load_checkpoint(str(folder / "checkpoint"))
    card = checkpoint.card
    assert card.trained
    assert (card.input.height, card.input.width) == (48, 80)
    assert "fine-tuned on 24 frames" in card.origin
    measured = card.metrics["protocols"]["videos"]
    assert (measured["protocol"], measured["folds"], measured["frames"]) == ("videos", 2, 24)
    assert card.metrics["tuning"]["aim"] == "prevalence"
    assert card.data_digest

    predictions = pd.read_parquet(folder / "videos" / "predictions.parquet")
    assert list(predictions.columns) == PREDICTIONS.names
    truth = pd.read_csv(labels).sort_values(["file", "frame_index"], ignore_index=True)
    told = predictions.sort_values(["file", "frame_index"], ignore_index=True)
    assert told[["file", "frame_index"]].equals(truth[["file", "frame_index"]].astype({"frame_index": "int32"}))
    assert (told[list(Y_COLUMNS)].to_numpy() == truth.iloc[:, 2:].to_numpy()).all()
    assert predictions.groupby("video")["fold"].nunique().eq(1).all()
    assert np.isfinite(predictions[list(LOGIT_COLUMNS)].to_numpy()).all()
    assert "protocol videos" in (folder / "videos" / "report.md").read_text()

    history = pd.read_parquet(folder / "history.parquet")
    assert list(history.columns) == HISTORY.names
    assert history["run"].unique().tolist() == ["videos-0", "videos-1", "final"]
    assert history.groupby("run")["best"].sum().eq(1).all()
    assert (folder / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "training").exists()
    record = json.loads((trained / "finetune.json").read_text())
    assert record["checkpoints"] == {SMALL: checkpoint.digest}


def test_a_finished_training_is_not_done_again(trained: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--labels", labels, "--output", trained, *QUICK, "--folds", 2, "--workers", 2)
    before = (trained / "finetune.json").read_bytes()
    assert run(finetune, *arguments, "--epochs", 2) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert run(finetune, *arguments, "--epochs", 3) == 2
    assert "holds another fine-tuning" in capsys.readouterr().err
    assert (trained / "finetune.json").read_bytes() == before


def test_clips_that_the_initial_weights_were_trained_on_are_not_tested(
    trained: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained / SMALL / "checkpoint"
    assert len(load_checkpoint(str(checkpoint)).card.trained_on) == 6
    arguments = ("--labels", labels, "--output", tmp_path / "out", *QUICK, "--init", checkpoint)
    assert run(finetune, *arguments) == 2
    [sentence] = capsys.readouterr().err.strip().splitlines()
    assert "was trained on clips/clip0.mp4, which would be tested as if it were new; give --protocol none" in sentence
    assert not list((tmp_path / "out").rglob("*"))


def test_evaluation_has_the_scores_of_the_scoring_job(
    trained: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve samples per second are every frame of these clips, so that all labelled ones are scored too."""
    checkpoint = trained / SMALL / "checkpoint"
    figures, store = tmp_path / "figures", tmp_path / "store"
    same = ("--checkpoint", checkpoint, "--output", figures, "--cache", trained / "frames", "--resamples", 20)
    assert run(evaluate, "--labels", labels, *same) == 0
    assert "trained on 6 of these 6 clips" in " ".join(capsys.readouterr().out.split())
    assert (
        run(
            score, "--input", labels.parent / "clips", "--output", store, "--checkpoint", checkpoint, "--sample-fps", 12
        )
        == 0
    )
    scores = pd.read_parquet(store / "frames")
    scores["file"] = "clips/" + scores["uri"].str.rsplit("/", n=1).str[-1]
    predictions = pd.read_parquet(figures / "predictions.parquet")
    both = predictions.merge(scores, on=["file", "frame_index"], validate="one_to_one")
    assert len(both) == len(predictions) == 6 * len(FRAMES)
    calibration = load_checkpoint(str(checkpoint)).card.calibration
    for logit, column, fitted in zip(LOGIT_COLUMNS, SCORE_COLUMNS, calibration.values(), strict=True):
        p = 1 / (1 + np.exp(-(both[logit] * fitted.scale + fitted.offset)))
        assert np.abs(p - both[column]).max() < 1e-4
    assert pd.read_parquet(figures / "metrics.parquet").columns.tolist() == METRICS.names
    assert json.loads((figures / "evaluation.json").read_text())["frames"] == 24


@pytest.mark.parametrize(
    ("rows", "extra", "words"),
    [
        ([("clips/clip0.mp4", 99, 0, 1, 0, 1)], (), "names? frame 99 of 'clips/clip0.mp4', which has 12 frames"),
        ([], ("--folds", 9), "folds is 9, but the labels have only 6 videos"),
        ([], ("--learning-rate", 1e30, "--protocol", "none"), "the loss became (nan|inf) in epoch 1"),
        pytest.param(
            *([], ("--learning-rate", 1e30, "--protocol", "none", "--batch-frames", 32)),
            "the loss became nan in epoch 1",
            marks=pytest.mark.slow,
        ),
        ([], ("--init", "nowhere"), "--init nowhere is neither imagenet, none"),
    ],
    ids=["frame", "folds", "nan", "nan-by-the-last-update", "init"],
)
def test_bad_input_is_one_sentence_and_leaves_no_checkpoint(
    labels: Path,
    tmp_path: Path,
    ray_here: None,
    capsys: pytest.CaptureFixture[str],
    rows: list,
    extra: tuple,
    words: str,
) -> None:
    table = labels
    if rows:
        kept = [tuple(line.split(",")) for line in labels.read_text().splitlines()[1:]]
        table = write_rows(labels.parent / "more.csv", [*kept, *rows])
    out = tmp_path / "out"
    assert run(finetune, "--labels", table, "--output", out, *QUICK, "--epochs", 2, *extra) == 2
    [sentence] = capsys.readouterr().err.strip().splitlines()
    assert re.search(words, sentence), sentence
    assert not list(out.rglob("card.json"))
    assert not list(out.rglob("finetune.json"))


@pytest.mark.slow
def test_training_resumes_after_the_driver_is_killed(labels: Path, tmp_path: Path) -> None:
    """Killed during the second fold: the first is not trained again, and the second one resumes."""
    out = tmp_path / "out"
    arguments = ("--labels", labels, "--output", out, *QUICK, "--epochs", 40, "--patience", 0, "--folds", 2)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(command(*arguments), env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "videos-1  epoch 5/40" in line:
                break
        process.kill()
    assert process.returncode == -signal.SIGKILL
    time.sleep(5)  # the cluster notices that its driver is gone
    assert not list(out.rglob("card.json"))
    [first_fold] = (out / SMALL / "runs").glob("*/videos-0/outcome.json")
    kept = first_fold.stat().st_mtime_ns
    again = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=True)
    assert "videos-1  going on after epoch" in again.stderr
    assert "videos-1  epoch 3/40" not in again.stderr
    assert first_fold.stat().st_mtime_ns == kept
    history = pd.read_parquet(out / SMALL / "history.parquet")
    assert history[history["run"] == "videos-1"]["epoch"].tolist() == list(range(1, 41))
    assert load_checkpoint(str(out / SMALL / "checkpoint")).card.trained


@pytest.mark.slow
def test_ctrl_c_gives_one_line_and_the_same_command_resumes(labels: Path, tmp_path: Path) -> None:
    """Ray Train's own handler would end the job with code 1 and no message."""
    arguments = ("--labels", labels, "--output", tmp_path / "out", *QUICK, "--epochs", 40, "--patience", 0)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    start = [*command(*arguments, "--protocol", "none")]
    with subprocess.Popen(start, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if "epoch 5/40" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 3, told[-3:]
    assert told[-1] == "error: interrupted; the same command goes on with what is not done yet\n"
    again = subprocess.run(start, env=environment, capture_output=True, text=True, check=True)
    assert "final  going on after epoch" in again.stderr


def test_grades_are_what_the_loss_sees_and_labels_what_is_measured(
    labels: Path, tmp_path: Path, ray_here: None
) -> None:
    """Slight grades are no label, but a target of a third, which the loss and the weight of positives see.

    Half of the labels are positive: their balance weighs 1, and where the mean target is 2/3 the square root of 1/2.
    Logits near 0 cost ln 2 times that weight for the share that is positive.
    """
    table = pd.read_csv(labels)
    grades = table[list(LABELS)].set_axis(list(SEVERITY_COLUMNS), axis=1) * 2 + 1  # 1 and 3
    pd.concat([table[["file", "frame_index"]], grades], axis=1).to_csv(labels.parent / "grades.csv", index=False)
    losses = {}
    for targets in ("severity", "labels"):
        out = tmp_path / targets
        arguments = ("--labels", labels.parent / "grades.csv", "--cache", tmp_path / "frames", "--targets", targets)
        assert run(finetune, *arguments, "--output", out, *QUICK, "--epochs", 1, "--protocol", "none") == 0
        [predictions] = (out / SMALL / "runs").glob("*/final/predictions.parquet")
        told = pd.read_parquet(predictions).merge(table, on=["file", "frame_index"])
        assert (told[list(Y_COLUMNS)].to_numpy() == told[list(LABELS)].to_numpy()).all()
        losses[targets] = pd.read_parquet(out / SMALL / "history.parquet")["fit_loss"][0]
    assert len(list((tmp_path / "frames").glob("*/index.parquet"))) == 1, "both trainings read the same frames"
    assert losses["labels"] == pytest.approx(np.log(2), abs=0.03)
    assert losses["severity"] == pytest.approx(np.log(2) * (1 / 3 + 2 / 3 * np.sqrt(1 / 2)), abs=0.03)


@pytest.mark.slow
def test_training_resumes_after_a_worker_is_killed(labels: Path, tmp_path: Path) -> None:
    import psutil

    out = tmp_path / "out"
    arguments = ("--labels", labels, "--output", out, *QUICK, "--epochs", 40, "--patience", 0, "--protocol", "none")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(command(*arguments), env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told, killed = [], False
        for line in process.stderr:
            told.append(line)
            if "epoch 5/40" in line and not killed:  # an epoch that was not stored yet is logged again
                killed = True
                workers = [
                    child
                    for child in psutil.Process(process.pid).children(recursive=True)
                    if "RayTrainWorker" in " ".join(child.cmdline())
                ]
                workers[0].kill()
    assert process.returncode == 0, told[-3:]
    assert any("going on after epoch" in line for line in told)
    history = pd.read_parquet(out / SMALL / "history.parquet")
    assert history["epoch"].tolist() == list(range(1, 41))


@pytest.mark.slow
def test_the_four_backbones_on_two_workers(
    labels: Path, tmp_path: Path, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    size = ("--height", 64, "--width", 64, "--init", "none", "--epochs", 1, "--workers", 2)
    protocol = ("--protocol", "frames", "--resamples", 20)
    assert run(finetune, "--labels", labels, "--output", out, "--backbone", "all", *size, *protocol) == 0
    for backbone in BACKBONES:
        assert load_checkpoint(str(out / backbone / "checkpoint")).card.trained
    table = (out / "comparison.md").read_text()
    assert all(backbone.replace("_", "\\_") in table for backbone in BACKBONES)
    assert "94.14 %" in table
    assert "94.14 %" in capsys.readouterr().out


@pytest.mark.slow
def test_everything_on_s3(_s3_server: S3Server, labels: Path, tmp_path: Path) -> None:
    """Clips, labels, decoded frames, Ray Train's state and the checkpoint."""
    _s3_server.new_bucket()
    for file in [labels, *(labels.parent / "clips").iterdir()]:
        _s3_server.put(f"set/{file.relative_to(labels.parent)}", file.read_bytes())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_ADDRESS"))}
    arguments = ("--labels", _s3_server.uri("set/labels.csv"), "--clips", _s3_server.uri("set"))
    arguments += ("--output", _s3_server.uri("out"), *QUICK, "--epochs", 1, "--protocol", "none", "--synthetic", 1)
    subprocess.run(command(*arguments), env={**environment, **_s3_server.env}, check=True)
    keys = _s3_server.keys()
    assert "out/synthetic/1-0/labels.csv" in keys
    assert {f"out/{SMALL}/checkpoint/card.json", f"out/{SMALL}/losses.png", "out/finetune.json"} <= set(keys)
    assert not [key for key in keys if "/training/" in key]
