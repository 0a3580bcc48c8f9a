"""finetune --train head on a real local Ray: embedded once, refitted without Ray, scored and evaluated alike."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from media import write_clip

from artifactscan.jobs.evaluate import main as evaluate
from artifactscan.jobs.finetune import main as finetune
from artifactscan.jobs.score import main as score
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.pipelines.train import run

pytestmark = pytest.mark.long

CLIPS, FRAMES = 8, 4
HEAD = ("--train", "head", "--backbone", "test_resnet.r160_in1k", "--init", "none", "--height", "64", "--width", "96")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with frames graded by two annotators; the even ones show every label from the second frame on."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for number in range(CLIPS):
        name = f"maker{number % 2}_{number}.mp4"
        write_clip(folder / name, seconds=2, width=192, height=128, fps=24)
        for frame in range(FRAMES):
            for annotator in ("first", "second"):
                grade = 3 if number % 4 < 2 and frame else int(annotator == "second")
                severities = {f"severity_{label}": grade for label in LABELS}
                rows.append({"file": name, "frame_index": 12 * frame, "annotator": annotator, **severities})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory, ray_here: None) -> Path:
    output = tmp_path_factory.mktemp("trained") / "out"
    arguments = ("--labels", data / "labels.csv", "--output", output, "--folds", 4, "--resamples", 50, "--half")
    protocols = ("--protocol", "all", "--generator-pattern", "{generator}_{number}.mp4")
    assert finetune([*HEAD, *map(str, (*arguments, *protocols))]) == 0
    return output


def test_the_checkpoint_is_a_probe_with_its_figures(trained: Path) -> None:
    card = load_checkpoint(str(trained / "test_resnet.r160_in1k" / "checkpoint")).card
    assert card.probe == ProbeSpec(neighbours=1, smoothing=0.65)
    assert card.trained and set(card.metrics["protocols"]) == {"videos", "frames", "generators"}
    assert set(card.operating_point) == set(LABELS)
    assert "probe fitted to 32 frames" in card.origin
    predictions = pd.read_parquet(trained / "test_resnet.r160_in1k" / "videos" / "predictions.parquet")
    assert len(predictions) == CLIPS * FRAMES and predictions["fold"].nunique() == 4


def test_relabelling_and_refitting_starts_no_ray(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_ray(*_: object) -> None:
        raise AssertionError("every frame is embedded already")

    monkeypatch.setattr(run, "_start_ray_to_embed", no_ray)
    table = pd.read_csv(data / "labels.csv")
    table.loc[table["file"] == "maker0_2.mp4", [f"severity_{label}" for label in LABELS]] = 2
    table.to_csv(tmp_path / "labels.csv", index=False)
    arguments = ("--labels", tmp_path / "labels.csv", "--clips", data, "--cache", trained, "--output", tmp_path / "out")
    assert finetune([*HEAD, *map(str, (*arguments, "--folds", 4, "--resamples", 0))]) == 0
    first, second = (
        json.loads((folder / "finetune.json").read_text())["checkpoints"] for folder in (trained, tmp_path / "out")
    )
    assert first != second


def test_scoring_and_evaluating_give_the_same_scores(data: Path, trained: Path, tmp_path: Path, ray_here: None) -> None:
    checkpoint = str(trained / "test_resnet.r160_in1k" / "checkpoint")
    common = ("--checkpoint", checkpoint, "--precision", "fp32", "--device", "cpu")
    assert score(["--input", str(data), "--output", str(tmp_path / "store"), *common, "--quiet"]) == 0
    arguments = ("--labels", data / "labels.csv", "--output", tmp_path / "evaluation", "--resamples", 0)
    assert evaluate([*map(str, arguments), *common]) == 0
    frames = pd.read_parquet(tmp_path / "store" / "frames")
    frames["file"] = frames["uri"].str.rsplit("/", n=1).str[-1]
    predictions = pd.read_parquet(tmp_path / "evaluation" / "predictions.parquet")
    both = predictions.merge(frames, on=["file", "frame_index"])
    assert len(both) == CLIPS * FRAMES
    calibration = load_checkpoint(checkpoint).card.calibration
    for label, column in zip(LABELS, SCORE_COLUMNS, strict=True):
        logits = both[f"logit_{label}"] * calibration[label].scale + calibration[label].offset
        assert np.abs(1 / (1 + np.exp(-logits)) - both[column]).max() < 2e-3


def test_synthetic_clips_and_heads_exclude_each_other(data: Path, tmp_path: Path, capsys) -> None:
    arguments = ("--labels", data / "labels.csv", "--output", tmp_path, "--synthetic", 2)
    assert finetune([*HEAD, *map(str, arguments)]) == 2
    assert "--synthetic clips are learned from with --train all only" in capsys.readouterr().err
