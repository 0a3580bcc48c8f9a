"""The command lines of the fine-tuning and evaluation jobs, frozen; and their YAML files."""

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from artifactscan.cli.flags import parse_settings
from artifactscan.errors import UsageError
from artifactscan.evaluation.settings import EvaluateSettings
from artifactscan.training.recipe import TrainSettings
from artifactscan.training.settings import FinetuneSettings

FINETUNE = {
    "epochs": 20,
    "patience": 6,
    "batch_frames": 32,
    "learning_rate": 3e-4,
    "layer_decay": 0.8,
    "freeze_epochs": 0,
    "warmup_share": 0.1,
    "weight_decay": 0.05,
    "loss": "bce",
    "targets": "severity",
    "balance": "sqrt",
    "smoothing": 0.0,
    "ema_decay": 0.99,
    "flip": True,
    "colour": 0.1,
    "crop": 0.1,
    "seed": 0,
    "labels": MISSING,
    "clips": (),
    "output": MISSING,
    "backbone": "resnet50",
    "init": "imagenet",
    "height": 0,
    "width": 0,
    "protocol": "videos",
    "generator_pattern": "",
    "folds": 5,
    "test_share": 0.2,
    "tune_share": 0.2,
    "aim": "prevalence",
    "label_rule": "error",
    "synthetic": 0,
    "train": "all",
    "blocks": (),
    "tokens": ("pooled",),
    "neighbours": 1,
    "temporal_smoothing": 0.65,
    "tiles": (1, 1),
    "unit_length": False,
    "components": 0,
    "penalty": 0.0,
    "half": False,
    "sample_fps": 2.0,
    "resamples": 1000,
    "workers": 1,
    "device": "auto",
    "precision": "auto",
    "max_failures": 3,
    "cache": "",
    "decode_actors": 0,
    "shared_filesystem": False,
    "node_wait_s": 0.0,
    "video_timeout_s": 600.0,
    "mlflow": "",
    "quiet": False,
}
EVALUATE = {
    "checkpoint": MISSING,
    "labels": MISSING,
    "clips": (),
    "output": MISSING,
    "protocol": "videos",
    "generator_pattern": "",
    "label_rule": "error",
    "resamples": 1000,
    "seed": 0,
    "batch_frames": 0,
    "device": "auto",
    "precision": "auto",
    "cache": "",
    "decode_actors": 0,
    "shared_filesystem": False,
    "node_wait_s": 0.0,
    "video_timeout_s": 600.0,
}


@pytest.mark.parametrize(("settings", "flags"), [(FinetuneSettings, FINETUNE), (EvaluateSettings, EVALUATE)])
def test_the_flags_and_their_defaults_are_frozen(settings: type, flags: dict) -> None:
    assert {field.name: field.default for field in fields(settings)} == flags


def test_flags_fill_the_settings() -> None:
    arguments = "--labels a.csv b.csv --clips A B --output out --loss asymmetric --no-flip --epochs 3 --protocol both"
    settings = parse_settings(FinetuneSettings, list[str](arguments.split()), description="")
    assert (settings.labels, settings.clips) == (("a.csv", "b.csv"), ("A", "B"))
    assert settings.training() == TrainSettings(loss="asymmetric", flip=False, epochs=3)
    assert settings.protocols() == ("videos", "frames")


def test_a_file_fills_them_too_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "finetune.yaml"
    file.write_text("labels: [a.csv]\noutput: out\nepochs: 3\nlearning-rate: 1.0e-4\n")
    settings = parse_settings(FinetuneSettings, ["--config", str(file), "--epochs", "5"], description="")
    assert (settings.epochs, settings.learning_rate) == (5, 1e-4)
    file.write_text("lables: [a.csv]\n")
    with pytest.raises(UsageError, match="sets lables; did you mean labels"):
        parse_settings(FinetuneSettings, ["--config", str(file)], description="")
