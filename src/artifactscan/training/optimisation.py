"""Loss, optimiser, schedule and moving average of one training, built from timm and torch."""

from typing import Any, cast

import numpy as np
import torch
from timm.loss.asymmetric_loss import AsymmetricLossMultiLabel
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from timm.optim import param_groups_layer_decay  # pyright: ignore[reportPrivateImportUsage]
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from artifactscan.model.backbone import head
from artifactscan.training.recipe import TrainSettings

MAX_POSITIVE_WEIGHT = 10.0
"""Upper limit, so that the few positives of a rare label do not dominate the updates."""
MIN_RATE_SHARE = 0.01
"""Learning rate at both ends of the schedule, as a share of the highest."""


def positive_weights(targets: np.ndarray, balance: str) -> torch.Tensor:
    """float32 (labels,): weight of a positive relative to a negative, by label.

    ``targets``: (frames, labels) in 0..1; a soft target counts as that share of a positive.
    """
    if balance == "none":
        return torch.ones(targets.shape[1])
    positives = np.maximum(targets.sum(axis=0, dtype=np.float64), 1)
    weights = np.minimum((len(targets) - positives) / positives, MAX_POSITIVE_WEIGHT)
    return torch.tensor(np.sqrt(weights) if balance == "sqrt" else weights, dtype=torch.float32)


def make_loss(settings: TrainSettings, targets: np.ndarray) -> nn.Module:
    """A module from float logits and targets in 0..1, both (frames, labels), to the mean loss.

    ``targets``: those of the frames trained on, which decide the weights of positives.
    """
    weights = positive_weights(targets, settings.balance)
    if settings.loss == "asymmetric":
        return AsymmetricLossMultiLabel(smoothing=settings.smoothing, reduction="mean", pos_weight=weights)
    return BinaryCrossEntropy(smoothing=settings.smoothing, smooth_dense=True, pos_weight=weights)


def make_optimiser(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW with a learning rate that falls with the distance from the head, and no decay of biases and norms."""
    fixed = getattr(model, "no_weight_decay", set)()
    groups = param_groups_layer_decay(
        model, settings.weight_decay, no_weight_decay_list=fixed, layer_decay=settings.layer_decay
    )
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def make_schedule(optimiser: torch.optim.Optimizer, settings: TrainSettings, updates: int) -> CosineLRScheduler:
    """Rises over the first ``warmup_share`` of all ``updates``, then falls along a cosine; stepped by update."""
    lowest = settings.learning_rate * MIN_RATE_SHARE
    rising = round(settings.warmup_share * updates)
    return CosineLRScheduler(
        optimiser,
        t_initial=max(2, updates - rising),
        lr_min=lowest,
        warmup_t=rising,
        warmup_lr_init=lowest,
        warmup_prefix=True,
        t_in_epochs=False,
    )


def make_average(model: nn.Module, settings: TrainSettings) -> ModelEmaV3:
    """The moving average of the weights; its decay grows with the updates, so that it is useful in short trainings."""
    return ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)


def freeze(model: nn.Module, frozen: bool) -> None:
    """Makes only the head trainable, or all layers; frozen layers also keep their batch-norm statistics."""
    model.train()
    for parameter in model.parameters():
        parameter.requires_grad = not frozen
    if frozen:
        model.eval()
        for parameter in cast(Any, head(model)).parameters():
            parameter.requires_grad = True
