"""Scores of the four backbones on fixed frames after one epoch from a fixed seed.

A change of these scores is a change of weights, preprocessing, augmentation, loss or schedule; update them on purpose:

    python tests/training/test_golden.py
"""

import numpy as np
import pytest
import torch
from scipy.special import expit

from artifactscan.model.backbone import initialise, load_model, probe_frames
from artifactscan.model.checkpoint import BACKBONES
from artifactscan.training.loop import Trainer, predict
from artifactscan.training.optimisation import freeze, make_average, make_loss, make_optimiser, make_schedule
from artifactscan.training.recipe import TrainSettings

SIDE = 64
TOLERANCE = 0.02
"""Of a score. Processors round differently, and untrained EfficientNets amplify that layer by layer."""
SETTINGS = TrainSettings(epochs=1, batch_frames=4, learning_rate=1e-4, ema_decay=0.5)
GOLDEN: dict[str, list[list[float]]] = {
    "resnet50": [[0.5676, 0.5423, 0.498, 0.5303], [0.5506, 0.5193, 0.5715, 0.6392]],
    "efficientnet_b3": [[0.5286, 0.429, 0.5563, 0.4859], [0.5428, 0.4604, 0.5424, 0.5499]],
    "efficientnet_b4": [[0.5055, 0.5403, 0.4538, 0.5549], [0.4585, 0.5493, 0.4402, 0.5434]],
    "vit_base_patch16_224": [[0.9263, 0.4021, 0.963, 0.7676], [0.5095, 0.7894, 0.9632, 0.6396]],
}


def scores_after_an_epoch(backbone: str) -> np.ndarray:
    """float32 (2, labels)."""
    initial = initialise(backbone, height=SIDE, width=SIDE, seed=0)
    pixels = probe_frames(initial.card.input, count=8)
    y = np.array([[frame >> label & 1 for label in (0, 1, 2, 0)] for frame in range(8)], np.int8)
    model = load_model(initial)
    optimiser = make_optimiser(model, SETTINGS)
    trainer = Trainer(
        model=model,
        core=model,
        average=make_average(model, SETTINGS),
        loss=make_loss(SETTINGS, y),
        optimiser=optimiser,
        schedule=make_schedule(optimiser, SETTINGS, updates=2),
        spec=initial.card.input,
        settings=SETTINGS,
        device=torch.device("cpu"),
    )
    freeze(model, False)
    trainer.train_epoch(pixels, y, epoch=1)
    return expit(predict(trainer.average.module, pixels[:2], initial.card.input, device=trainer.device))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_scores_have_not_changed(backbone: str) -> None:
    assert np.abs(scores_after_an_epoch(backbone) - np.array(GOLDEN[backbone])).max() < TOLERANCE


if __name__ == "__main__":
    for name in BACKBONES:
        rows = [[round(float(score), 4) for score in frame] for frame in scores_after_an_epoch(name)]
        print(f'"{name}": {rows},')
