"""Checkpoints for tests: one that scores nothing, and probes with random weights or those of a plain checkpoint."""

from dataclasses import replace

import safetensors.torch
import torch
from safetensors.numpy import save

from artifactscan.decode.input_spec import InputSpec
from artifactscan.model.backbone import build_model
from artifactscan.model.checkpoint import Card, Checkpoint
from artifactscan.model.probe_spec import ProbeSpec

CHECKPOINT = Checkpoint(card=Card(backbone="any", input=InputSpec(height=48, width=80)), weights=save({}))


def random_probe(backbone: str, input_spec: InputSpec, **probe) -> Checkpoint:
    """A probe as ``probe`` (fields of ProbeSpec) says, with random weights, the same each time."""
    card = Card(backbone=backbone, input=input_spec, probe=ProbeSpec(**probe))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build_model(card)
    return Checkpoint(card=card, weights=safetensors.torch.save(dict(model.state_dict())))


def as_probe(plain: Checkpoint, head: str = "fc") -> Checkpoint:
    """A probe of the pooled features that gives the logits of ``plain``, whose linear layer is named ``head``."""
    weights = safetensors.torch.load(plain.weights)
    named = {
        name.replace(head, "head", 1) if name.startswith(f"{head}.") else f"backbone.{name}": tensor
        for name, tensor in weights.items()
    }
    return Checkpoint(card=replace(plain.card, probe=ProbeSpec()), weights=safetensors.torch.save(named))
