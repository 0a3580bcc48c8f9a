"""A fine-tuning as runs for MLflow."""

from pathlib import Path

import pytest

from artifactscan.errors import UsageError
from artifactscan.storage.parquet import write_table
from artifactscan.telemetry.mlflow_runs import Point
from artifactscan.training.epoch_history import history_table
from artifactscan.training.tracked_finetuning import tracked_finetuning

NAN = float("nan")
FIGURES = {"motion": {"auroc": {"value": 0.7, "low": 0.6, "high": 0.8, "majority": 0.5}}}
EVALUATION = {"frames": 24, "videos": 6, "folds": 2, "figures": FIGURES}
RECORD = {
    "digest": "d1",
    "settings": {"labels": ["labels.csv"], "epochs": 2},
    "labels_digest": "l1",
    "clips_digest": "c1",
    "versions": {"artifactscan": "0.1.0"},
    "checkpoints": {"small": "k1", "probe": "k2"},
    "evaluations": {"small": {"videos": EVALUATION}, "probe": {}},
}


def test_each_backbone_is_a_run_with_its_epochs_and_figures(tmp_path: Path) -> None:
    rows = [
        {"run": "final", "epoch": epoch, "fit_loss": 1.0 / epoch, "tune_loss": NAN, "tune_average_precision": NAN}
        | {"learning_rate": 0.1, "frames_per_s": 9.0, "seconds": 30.0, "best": epoch == 2}
        for epoch in (1, 2)
    ]
    write_table(history_table(rows), str(tmp_path / "small" / "history.parquet"))
    source, (small, probe) = tracked_finetuning(str(tmp_path), RECORD)
    assert (small.id, small.name, probe.id) == ("small", "finetune small", "probe")
    values = small.read_values()
    points = set(values.points)
    assert points >= {
        Point("final/fit_loss", 1.0, 1),
        Point("final/fit_loss", 0.5, 2),
        Point("final/tune_loss", None, 1),
    }
    assert points >= {
        Point("videos/frames", 24),
        Point("videos/auroc/motion", 0.7),
        Point("videos/auroc/motion/low", 0.6),
        Point("videos/auroc/motion/high", 0.8),
        Point("videos/auroc/motion/majority", 0.5),
    }
    assert not {point.name for point in points} & {"final/best", "final/epoch", "final/run"}
    assert small.params == RECORD["settings"]
    wanted = {"backbone": "small", "protocol": "videos", "labels_digest": "l1", "checkpoint_digest": "k1"}
    assert {name: small.tags[name] for name in wanted} == wanted
    assert round(values.ended_s - values.started_s) == 60, "as long as its epochs"
    assert probe.read_values().points == [], "a probe has no epochs"
    assert probe.tags["protocol"] == "none", "none was measured"
    assert tracked_finetuning(str(tmp_path), RECORD)[0] == source
    assert tracked_finetuning(str(tmp_path / "other"), RECORD)[0] != source
    assert tracked_finetuning(str(tmp_path), {**RECORD, "digest": "d2"})[0] != source


def test_a_damaged_history_is_that_of_one_backbone(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "history.parquet").write_bytes(b"PAR1")
    _, (small, probe) = tracked_finetuning(str(tmp_path), RECORD)
    with pytest.raises(UsageError, match=r"small/history\.parquet is damaged or cut off"):
        small.read_values()
    assert probe.read_values().points == []
