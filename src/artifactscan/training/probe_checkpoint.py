"""Probe checkpoints: made of another checkpoint's backbone, and completed with a fitted projection and head."""

from dataclasses import replace
from typing import cast

import safetensors.torch
import torch
from torch import nn

from artifactscan.errors import UsageError
from artifactscan.model.backbone import build_model, head
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.probe import ProbeModel
from artifactscan.model.probe_spec import ProbeSpec
from artifactscan.training.probe_fit import ProbeWeights


def to_probe(initial: Checkpoint, spec: ProbeSpec) -> Checkpoint:
    """A probe of the backbone of ``initial``, its projection and head not fitted; UsageError as ``build_model``.

    ``initial`` may be a probe itself, of the same blocks or later ones.
    """
    card = replace(initial.card, probe=spec)
    model = build_model(card)
    assert isinstance(model, ProbeModel)
    given = safetensors.torch.load(initial.weights)
    prefix = "backbone." if initial.card.probe else ""
    wanted = model.backbone.state_dict()
    if missing := [name for name in wanted if prefix + name not in given]:
        raise UsageError(
            f"--init {initial.card.backbone} has no tensor {missing[0]}, which these blocks need; "
            "start from weights of the whole backbone"
        )
    model.backbone.load_state_dict({name: given[prefix + name] for name in wanted})
    for parameter in [*model.projection.parameters(), *model.head.parameters()]:
        nn.init.zeros_(parameter)  # so that the same backbone gives the same checkpoint
    return replace(initial, card=card, weights=safetensors.torch.save(_contiguous(model)))


def with_head(checkpoint: Checkpoint, weights: ProbeWeights, *, half: bool = False) -> Checkpoint:
    """``checkpoint``, a probe, with a fitted projection and head; ``half``: its matrices and filters in 16 bits."""
    tensors = {**safetensors.torch.load(checkpoint.weights), **weights.tensors()}
    if half:
        is_large = {name for name, tensor in tensors.items() if name.startswith("backbone.") and tensor.ndim > 1}
        tensors = {name: tensor.half() if name in is_large else tensor for name, tensor in tensors.items()}
    return replace(checkpoint, weights=safetensors.torch.save(tensors))


def without_probe(checkpoint: Checkpoint, source: str) -> Checkpoint:
    """The timm model that a probe of single whole frames is: its backbone with projection and head as one layer.

    UsageError, naming ``source``, for a probe that no timm model equals.
    """
    spec = checkpoint.card.probe
    assert spec is not None
    if spec.tokens != ("pooled",) or spec.context_frames or spec.unit_length or spec.tile_count > 1:
        raise UsageError(
            f"--init {source} is a probe of neighbouring frames, blocks or tiles, which --train all cannot start from; "
            "give --train head, or a probe of pooled tokens with --neighbours 0 and --temporal-smoothing 0"
        )
    tensors = safetensors.torch.load(checkpoint.weights)
    weight, bias = tensors["head.weight"], tensors["head.bias"]
    if spec.components:
        bias = bias + weight @ tensors["projection.bias"]
        weight = weight @ tensors["projection.weight"]
    model = build_model(replace(checkpoint.card, probe=None))
    backbone = {name.removeprefix("backbone."): tensor.float() for name, tensor in tensors.items()}
    model.load_state_dict({name: backbone[name] for name in model.state_dict() if name in backbone}, strict=False)
    linear = cast(nn.Linear, head(model))
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return replace(checkpoint, card=replace(checkpoint.card, probe=None), weights=safetensors.torch.save(weights))


def _contiguous(model: ProbeModel) -> dict:
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
