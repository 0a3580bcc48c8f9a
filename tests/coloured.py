"""Squares of four colours, and checkpoints of which each label looks for one of them: heat maps must find it."""

from dataclasses import replace
from typing import cast

import numpy as np
import safetensors.torch
import torch
from torch import nn

from artifactscan.backbone import head, initialise, load, normalise, pooled_features
from artifactscan.checkpoint import Checkpoint
from artifactscan.labels import LABELS

ROWS, COLUMNS = 3, 4
"""Of the grid that the squares lie on."""
HEIGHT, WIDTH = 96, 128
"""Pixels that the checkpoints take."""
COLOURS = ((230, 40, 40), (40, 220, 40), (50, 50, 240), (240, 230, 30))
"""Label ``i`` of the checkpoints looks for COLOURS[i]."""
RIDGE, SHARPNESS, TRAINING_FRAMES = 0.01, 10.0, 160


def draw(
    places: dict[int, tuple[int, int]], rng: np.random.Generator, *, height: int = HEIGHT, width: int = WIDTH
) -> np.ndarray:
    """uint8 RGB (height, width, 3): grey noise with squares of labels at rows and columns of the grid."""
    frame = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    for label, (row, column) in places.items():
        rows = slice(row * height // ROWS, (row + 1) * height // ROWS)
        frame[rows, column * width // COLUMNS : (column + 1) * width // COLUMNS] = COLOURS[label]
    return frame


def places(rng: np.random.Generator, shown: np.ndarray | None = None) -> dict[int, tuple[int, int]]:
    """A place of its own for each label, or for each that ``shown``, bool (labels,), says is there."""
    cells = rng.permutation(ROWS * COLUMNS)[: len(LABELS)]
    taken = {label: (int(cell) // COLUMNS, int(cell) % COLUMNS) for label, cell in enumerate(cells)}
    return {label: place for label, place in taken.items() if shown is None or shown[label]}


def checkpoint(backbone: str) -> Checkpoint:
    """Random features with a linear head fitted by least squares to say which colours a frame shows."""
    fresh = initialise(backbone, height=HEIGHT, width=WIDTH, seed=1)
    rng = np.random.default_rng(0)
    shown = rng.random((TRAINING_FRAMES, len(LABELS))) < 0.5
    frames = torch.from_numpy(np.stack([draw(places(rng, row), rng) for row in shown]))
    model = load(fresh)
    with torch.no_grad():
        features = torch.cat([pooled_features(model, normalise(part, fresh.card.input)) for part in frames.split(16)])
        mean, std = features.mean(dim=0), features.std(dim=0) + 1e-6
        inputs, wanted = ((features - mean) / std).double(), torch.from_numpy(shown).double() - 0.5
        penalty = RIDGE * len(inputs) * torch.eye(inputs.shape[1])
        weights = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ wanted).float()
        linear = cast(nn.Linear, head(model))
        linear.weight.copy_(SHARPNESS * weights.T / std)
        linear.bias.copy_(-linear.weight @ mean)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return replace(fresh, weights=safetensors.torch.save(tensors), card=replace(fresh.card, trained=True))


def is_on(place: tuple[int, int], x: float, y: float) -> bool:
    """Whether a point, from 0 at the left and top to 1, lies on the square at a place."""
    return (int(y * ROWS), int(x * COLUMNS)) == place
