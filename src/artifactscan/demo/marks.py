"""Coloured marks in place of artifacts: clips that show them, and checkpoints of which each label finds one colour.

For demos and tests, where it must be known what a scorer ought to find. Night by night, for the audit's demo:

    python -m artifactscan.demo.marks FOLDER first
    python -m artifactscan.demo.marks FOLDER second
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import safetensors.torch
import torch
from torch import nn

from artifactscan.labels import LABELS
from artifactscan.model.backbone import head, initialise, load_model, normalise, pooled_features
from artifactscan.model.checkpoint import Checkpoint, save_checkpoint
from artifactscan.synthesis.footage import write_video

ROWS, COLUMNS = 3, 4
"""Of the grid that the squares lie on."""
HEIGHT, WIDTH = 96, 128
"""Pixels that the checkpoints take."""
COLOURS = ((230, 40, 40), (40, 220, 40), (50, 50, 240), (240, 230, 30))
"""Label ``i`` of the checkpoints looks for COLOURS[i]."""
RIDGE, SHARPNESS, TRAINING_FRAMES = 0.01, 10.0, 160


def draw(
    cells: dict[int, tuple[int, int]], rng: np.random.Generator, *, height: int = HEIGHT, width: int = WIDTH
) -> np.ndarray:
    """uint8 RGB (height, width, 3): grey noise with squares of labels at rows and columns of the grid."""
    frame = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    for label, (row, column) in cells.items():
        rows = slice(row * height // ROWS, (row + 1) * height // ROWS)
        frame[rows, column * width // COLUMNS : (column + 1) * width // COLUMNS] = COLOURS[label]
    return frame


def choose_cells(rng: np.random.Generator, shown: np.ndarray | None = None) -> dict[int, tuple[int, int]]:
    """A cell of its own for each label, or for each that ``shown``, bool (labels,), says is there."""
    cells = rng.permutation(ROWS * COLUMNS)[: len(LABELS)]
    taken = {label: (int(cell) // COLUMNS, int(cell) % COLUMNS) for label, cell in enumerate(cells)}
    return {label: cell for label, cell in taken.items() if shown is None or shown[label]}


_EXACT = {label: {"auroc": {"value": 1.0, "low": 1.0, "high": 1.0}} for label in LABELS}
"""It tells frames with a mark from frames without exactly, which tests assert on clips it was not fitted to."""


def checkpoint(backbone: str) -> Checkpoint:
    """Random features with a linear head fitted by least squares to say which colours a frame shows."""
    fresh = initialise(backbone, height=HEIGHT, width=WIDTH, seed=1)
    rng = np.random.default_rng(0)
    shown = rng.random((TRAINING_FRAMES, len(LABELS))) < 0.5
    frames = torch.from_numpy(np.stack([draw(choose_cells(rng, row), rng) for row in shown]))
    model = load_model(fresh)
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
    card = replace(fresh.card, trained=True, metrics={"protocols": {"videos": {"figures": _EXACT}}})
    return replace(fresh, weights=safetensors.torch.save(tensors), card=card)


def is_on(cell: tuple[int, int], x: float, y: float) -> bool:
    """Whether a point, from 0 at the left and top to 1, lies on the square at a cell."""
    return (int(y * ROWS), int(x * COLUMNS)) == cell


BACKBONE = "test_resnet.r160_in1k"
"""timm's smallest: a checkpoint of it is fitted and run in a second or two."""
FPS, SECONDS = 4, 3
SHOWN_FROM_S, SHOWN_TO_S = 1.0, 2.0
"""When a clip shows its marks."""


def write_checkpoint(folder: Path) -> str:
    """A checkpoint of the smallest backbone; returns its folder."""
    save_checkpoint(checkpoint(BACKBONE), str(folder))
    return str(folder)


def write_clip(path: Path, labels: Sequence[str] = (), *, seed: int = 0) -> Path:
    """A clip of grey noise that shows the marks of ``labels`` for a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    free = choose_cells(rng)
    shown = {LABELS.index(label): free[LABELS.index(label)] for label in labels}
    times_s = (number / FPS for number in range(FPS * SECONDS))
    write_video(path, (draw(shown if SHOWN_FROM_S <= time_s < SHOWN_TO_S else {}, rng) for time_s in times_s), FPS)
    return path


def write_night(corpus: Path, night: str, generators: Mapping[str, tuple[int, Collection[int], str]]) -> None:
    """New clips ``corpus``/generator/night-00.mp4 …: how many, which of them show a mark, and of which label."""
    for generator, (count, defective, label) in generators.items():
        for number in range(count):
            labels = [label] if number in defective else []
            seed = sum(f"{night}{generator}{number}".encode())
            write_clip(corpus / generator / f"{night}-{number:02d}.mp4", labels, seed=seed)


def write_demo_night(folder: Path, night: str) -> None:
    """The corpus of the audit's demo as it is on a night: ``first``, or ``second``, when a generator got worse."""
    corpus = folder / "corpus"
    if night == "first":
        write_checkpoint(folder / "checkpoint")
        write_night(corpus, night, {"alpha": (40, (3, 17), "texture"), "beta": (40, (7, 20), "motion")})
        return
    write_night(corpus, night, {"alpha": (40, (11,), "texture"), "beta": (40, range(12), "motion")})
    write_clip(corpus / "alpha" / "first-00.mp4", ["object"], seed=99)  # replaced
    (corpus / "alpha" / "first-01.mp4").unlink()  # removed
    damaged = corpus / "alpha" / "first-02.mp4"
    damaged.write_bytes(damaged.read_bytes()[:200])


if __name__ == "__main__":
    write_demo_night(Path(sys.argv[1]), sys.argv[2])
