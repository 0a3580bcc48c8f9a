"""Backbones: built, loaded from a checkpoint, and initialised from a seed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.model.backbone import (
    build_model,
    check_weights,
    head,
    initialise,
    load_model,
    normalise,
    pooled_features,
    probe_frames,
)
from artifactscan.model.checkpoint import Card, Checkpoint

SMALL = "test_resnet.r160_in1k"
SMALL_VIT = "test_vit.r160_in1k"

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return initialise(SMALL, height=48, width=80, seed=1)


def card(backbone: str, height: int = 64, width: int = 96) -> Card:
    return Card(backbone=backbone, input=InputSpec(height=height, width=width))


def with_weights(checkpoint: Checkpoint, change: Callable[[Weights], Weights]) -> Checkpoint:
    weights = change(safetensors.torch.load(checkpoint.weights))
    return replace(checkpoint, weights=safetensors.torch.save(weights))


def probe(checkpoint: Checkpoint, count: int = 8) -> torch.Tensor:
    spec = checkpoint.card.input
    return normalise(torch.from_numpy(probe_frames(spec, count)), spec)


@pytest.mark.parametrize("name", [SMALL, SMALL_VIT])
def test_a_backbone_takes_frames_that_are_not_square_and_gives_a_logit_per_label(name: str) -> None:
    model = build_model(card(name))
    assert not any(module.training for module in model.modules())
    with torch.inference_mode():
        frames = torch.zeros(2, 3, 64, 96)
        logits = model(frames)
        assert logits.shape == (2, len(LABELS))
        torch.testing.assert_close(head(model)(pooled_features(model, frames)), logits)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5000", "backbone 'resnet5000' is not a timm model"),
        ("no_such", "backbone 'no_such' is not a timm model"),
        ("vit_tiny_patch17", "backbone 'vit_tiny_patch17' is not a timm model; near it are vit_"),
        ("levit_128s", "backbone levit_128s has no single linear head; choose another timm model"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_refused(name: str, words: str) -> None:
    for make in (lambda: build_model(card(name)), lambda: initialise(name)):
        with pytest.raises(UsageError) as raised:
            make()
        assert str(raised.value).startswith(words)


def test_a_size_out_of_bounds_is_refused() -> None:
    with pytest.raises(UsageError) as raised:
        initialise(SMALL, height=5000)
    assert str(raised.value) == f"backbone {SMALL}: input height 5000 is not a whole number from 1 to 4096"


def test_without_a_size_the_backbones_default_is_taken() -> None:
    own = timm.get_pretrained_cfg(SMALL)
    assert own is not None
    spec = initialise(SMALL).card.input
    assert (spec.height, spec.width) == own.input_size[1:] == (160, 160)
    assert (spec.resize, spec.mean, spec.std) == (own.interpolation, own.mean, own.std)
    assert initialise(SMALL, height=32).card.input == replace(spec, height=32)


def test_a_fresh_checkpoint_spreads_its_logits_over_the_probe_frames(checkpoint: Checkpoint) -> None:
    with torch.inference_mode():
        logits = load_model(checkpoint)(probe(checkpoint))
    torch.testing.assert_close(logits.mean(dim=0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(logits.std(dim=0), torch.full((4,), 0.5), atol=1e-3, rtol=0)


def test_batch_norm_statistics_are_those_of_the_probe_frames(checkpoint: Checkpoint) -> None:
    model = load_model(checkpoint)
    first = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert first.running_mean is not None and first.momentum == 0.1
    inputs: list[torch.Tensor] = []
    with torch.inference_mode(), first.register_forward_pre_hook(lambda _, values: inputs.append(values[0])):
        model(probe(checkpoint))
    torch.testing.assert_close(first.running_mean, inputs[0].mean(dim=(0, 2, 3)), atol=1e-4, rtol=1e-4)


def test_making_a_checkpoint_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    initialise(SMALL, height=32, width=32)
    assert torch.equal(torch.rand(3), expected)


def test_loading_gives_the_weights_that_were_saved(checkpoint: Checkpoint) -> None:
    model = load_model(checkpoint)
    assert not any(module.training for module in model.modules())
    saved, loaded = safetensors.torch.load(checkpoint.weights), model.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


def test_weights_in_half_precision_are_loaded_as_fp32(checkpoint: Checkpoint) -> None:
    def halved(weights: Weights) -> Weights:
        return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}

    half = with_weights(checkpoint, halved)
    loaded, full = load_model(half).state_dict(), safetensors.torch.load(checkpoint.weights)
    for name, tensor in full.items():
        assert loaded[name].dtype == tensor.dtype, name
        assert torch.equal(loaded[name], tensor.half().float().to(tensor.dtype)), name


def test_buffers_that_are_not_saved_are_computed_when_loading() -> None:
    fresh = initialise("test_vit_relpos", height=64, width=64)
    model, built = load_model(fresh), build_model(fresh.card)
    unsaved = {name: buffer for name, buffer in built.named_buffers() if name not in built.state_dict()}
    assert unsaved
    loaded = dict(model.named_buffers())
    assert all(torch.equal(loaded[name], buffer) for name, buffer in unsaved.items())
    built.load_state_dict(safetensors.torch.load(fresh.weights))
    with torch.inference_mode():
        torch.testing.assert_close(model(probe(fresh)), built(probe(fresh)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda weights: {name: tensor for name, tensor in weights.items() if name != "fc.bias"},
            f"checkpoint weights lack fc.bias: they are not those of the card's backbone {SMALL}",
        ),
        (
            lambda weights: {**weights, "fc.more": torch.zeros(1)},
            f"checkpoint weights have a surplus tensor fc.more: they are not those of the card's backbone {SMALL}",
        ),
        (
            lambda weights: {**weights, "fc.bias": torch.full((4,), torch.nan)},
            "checkpoint tensor fc.bias holds values that are not numbers; train the checkpoint again",
        ),
        (
            lambda weights: {**weights, "fc.bias": torch.zeros(3)},
            f"checkpoint tensor fc.bias has shape [3], the card's backbone {SMALL} needs [4]",
        ),
    ],
    ids=["lack", "surplus", "numbers", "shape"],
)
def test_weights_that_do_not_fit_the_card_are_named(
    checkpoint: Checkpoint, change: Callable[[Weights], Weights], words: str
) -> None:
    wrong = with_weights(checkpoint, change)
    for use in (check_weights, load_model):
        with pytest.raises(UsageError) as raised:
            use(wrong)
        assert str(raised.value) == words


def test_frames_are_normalised_per_channel_and_laid_out_channels_last() -> None:
    spec = InputSpec(height=2, width=3, mean=(0.1, 0.5, 0.9), std=(0.2, 0.5, 1.0))
    frames = np.random.default_rng(0).integers(0, 256, (4, 2, 3, 3), dtype=np.uint8)
    normalised = normalise(torch.from_numpy(frames), spec)
    expected = (frames / 255 - np.array(spec.mean)) / np.array(spec.std)
    assert normalised.dtype == torch.float32
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(normalised.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_probe_frames_are_the_same_each_time_and_differ_from_one_another() -> None:
    spec = InputSpec(height=40, width=56)
    torch.manual_seed(1)
    frames = probe_frames(spec, 5)
    torch.manual_seed(2)
    assert np.array_equal(probe_frames(spec, 5), frames)
    assert (frames.shape, frames.dtype) == ((5, 40, 56, 3), np.uint8)
    assert frames.flags.c_contiguous
    for one in range(5):
        for other in range(one):
            assert np.abs(frames[one].astype(int) - frames[other]).mean() > 10
