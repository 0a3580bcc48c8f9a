"""Scores of a checkpoint that looks at neighbouring frames do not depend on where segments and slices end."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from media import write_clip

import artifactscan
from artifactscan.decode.input_spec import InputSpec
from artifactscan.jobs.score import main
from artifactscan.jobs.why import main as why
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.model.backbone import build_model
from artifactscan.model.checkpoint import Card, Checkpoint, load_checkpoint, save_checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.model.probe_spec import ProbeSpec

SPEC = InputSpec(height=96, width=160)
PROBE = ProbeSpec(blocks=(2,), tokens=("mean", "std"), components=16, neighbours=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    card = Card(backbone="test_resnet.r160_in1k", input=SPEC, probe=PROBE)
    torch.manual_seed(1)
    model = build_model(card)
    model.head.weight.data *= 20  # type: ignore[union-attr] - so that neighbours move scores far more than rounding
    folder = str(tmp_path_factory.mktemp("probe"))
    save_checkpoint(Checkpoint(card=card, weights=safetensors.torch.save(dict(model.state_dict()))), folder)
    return folder


def scored(store: Path) -> np.ndarray:
    """float32 (frames, labels), by clip and frame."""
    frames = pd.read_parquet(store / "frames").sort_values(["uri", "frame_index"])
    return frames[list(SCORE_COLUMNS)].to_numpy()


@pytest.mark.long
def test_segments_and_slices_overlap_by_the_neighbours(
    checkpoint: str, tmp_path: Path, ray_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips := tmp_path / "clips").mkdir()
    options = {"g": "12", "bf": "2", "sc_threshold": "0"}
    paths = [write_clip(clips / f"{n}.mp4", seconds=6, width=320, height=192, options=options) for n in range(2)]
    classifier = Classifier(load_checkpoint(checkpoint), ClassifySettings(device="cpu", precision="fp32"))
    frames = [artifactscan.sample_frames(str(path), input=SPEC).frames for path in paths]
    wanted = classifier.scores(frames)
    alone = classifier.scores([frame[None] for frame in frames[0]])
    assert np.abs(wanted[: len(alone)] - alone).max() > 0.01, "neighbours matter"
    for name, flags in (
        ("whole", []),
        ("segments", ["--segment-frames", "3"]),
        ("slices", ["--segment-frames", "2", "--slice-bytes", "2000"]),
    ):
        store = tmp_path / name
        arguments = ["--input", str(clips), "--output", str(store), "--checkpoint", checkpoint, "--decode-actors", "1"]
        assert main([*arguments, "--precision", "fp32", "--quiet", *flags]) == 0
        assert np.abs(scored(store) - wanted).max() < 1e-4, name

    assert why([str(paths[0]), "--store", str(tmp_path / "slices"), "--output", str(tmp_path / "maps")]) == 0
    said = capsys.readouterr().out
    assert f"{paths[0]}: the same scores here as in run" in said
    assert "note: this probe of test_resnet.r160_in1k has no heat maps: it reads blocks 2" in said
    assert not (tmp_path / "maps" / "sheet.png").exists()
