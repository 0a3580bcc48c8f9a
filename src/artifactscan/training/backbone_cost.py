"""What a backbone costs to run: parameters, operations and frames per second."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from artifactscan.model.backbone import load_model, normalise, probe_frames
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classifier import Classifier
from artifactscan.model.classify_settings import ClassifySettings

_TIMED_FRAMES = 32


@dataclass(frozen=True, kw_only=True)
class BackboneCost:
    """The cost of one backbone at its own input size."""

    parameters: int
    gflops: float
    """GFLOPs per frame; a multiply-add counts once, as in timm and the papers."""
    frames_per_s: float
    """Scoring speed on this machine, on ``device``."""
    device: str


def measure_backbone_cost(checkpoint: Checkpoint) -> BackboneCost:
    """Measures a checkpoint on frames of its own input size, on this machine's GPU or else its CPU."""
    model = load_model(checkpoint)
    frame = probe_frames(checkpoint.card.input, count=1)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(normalise(torch.from_numpy(frame), checkpoint.card.input))
    classifier = Classifier(checkpoint, ClassifySettings())
    frames = np.concatenate([probe_frames(checkpoint.card.input)] * (_TIMED_FRAMES // 8))
    classifier.scores([frames])  # warm-up
    started = time.monotonic()
    classifier.scores([frames])
    return BackboneCost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflops=counter.get_total_flops() / 2e9,
        frames_per_s=len(frames) / (time.monotonic() - started),
        device=classifier.device,
    )
