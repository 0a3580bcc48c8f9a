"""Where an artifact goes on footage of which nothing is known: what moves, what has edges, what stands out."""

from itertools import pairwise

import numpy as np
from PIL import Image
from scipy import ndimage

from artifactscan.synthesis.artifact import Artifact, Box
from artifactscan.synthesis.images import blur, edge_strength, gray, smoothstep

_SEARCH_ROWS, _TRACK_ROWS = 90, 180
"""Rows of the reduced frames that places are looked for in, and that regions are followed in."""
_TRACK_REACH = 5
"""Reduced pixels that a region may move from one frame to the next: 0.7 frame heights per second at 24 per second."""
_CHOICE_SHARPNESS = 6
"""Places are drawn with probability ∝ score to this power: nearly the best, not always the same."""
_SIZES = {"boundary": (0.3, 0.55), "texture": (0.3, 0.55), "motion": (0.3, 0.5), "object": (0.22, 0.4)}
"""Least and greatest side of a box, in frame heights."""


def choose_box(frames: np.ndarray, artifact: Artifact, rng: np.random.Generator) -> Box:
    """A box that suits the artifact, drawn from the best; ``frames``: uint8 RGB, (frames, height, width, 3)."""
    height, width = frames.shape[1:3]
    sides = np.round(rng.uniform(*_SIZES[artifact.label], 2) * height)
    box_height, box_width = int(np.clip(sides[0], 4, height)), int(np.clip(sides[1], 4, width))
    # The place is found at the start and followed from there: what moves now counts, not what will pass by.
    last = artifact.start + (artifact.end - 1 - artifact.start) // (4 if artifact.label in ("motion", "object") else 1)
    times = np.unique(np.linspace(artifact.start, max(last, artifact.start + 1), 7).round().astype(int))
    small = np.stack([_shrink(frames[time], _SEARCH_ROWS) for time in times])
    score, factor = _score(small, artifact.label), small.shape[1] / height
    rows, columns = max(1, round(box_height * factor)), max(1, round(box_width * factor))
    means = _mean_around(score, rows, columns)
    if artifact.label == "object":
        # A lone object has calm surroundings.
        means = means - 0.2 * (4 * _mean_around(score, 2 * rows, 2 * columns) - means)
    # Only boxes that lie within the frame.
    means = means[rows // 2 : len(means) - (rows - 1) // 2, columns // 2 : means.shape[1] - (columns - 1) // 2]
    chance = np.maximum(means - means.min(), 1e-9).astype(np.float64) ** _CHOICE_SHARPNESS
    row, column = np.unravel_index(rng.choice(chance.size, p=(chance / chance.sum()).ravel()), chance.shape)
    x, y = min(round(column / factor), width - box_width), min(round(row / factor), height - box_height)
    return Box(x=x, y=y, width=box_width, height=box_height)


def follow_box(frames: np.ndarray, box: Box, start: int, end: int) -> list[Box]:
    """The box in each frame from ``start`` to ``end``, moved with what is in it, never leaving the frame."""
    height, width = frames.shape[1:3]
    before = gray(_shrink(frames[start], _TRACK_ROWS))
    factor = height / len(before)
    tall, wide = max(2, round(box.height / factor)), max(2, round(box.width / factor))
    y, x = min(round(box.y / factor), len(before) - tall), min(round(box.x / factor), before.shape[1] - wide)
    boxes = [box]
    for time in range(start + 1, end):
        now = gray(_shrink(frames[time], _TRACK_ROWS))
        dy, dx = _find_patch(before[y : y + tall, x : x + wide], now, y, x)
        y, x, before = y + dy, x + dx, now
        left, top = min(round(x * factor), width - box.width), min(round(y * factor), height - box.height)
        boxes.append(Box(x=left, y=top, width=box.width, height=box.height))
    return boxes


def soft_blob(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A soft blob that fills a box without touching its rim: float32 0..1, (height, width).

    Its outline wobbles, so that nobody learns to find rectangles or ellipses.
    """
    y = (np.arange(height)[:, None] + 0.5) / height * 2 - 1
    x = (np.arange(width)[None, :] + 0.5) / width * 2 - 1
    turns = np.array([2, 3, 5])
    waves = np.sin(turns * np.arctan2(y, x)[..., None] + rng.uniform(0, 2 * np.pi, 3)) / turns
    outline = np.minimum(0.82 + 0.18 * waves.sum(axis=-1), 0.97)
    radius = (np.abs(x) ** 2.6 + np.abs(y) ** 2.6) ** (1 / 2.6)
    return smoothstep((outline - radius) / 0.25).astype(np.float32)


def _shrink(frame: np.ndarray, rows: int) -> np.ndarray:
    """The frame with at most that many rows, each pixel the mean of those it stands for: uint8 RGB."""
    height, width = frame.shape[:2]
    rows = min(rows, height)
    size = (max(4, round(width * rows / height)), rows)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def _score(small: np.ndarray, label: str) -> np.ndarray:
    """How well each pixel of the reduced frames suits a label: float32, (rows, columns)."""
    if label == "boundary":
        return np.mean([edge_strength(frame) for frame in small], axis=0)
    luma = gray(small)
    if label == "texture":
        detail = np.mean([np.abs(frame - blur(frame, 2)) for frame in luma], axis=0)
        # Strong edges are few; a surface has detail all over.
        return np.minimum(blur(detail, 2), 12)
    moving = np.mean([_movement(before, now) for before, now in pairwise(luma)], axis=0)
    stands_out = np.mean([np.abs(frame - blur(frame, 12)) for frame in luma], axis=0)
    return blur(moving, 1.5) + (0.5 * stands_out if label == "object" else 0)


def _mean_around(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return ndimage.uniform_filter1d(ndimage.uniform_filter1d(picture, rows, axis=0), columns, axis=1)


def _movement(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The change from one picture to the next once the camera's own shift is taken out."""
    margin = min(_TRACK_REACH, *((side - 1) // 2 for side in now.shape))
    shift = _find_patch(before[margin : len(before) - margin, margin:-margin], now, margin, margin)
    return np.abs(now - np.roll(before, shift, axis=(0, 1)))


def _find_patch(patch: np.ndarray, picture: np.ndarray, top: int, left: int) -> tuple[int, int]:
    """The shift (rows, columns) from a place by which ``patch`` is found in ``picture``; small ones win ties."""
    tall, wide = patch.shape
    best, least = (0, 0), np.inf
    for dy in range(max(-_TRACK_REACH, -top), min(_TRACK_REACH, len(picture) - tall - top) + 1):
        for dx in range(max(-_TRACK_REACH, -left), min(_TRACK_REACH, picture.shape[1] - wide - left) + 1):
            here = picture[top + dy : top + dy + tall, left + dx : left + dx + wide]
            cost = np.abs(here - patch).mean() + 0.05 * np.hypot(dy, dx)
            if cost < least:
                best, least = (dy, dx), cost
    return best
