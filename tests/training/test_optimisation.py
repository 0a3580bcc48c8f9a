"""Losses, learning rates, frozen layers and the moving average, on a small backbone."""

from typing import Literal

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional

from artifactscan.model.backbone import head
from artifactscan.training.optimisation import (
    MAX_POSITIVE_WEIGHT,
    freeze,
    make_average,
    make_loss,
    make_optimiser,
    make_schedule,
    positive_weights,
)
from artifactscan.training.recipe import TrainSettings

Y = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])


@pytest.fixture
def model() -> torch.nn.Module:
    return timm.create_model("test_resnet.r160_in1k", num_classes=4)


def test_rare_positives_count_more() -> None:
    assert positive_weights(Y, "none").tolist() == [1, 1, 1, 1]
    full = positive_weights(Y, "full")
    assert full[[0, 2, 3]].tolist() == pytest.approx([4, 2 / 3, 1.5])
    assert torch.allclose(positive_weights(Y, "sqrt"), full.sqrt())
    rare = np.zeros((1000, 4))
    rare[0] = 1
    assert positive_weights(rare, "full").tolist() == [MAX_POSITIVE_WEIGHT] * 4
    soft = np.array([[1 / 3, 1, 0, 0.5]] * 6, np.float32)  # 2, 6, 0 and 3 positives of 6
    assert positive_weights(soft, "full").tolist() == pytest.approx([2, 0, 5, 1])


def test_bce_equals_torchs_with_weights_and_smoothing() -> None:
    logits, targets = torch.randn(5, 4), torch.from_numpy(Y).float()
    loss = make_loss(TrainSettings(balance="full", smoothing=0.2), Y)(logits, targets)
    soft = targets * 0.8 + 0.1
    expected = functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=positive_weights(Y, "full"))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("loss", ["bce", "asymmetric"])
def test_soft_targets_pull_logits_to_their_own_probability(loss: Literal["bce", "asymmetric"]) -> None:
    targets = torch.tensor([[0.0, 1 / 3, 2 / 3, 1.0]])
    logits = torch.zeros(1, 4, requires_grad=True)
    make_loss(TrainSettings(balance="none", loss=loss), targets.numpy())(logits, targets).backward()
    gradient = logits.grad
    assert gradient is not None
    assert (gradient[0, :-1] > gradient[0, 1:]).all(), "the higher the grade, the higher the logit should be"
    if loss == "bce":
        assert gradient[0].tolist() == pytest.approx([(0.5 - target) / 4 for target in targets[0].tolist()])


def test_the_asymmetric_loss_gives_easy_negatives_little_weight() -> None:
    logits, targets = torch.full((5, 4), -3.0), torch.zeros(5, 4)
    bce = make_loss(TrainSettings(balance="none"), Y)(logits, targets)
    asymmetric = make_loss(TrainSettings(balance="none", loss="asymmetric"), Y)(logits, targets)
    assert asymmetric < bce / 100


def test_layers_far_from_the_head_have_lower_learning_rates(model: torch.nn.Module) -> None:
    optimiser = make_optimiser(model, TrainSettings(layer_decay=0.5, learning_rate=1e-3))
    schedule = make_schedule(optimiser, TrainSettings(learning_rate=1e-3, warmup_share=0.1), updates=100)
    schedule.step_update(10)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    [head_rate] = {rates[id(p)] for p in head(model).parameters()}
    stem = rates[id(next(iter(model.parameters())))]
    assert head_rate == pytest.approx(1e-3, rel=0.05)
    assert stem < head_rate / 8
    assert len(rates) == len(list(model.parameters()))


def test_the_learning_rate_rises_then_falls(model: torch.nn.Module) -> None:
    settings = TrainSettings(layer_decay=1, learning_rate=1e-3, warmup_share=0.2)
    optimiser = make_optimiser(model, settings)
    schedule = make_schedule(optimiser, settings, updates=50)
    rates = [optimiser.param_groups[-1]["lr"]]
    for update in range(1, 51):
        schedule.step_update(update)
        rates.append(optimiser.param_groups[-1]["lr"])
    assert rates[0] == pytest.approx(1e-5)
    assert int(np.argmax(rates)) == 10
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5)


def test_frozen_layers_keep_weights_and_statistics(model: torch.nn.Module) -> None:
    freeze(model, True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = make_optimiser(model, TrainSettings())
    model(torch.rand(4, 3, 32, 32)).sum().backward()
    optimiser.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    freeze(model, False)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.training


def test_the_moving_average_follows_the_weights(model: torch.nn.Module) -> None:
    average = make_average(model, TrainSettings(ema_decay=0.9))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average.update(model, 1)
    ours, kept = next(iter(model.parameters())), next(iter(average.module.parameters()))
    assert torch.allclose(ours, kept)  # the first update has decay 0
    with torch.no_grad():
        ours.add_(1.0)
    average.update(model, 1000)
    assert torch.allclose(kept, ours - 0.9)
