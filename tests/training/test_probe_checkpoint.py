"""Probes made of other checkpoints, and timm models made of probes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from artifactscan.errors import UsageError
from artifactscan.model.backbone import initialise, load_model, normalise, probe_frames
from artifactscan.model.checkpoint import Checkpoint, save_checkpoint
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.training.initial_weights import initial_checkpoint
from artifactscan.training.probe_checkpoint import to_probe, with_head, without_probe
from artifactscan.training.probe_fit import ProbeWeights

NAME = "test_resnet.r160_in1k"


def fitted(spec: ProbeSpec, *, half: bool = False) -> Checkpoint:
    probe = to_probe(initialise(NAME, height=64, width=96), spec)
    model, rng = load_model(probe), np.random.default_rng(0)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if "backbone" not in name}
    values = {name.replace(".", "_"): rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return with_head(probe, ProbeWeights(**values), half=half)


@pytest.mark.parametrize("components", [0, 5])
def test_a_probe_of_single_frames_is_a_timm_model(components: int) -> None:
    probe = fitted(ProbeSpec(components=components))
    plain = without_probe(probe, "here")
    frames = normalise(torch.from_numpy(probe_frames(probe.card.input)), probe.card.input)
    with torch.inference_mode():
        assert torch.allclose(load_model(plain)(frames), load_model(probe)(frames), atol=1e-4)
    assert plain.card.probe is None


@pytest.mark.parametrize("spec", [ProbeSpec(neighbours=1), ProbeSpec(unit_length=True), ProbeSpec(tokens=("mean",))])
def test_other_probes_are_not(spec: ProbeSpec) -> None:
    with pytest.raises(UsageError, match="--init here is a probe of neighbouring frames"):
        without_probe(fitted(spec), "here")


def test_training_starts_from_a_probe(tmp_path: Path) -> None:
    save_checkpoint(fitted(ProbeSpec()), str(tmp_path / "plain"))
    save_checkpoint(fitted(ProbeSpec(neighbours=1, smoothing=0.5)), str(tmp_path / "windows"))
    assert initial_checkpoint(str(tmp_path / "plain"), NAME).card.probe is None
    kept = initial_checkpoint(str(tmp_path / "windows"), NAME, keep_probe=True)
    assert to_probe(kept, ProbeSpec(neighbours=2)).card.context_frames == 2
    with pytest.raises(UsageError, match="give --train head"):
        initial_checkpoint(str(tmp_path / "windows"), NAME)


def test_half_the_size_moves_logits_little() -> None:
    whole, half = fitted(ProbeSpec()), fitted(ProbeSpec(), half=True)
    assert len(half.weights) < 0.6 * len(whole.weights)
    frames = normalise(torch.from_numpy(probe_frames(whole.card.input)), whole.card.input)
    with torch.inference_mode():
        assert torch.allclose(load_model(half)(frames), load_model(whole)(frames), atol=0.05)
