"""Settings that cannot be are refused, in words."""

from dataclasses import replace
from typing import Any

import pytest

from artifactscan.errors import UsageError
from artifactscan.evaluation.settings import EvaluateSettings
from artifactscan.training.recipe import TrainSettings
from artifactscan.training.settings import FinetuneSettings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 0}, "--epochs is 0; give a number above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"patience": -1}, "--patience is -1; give 0 or more"),
        ({"ema_decay": 1.0}, "--ema-decay is 1.0; give a share from 0 to below 1"),
        ({"layer_decay": 0.0}, "--layer-decay is 0.0; give a share above 0, at most 1"),
        ({"workers": 0}, "--workers is 0; give 1 or more"),
        ({"batch_frames": 2, "workers": 3}, "--batch-frames is 2 for 3 --workers"),
        ({"height": -1}, "--height is -1"),
        ({"width": 5000}, "at most 4096 pixels a side"),
        ({"folds": 1}, "folds is 1; give 2 or more"),
        ({"aim": "f2"}, "aim f2 is not known"),
    ],
)
def test_refusals(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FinetuneSettings(labels=("a.csv",), output="out", **given)


def test_all_stands_for_the_four() -> None:
    settings = FinetuneSettings(labels=("a.csv",), output="out", backbone="all", protocol="both", epochs=3)
    assert len(settings.backbones()) == 4
    assert settings.protocols() == ("videos", "frames")
    assert settings.training() == TrainSettings(epochs=3)
    assert settings.splitting("frames").protocol == "frames"
    assert replace(settings, protocol="generators").protocols() == ("generators",)
    assert replace(settings, protocol="all").protocols() == ("videos", "frames", "generators")


def test_evaluation_refuses_too() -> None:
    with pytest.raises(UsageError, match="--resamples is 100001; give at most 100,000"):
        EvaluateSettings(checkpoint="c", labels=("l.csv",), output="o", resamples=100_001)
    with pytest.raises(UsageError, match="--resamples is -1; give 0 or more"):
        EvaluateSettings(checkpoint="c", labels=("a.csv",), output="out", resamples=-1)
