"""What is said of a checkpoint when its training ends."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoints import CHECKPOINT
from mlflow_stub import mlflow_stub
from rich.console import Console

from artifactscan.evaluation.thresholds import parse_aim
from artifactscan.labels import LABELS
from artifactscan.model.operating_point import OperatingPoint
from artifactscan.pipelines.train.results import log_to_mlflow, notes_on_card


def card(precision: float | None, auroc_low: float):
    """A trained card: the same precision and the same interval for every label."""
    point = OperatingPoint(aim="precision=0.5", precision=precision, recall=0.5, flagged_share=0.1, prevalence=0.2)
    figures = {label: {"auroc": {"value": 0.7, "low": auroc_low, "high": 0.9}} for label in LABELS}
    metrics = {"protocols": {"videos": {"figures": figures}}}
    return replace(CHECKPOINT.card, trained=True, metrics=metrics, operating_point=dict.fromkeys(LABELS, point))


def test_an_aim_that_held_out_frames_do_not_bear_out_is_said() -> None:
    assert notes_on_card(card(0.31, auroc_low=0.6), parse_aim("precision=0.5")) == [
        "precision=0.5 is not reached on held-out frames by boundary (0.31), texture (0.31), motion (0.31), "
        "object (0.31): expect these figures"
    ]
    [nothing_flagged] = notes_on_card(card(None, auroc_low=0.6), parse_aim("precision=0.5"))
    assert "boundary (0.00)" in nothing_flagged
    for held in ("precision=0.3", "recall=0.5", "prevalence", "f1"):
        assert notes_on_card(card(0.31, auroc_low=0.6), parse_aim(held)) == []


def test_unproven_labels_are_named() -> None:
    assert notes_on_card(card(0.31, auroc_low=0.45), parse_aim("prevalence")) == [
        "unproven: boundary, texture, motion, object; the scores are not shown to be better than chance on unseen clips"
    ]


@pytest.mark.parametrize("content", [None, b'{"digest": '])
def test_what_mlflow_cannot_be_told_changes_no_result(tmp_path: Path, content: bytes | None) -> None:
    record = tmp_path / "finetune.json"
    if content is not None:
        record.write_bytes(content)
    out = io.StringIO()
    log_to_mlflow("trainings", str(tmp_path), str(record), Console(file=out, width=400))
    assert out.getvalue().startswith(f"nothing was logged by MLflow, as {record} cannot be read: ")
    assert out.getvalue().endswith("; the same command tries again\n")


FINISHED = {
    "digest": "d",
    "labels_digest": "l",
    "clips_digest": "c",
    "settings": {},
    "versions": {"artifactscan": "0"},
    "checkpoints": {"small": "1", "probe": "2"},
    "evaluations": {"small": {}, "probe": {}},
}
"""A finetune.json."""


def test_what_is_wrong_with_the_server_is_not_said_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://[::1")
    (tmp_path / "finetune.json").write_text(json.dumps(FINISHED))
    out = io.StringIO()
    log_to_mlflow("nightly", str(tmp_path), str(tmp_path / "finetune.json"), Console(file=out, width=400))
    assert out.getvalue().startswith("nothing was logged by MLflow at http: ")
    assert "finetune.json" not in out.getvalue()


def test_a_history_that_is_damaged_keeps_no_other_backbone_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    (tmp_path / "finetune.json").write_text(json.dumps(FINISHED))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "history.parquet").write_bytes(b"PAR1")
    out = io.StringIO()
    with mlflow_stub() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        log_to_mlflow("nightly", str(tmp_path), str(tmp_path / "finetune.json"), Console(file=out, width=400))
    assert [run.name for run in server.runs] == ["finetune probe"]
    assert out.getvalue().startswith("finetune small was not logged by MLflow, as the figures cannot be read: table ")
    assert out.getvalue().count("\n") == 1
